"""Sets what an administrator has set in a world (policies, users, limits) for the time that the world is played."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from conformance.contract.recommended import definitions
from conformance.errors import HarnessError
from conformance.selftest.world import Access, World
from conformance.world.broker.base import Broker
from conformance.world.broker.reached import vhost_of

__all__ = ["administered"]


@contextlib.contextmanager
def administered(world: World, brokers: Iterable[Broker]) -> Iterator[None]:
    """Set the world's policies and the tabs' user at each of the brokers, and take them away at the end.

    They match the world's own queues alone (:attr:`World.pattern`), so they disturb no other world.

    Raises:
        HarnessError: a broker can't be asked, or this user may not set policies.
    """
    name = f"durable-ws-{world.id}-{secrets.token_hex(3)}"
    with contextlib.ExitStack() as undo:
        for broker in brokers:
            vhost = quote(vhost_of(broker.addresses.amqp), safe="")
            for policy in world.policies:
                path = f"/{'operator-policies' if policy.operator else 'policies'}/{vhost}/{name}"
                broker.ask(
                    "PUT",
                    path,
                    {"pattern": world.pattern, "definition": dict(policy.definition), "apply-to": "queues"},
                )
                undo.callback(_remove, broker, path)
            if world.access is not None:
                if "attack" not in broker.capabilities:
                    raise HarnessError("a user for a hostile page is made on a broker of the suite's own alone")
                _grant(world, world.access, broker, undo)
        yield


def _grant(world: World, access: Access, broker: Broker, undo: contextlib.ExitStack) -> None:
    """Give the world's tabs a user: as recommended but for what the world changes."""
    name = vhost_of(broker.addresses.amqp)
    made, vhost = definitions(world.resolved(), vhost=name), quote(name, safe="")

    def put(path: str, body: dict[str, object], *, remove: bool = True) -> None:
        broker.ask("PUT", path, body)
        if remove:
            undo.callback(_remove, broker, path)

    for exchange in made["exchanges"]:
        if exchange["name"].startswith("durable-websocket-"):
            continue  # every world's
        put(
            f"/exchanges/{vhost}/{quote(exchange['name'], safe='')}",
            {"type": exchange["type"], "durable": exchange["durable"]},
        )
    (user,), (permission,) = made["users"], made["permissions"]
    login = quote(user["name"], safe="")
    put(f"/users/{login}", {"password": user["password"], "tags": access.tags})
    rights = {kind: permission[kind] for kind in ("configure", "write", "read")}
    rights |= {kind: value for kind in rights if (value := getattr(access, kind)) is not None}
    put(f"/permissions/{vhost}/{login}", rights, remove=False)
    for topic in made.get("topic_permissions", ()) if access.topic != "" else ():
        body = {"exchange": topic["exchange"], "write": topic["write"], "read": access.topic or topic["read"]}
        put(f"/topic-permissions/{vhost}/{login}", body, remove=False)
    if access.connections:
        put(f"/user-limits/{login}/max-connections", {"value": user["limits"]["max-connections"]})
    for parameter in made.get("parameters", ()):
        if access.expiry and parameter["component"] == "operator_policy":
            put(f"/operator-policies/{vhost}/{user['name']}", parameter["value"])
    if access.vhost:
        put(f"/vhosts/{login}", {})
        put(f"/permissions/{login}/{login}", rights, remove=False)


def _remove(broker: Broker, path: str) -> None:
    with contextlib.suppress(HarnessError):  # the broker may be gone by now, and the policy with it
        broker.ask("DELETE", path)
