"""The part of RabbitMQ's management API that the suite needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx

from conformance.errors import HarnessError, NotFound, UsageError
from conformance.world.broker.base import QueueFacts
from conformance.world.broker.policies import Applied, applied

__all__ = ["Management"]

_TIMEOUT_S = 10.0
_KEPT_S = 2.0
"""How long an idle connection is kept for the next question: less than the broker keeps it, so that none is asked over
a connection that is about to end."""


class Management:
    """A client for one vhost. Safe for threads.

    Source: https://www.rabbitmq.com/docs/management#http-api

    Args:
        url: ``http://user:password@host:15672``.
        vhost: whose queues it speaks of.
        timeout_s: for each step of a request.
    """

    def __init__(self, url: str, vhost: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        parts = urlsplit(url)
        netloc = parts.netloc.rpartition("@")[2]
        self._vhost = quote(vhost, safe="")
        self._client = httpx.Client(
            base_url=f"{parts.scheme}://{netloc}/api",
            auth=httpx.BasicAuth(unquote(parts.username or "guest"), unquote(parts.password or "guest")),
            timeout=timeout_s,
            limits=httpx.Limits(keepalive_expiry=_KEPT_S),
            trust_env=False,
        )

    def answers(self) -> bool:
        """Whether it can be reached with these credentials."""
        try:
            return self._client.get("/whoami").is_success
        except httpx.HTTPError:
            return False

    def queue(self, name: str) -> QueueFacts | None:
        """What it says of the queue; None where it can't be asked or won't say.

        Settings are read from the broker's own tables at each call. The counts come from statistics that each queue
        sends every ``collect_statistics_interval`` milliseconds (5000 by default), so they lag behind by that much.
        """
        try:
            response = self._request("GET", f"/queues/{self._vhost}/{quote(name, safe='')}")
        except httpx.HTTPError:
            return None
        if response.status_code == httpx.codes.NOT_FOUND:
            return QueueFacts(name=name, exists=False)
        if not response.is_success:
            return None
        told: dict[str, Any] = response.json()
        exclusive = told.get("exclusive", "owner_pid_details" in told)
        return QueueFacts(
            name=name,
            exists=True,
            ready=told.get("messages_ready"),
            unacked=told.get("messages_unacknowledged"),
            consumers=told.get("consumers"),
            durable=told.get("durable"),
            exclusive=exclusive,
            auto_delete=told.get("auto_delete"),
            queue_type=told.get("type"),
            arguments=told.get("arguments"),
            policy=told.get("policy") or None,
            operator_policy=told.get("operator_policy") or None,
            effective_policy=dict(told["effective_policy_definition"] or {})
            if "effective_policy_definition" in told
            else None,
        )

    def applied(self, queue: str, queue_type: str) -> Applied | None:
        """Which policies apply to the queue; None where this user may not read them."""
        try:
            policies, operator_policies = (
                self.ask("GET", f"/{kind}/{self._vhost}") for kind in ("policies", "operator-policies")
            )
        except HarnessError:
            return None
        return applied(policies, operator_policies, queue=queue, queue_type=queue_type)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Any other request; the answer's JSON, None where it is empty.

        Raises:
            NotFound: there is no such thing.
            HarnessError: it can't be asked, or refuses.
        """
        try:
            response = self._request(method, path, body)
        except httpx.HTTPError as exc:
            raise HarnessError(f"management: {method} {path}: {exc or type(exc).__name__}") from exc
        if response.status_code == httpx.codes.NOT_FOUND:
            raise NotFound(f"management: {method} {path}: there is no such thing")
        if not response.is_success:
            raise HarnessError(f"management: {method} {path}: {response.status_code} {response.text[:200]}")
        return response.json() if response.content else None

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        """Ask, and ask again where RabbitMQ fails to read.

        A queue that ends while it is asked for is a 500 with no text now and then (RabbitMQ 3.10: 5 of 1,476 that
        expired); the next answer is that there is none.
        """
        response = self._client.request(method, path, json=body)
        if method == "GET" and response.status_code == httpx.codes.INTERNAL_SERVER_ERROR:
            response = self._client.request(method, path)
        return response

    def import_definitions(self, definitions: bytes) -> str | None:
        """Import users, permissions, policies …; what the broker minds, or None.

        Source: https://www.rabbitmq.com/docs/definitions#import
        """
        try:
            response = self._client.post(
                "/definitions", content=definitions, headers={"content-type": "application/json"}
            )
        except httpx.HTTPError as exc:
            return str(exc)
        return None if response.is_success else response.text[:500]

    def import_all(self, recommended: bytes | None, file: Path | None) -> None:
        """Import the recommended definitions, then the user's; None: there are none.

        Raises:
            HarnessError: the broker refuses the recommended ones.
            UsageError: as :meth:`import_file`.
        """
        if recommended is not None and (trouble := self.import_definitions(recommended)) is not None:
            raise HarnessError(f"the broker refuses the recommended definitions: {trouble}")
        if file is not None:
            self.import_file(file)

    def import_file(self, path: Path) -> None:
        """Import the user's definitions file.

        Raises:
            UsageError: it can't be read, or the broker refuses it.
        """
        try:
            trouble = self.import_definitions(path.read_bytes())
        except OSError as exc:
            raise UsageError(
                "broker.definitions", f"{str(path)!r} can't be read ({exc.strerror})", "Name a file that is there."
            ) from exc
        if trouble is not None:
            raise UsageError(
                "broker.definitions",
                f"{str(path)!r} was refused by the broker ({trouble})",
                "Export definitions from a broker of the same version (rabbitmqctl export_definitions).",
            )

    def close(self) -> None:
        """Close its connections."""
        self._client.close()
