"""Waiting for a node of the suite's own until each of its protocols answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from conformance.errors import BrokerUnavailable
from conformance.world.broker.base import Addresses
from conformance.world.broker.handshake import amqp_answers, web_stomp_answers

__all__ = ["await_handshakes"]

_BOOT_S = 300.0
_LOOK_S = 0.1


def await_handshakes(
    addresses: Addresses,
    *,
    has_given_up: Callable[[], bool],
    last_words: Callable[[], str],
    listens: Callable[[], bool] = lambda: True,
) -> None:
    """Wait until AMQP and Web-STOMP let the AMQP address's user in.

    Args:
        addresses: of the node.
        has_given_up: whether it says that its boot has failed, or has ended.
        last_words: what it said last, for the error.
        listens: whether it says that these ports are its own; another node may have taken one before it did.

    Raises:
        BrokerUnavailable: it has given up, or does not answer in time.
    """
    deadline = time.monotonic() + _BOOT_S
    stolen: BrokerUnavailable | None = None
    user = urlsplit(addresses.amqp)
    login, passcode = unquote(user.username or ""), unquote(user.password or "")
    while True:
        try:
            amqp_answers(addresses.amqp)
            # A node whose boot fails for it has its other ports only for a moment: asked before Web-STOMP, remembered.
            if not listens():
                stolen = BrokerUnavailable("another program has taken one of its ports")
                raise stolen
            web_stomp_answers(addresses.web_stomp, login, passcode, "/")
        except BrokerUnavailable as exc:
            if time.monotonic() >= deadline or has_given_up():
                raise BrokerUnavailable(f"the node did not come up: {stolen or exc}\n{last_words()}") from exc
            time.sleep(_LOOK_S)  # between two looks at a protocol: there is no event to wait for
        else:
            return
