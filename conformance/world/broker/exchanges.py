"""Declares a contract's exchanges as an administrator would before the tabs come."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import pika

from conformance.contract.model import Exchange
from conformance.errors import HarnessError
from conformance.world.broker.amqp_connection import open_amqp
from conformance.world.broker.amqp_errors import AMQP_ERRORS

__all__ = ["declare_exchanges"]


def declare_exchanges(amqp_url: str, exchanges: Iterable[Exchange]) -> None:
    """Declare each exchange as the contract says; those named ``amq.*`` are the broker's own.

    Tabs subscribe before anything is published, and SUBSCRIBE to ``/exchange/NAME`` needs the exchange.

    Raises:
        HarnessError: the broker refused (another type under this name, no permission) or can't be reached.
    """
    try:
        connection = open_amqp(pika.URLParameters(amqp_url))
    except AMQP_ERRORS as exc:
        raise HarnessError(f"the exchanges can't be declared: no connection ({exc or type(exc).__name__})") from exc
    what = "the exchanges"
    try:
        channel = connection.channel()
        for exchange in exchanges:
            if not exchange.name.startswith("amq."):
                what = f"the exchange {exchange.name!r}"
                channel.exchange_declare(exchange.name, exchange.type, durable=exchange.durable)
    except AMQP_ERRORS as exc:
        raise HarnessError(f"{what} can't be declared: {exc or type(exc).__name__}") from exc
    finally:
        if connection.is_open:
            with contextlib.suppress(*AMQP_ERRORS):
                connection.close()
