"""What makes a broker of the suite's own one that a hostile page may be let loose on."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from conformance.contract.model import Contract
from conformance.contract.recommended import RECOMMENDED, definitions, settings, tls_settings

__all__ = ["GUEST", "Certificate", "Credentials", "Hardened", "hardened_for", "make_certificate", "tls_listener"]


class Credentials(NamedTuple):
    """A user's name and password; neither needs to be encoded in a URL."""

    login: str
    passcode: str


GUEST = Credentials("guest", "guest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardened:
    """What a node gets besides the user's own files.

    Attributes:
        settings: of ``rabbitmq.conf``, key to value; the user's own file wins, the run's needs win over both.
        advanced: an ``advanced.config`` in Erlang's words; it may set what the version's ``rabbitmq.conf`` has no key
            for. Empty: none.
        definitions: to import once the node is up, before the user's own; None: none.
        administrator: the first user, whom the suite itself and the publisher log in as; no other is made.
        tls: whether Web-STOMP listens for ``wss://`` too.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    advanced: str = ""
    definitions: bytes | None = None
    administrator: Credentials = GUEST
    tls: bool = False

    @property
    def said(self) -> str | None:
        """What a certificate says of the definitions."""
        return None if self.definitions is None else RECOMMENDED

    @property
    def administrator_settings(self) -> dict[str, str]:
        """What makes him: nothing for ``guest``, who is there anyway."""
        if self.administrator == GUEST:
            return {}
        return {"default_user": self.administrator.login, "default_pass": self.administrator.passcode}


def hardened_for(contract: Contract) -> Hardened:
    """What the contract asks for: the recommended set, and a ``wss://`` listener where a hostile page is to be refused.

    Where the tabs have a user of their own the suite has one too, so that there is no ``guest`` but the definitions'.
    """
    recommended = contract.broker.definitions == RECOMMENDED
    hostile = contract.promise.hostile_tab
    lines = [*settings(contract), *(tls_settings() if hostile else [])] if recommended else []
    own = recommended or (hostile and contract.tab.login != GUEST.login)
    frame_bytes = contract.limits.frame_bytes if recommended else None
    return Hardened(
        # RabbitMQ 4.3 goes by it, 3.10 has no key for it: here every version may be told.
        advanced=f"[{{rabbitmq_stomp, [{{max_frame_size, {frame_bytes}}}]}}].\n" if frame_bytes else "",
        settings={line.key: line.value for line in lines},
        definitions=json.dumps(definitions(contract)).encode() if recommended else None,
        administrator=Credentials("durable-ws-suite", secrets.token_hex(12)) if own else GUEST,
        tls=hostile,
    )


class Certificate(NamedTuple):
    """A certificate with its key, for 127.0.0.1 and this run alone, and the authority's; all PEM."""

    authority: bytes
    certificate: bytes
    key: bytes

    def files(self) -> dict[str, bytes]:
        """By the names that :func:`tls_listener` has for them."""
        return dict(zip(_FILES, self, strict=True))

    def write(self, folder: Path) -> None:
        """Write the files."""
        for name, content in self.files().items():
            (folder / name).write_bytes(content)


_FILES = ("authority.pem", "certificate.pem", "key.pem")


def make_certificate() -> Certificate:
    """A new one."""
    import trustme  # takes a while to import: only where it is asked for

    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    return Certificate(
        authority.cert_pem.bytes(),
        b"".join(pem.bytes() for pem in issued.cert_chain_pems),
        issued.private_key_pem.bytes(),
    )


def tls_listener(folder: str, *, ip: str, port: int) -> dict[str, str]:
    """Settings of the ``wss://`` listener whose certificate lies in the folder.

    Source: https://www.rabbitmq.com/docs/web-stomp#tls
    """
    authority, certificate, key = (f"{folder}/{name}" for name in _FILES)
    return {
        "web_stomp.ssl.ip": ip,
        "web_stomp.ssl.port": str(port),
        "web_stomp.ssl.cacertfile": authority,
        "web_stomp.ssl.certfile": certificate,
        "web_stomp.ssl.keyfile": key,
    }
