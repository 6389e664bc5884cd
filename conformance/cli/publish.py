"""``durable-ws publish``: publish from the command line, with the broker's word for it."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from conformance.cli.options import duration_option
from conformance.errors import BrokerUnavailable, UsageError
from conformance.report.plain import plain
from conformance.world.broker.handshake import redacted
from durable_ws import (
    ConfigError,
    DurableWsError,
    Nacked,
    NotSent,
    OutcomeUnknown,
    Publisher,
    Receipt,
    Unroutable,
)

__all__ = ["publish"]


def publish(
    payload: Annotated[str, typer.Argument(help="The body; - reads standard input, one message a line.")],
    url: Annotated[
        str | None, typer.Option(metavar="amqp://…", help="The broker; default: RABBITMQ_URL.", envvar="RABBITMQ_URL")
    ] = None,
    to: Annotated[str, typer.Option(metavar="EXCHANGE", help="pubsub or broadcast.")] = "pubsub",
    routing_key: Annotated[str, typer.Option("--key", "-k", metavar="KEY", help="The routing key.")] = "",
    message_id: Annotated[str | None, typer.Option("--id", help="The message id; default: a new one.")] = None,
    require_route: Annotated[bool, typer.Option(help="Fail where no queue is bound.")] = False,
    timeout: Annotated[str, typer.Option(metavar="TIME", help="The deadline of each message: 30s, 2m.")] = "30s",
    as_json: Annotated[bool, typer.Option("--json", help="Print the receipts as JSON lines.")] = False,
) -> int:
    """Publish a message (or each line of standard input) and print the receipt once the broker has confirmed it.

    Exit status: 0 published, 1 not all were routed (with --require-route), 2 bad usage, 3 the broker can't be reached
    or did not confirm.
    """
    if payload == "-" and message_id is not None:
        raise UsageError("--id", "is for one message, and - reads many", "Leave it out: each gets an id of its own.")
    timeout_s = duration_option("--timeout", timeout)
    if timeout_s <= 0:
        raise UsageError("--timeout", f"{timeout!r} leaves no time", "Write it like 30s.")
    payloads = (line.rstrip("\n") for line in sys.stdin) if payload == "-" else iter([payload])
    status = 0
    try:
        with Publisher(url, timeout=timeout_s, require_route=require_route) as publisher:
            for body in payloads:
                try:
                    receipt = publisher.publish(body, to=to, routing_key=routing_key, message_id=message_id)
                except Unroutable as exc:
                    sys.stderr.write(f"{plain(str(exc))}\n")
                    status = 1
                else:
                    _tell(receipt, as_json=as_json)
    except (Nacked, NotSent, OutcomeUnknown) as exc:
        if isinstance(exc, ConfigError):
            raise
        raise BrokerUnavailable(f"{redacted(url or '')}: {exc}. {_WAYS_OUT[type(exc)]}") from exc
    return status


_WAYS_OUT: dict[type[DurableWsError], str] = {
    Nacked: "See what the broker's log says of its queues, and publish it again.",
    NotSent: "Check host and port, and that RabbitMQ runs there and takes messages; publishing it again is safe.",
    OutcomeUnknown: "The broker may have it: publish it again under the same --id, and a tab can tell that it is one.",
}


def _tell(receipt: Receipt, *, as_json: bool) -> None:
    if as_json:
        told = {
            "message_id": receipt.message_id,
            "routed": receipt.routed,
            "attempts": receipt.attempts,
            "latency_ms": round(receipt.latency_s * 1000, 2),
        }
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        bound = "confirmed" if receipt.routed else "confirmed, but no queue is bound for it"
        sys.stdout.write(f"{plain(receipt.message_id)}  {bound}  {receipt.latency_s * 1000:.1f} ms\n")
    sys.stdout.flush()
