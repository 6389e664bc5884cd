"""An administrator changes the passwords that the clients log in with."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from dataclasses import dataclass

from conformance.errors import HarnessError
from conformance.faults.base import register
from conformance.faults.broker.base import BrokerActing, BrokerFault, Node
from conformance.faults.broker.looking import all_of, segment

__all__ = ["RotatePassword"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class RotatePassword(BrokerFault):
    """Who is connected stays so; whoever connects is refused until the old password is back, at the end.

    A publisher reads ``connection.close`` (403, ACCESS_REFUSED), a tab an ERROR frame (*Access refused for user*).
    """

    name = "rotate_password"
    needs = frozenset({"admin", "ctl"})
    tabs_reach = False
    publishers_reach = False

    def acting(self) -> BrokerActing:
        """See :meth:`BrokerFault.acting`."""
        return _RotatePassword()


class _RotatePassword(BrokerActing):
    def __init__(self) -> None:
        super().__init__()
        self._before: dict[str, tuple[str, str]] = {}

    def begin(self, node: Node) -> None:
        before = {user: _hash(node, user) for user in sorted(node.users)}
        for user, known in before.items():
            self._before[user] = known
            node.ctl("change_password", user, secrets.token_hex(16))
        self.look(node)

    def look(self, node: Node) -> None:
        if node.refusal("tab") is not None:
            self.counts["tabs refused"] += 1
        if node.refusal("publisher") is not None:
            self.counts["publishers refused"] += 1

    def end(self, node: Node) -> None:
        all_of(*(lambda user=user, known=known: _restore(node, user, *known) for user, known in self._before.items()))


def _hash(node: Node, user: str) -> tuple[str, str]:
    """The user's password as the broker keeps it: the salted hash, in base 64, and the module that made it."""
    told = node.ask("GET", f"/users/{segment(user)}")
    return told["password_hash"], told["hashing_algorithm"]


def _restore(node: Node, user: str, password_hash: str, algorithm: str) -> None:
    """Put the hash back: the password itself is nobody's to know, and the management API may need it to be asked."""
    try:
        base64.b64decode(password_hash, validate=True)
    except binascii.Error as exc:
        raise HarnessError(f"the password of {user!r} can't be put back: its hash is {exc}") from exc
    if not re.fullmatch(r"[a-z0-9_]+", algorithm):
        raise HarnessError(f"the password of {user!r} can't be put back: its hashing algorithm is {algorithm!r}")
    name = ",".join(str(byte) for byte in user.encode())
    node.ctl(
        "eval",
        f'ok = rabbit_auth_backend_internal:change_password_hash(<<{name}>>, base64:decode("{password_hash}"), '
        f"{algorithm}).",
    )
