"""A link: one connection with one confirm-mode channel, on an asyncio loop, kept up while there is something to send.

The only module that speaks AMQP. It turns what pika tells into the ledger's inputs, in the one order in which the
broker sent it (a return before its confirm), and writes what the ledger lets through. Everything here runs on the
loop's thread.

pika's adapter for asyncio is used as it gives callbacks on one ordered stream, pipelines, and can run on a caller's
own loop as well as on one in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pika import BasicProperties, ConnectionParameters
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel
from pika.exceptions import AMQPError, ChannelClosedByBroker, ConnectionClosedByBroker
from pika.frame import Method
from pika.spec import Basic
from pika.spec import Connection as ConnectionMethods

from durable_ws.exchanges import Exchange
from durable_ws.ledger import Ledger, Settled
from durable_ws.message import Message

__all__ = ["Link", "LinkSettings"]

logger = logging.getLogger(__name__)
# What goes wrong is told by our own errors; without this, pika's log would go to stderr where logging is not set up.
logging.getLogger("pika").addHandler(logging.NullHandler())

_TRANSIENT_CODES = frozenset((311, 320, 506, 541))
"""Reply codes that say nothing against what was asked for: 320 connection-forced (the broker stops), 506
resource-error, 541 internal-error. 311 is content-too-large of the spec, which RabbitMQ does not send."""

_EXCHANGE_CLASS = 40  # AMQP 0-9-1's class id of exchange.declare, in connection.close


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What every link of a publisher shares.

    Attributes:
        parameters: where and how to connect.
        exchanges: the declarations by their names at the broker.
        window: the most unconfirmed messages on a channel.
        reconnect_first_s, reconnect_most_s: the pause before the n-th attempt to connect in a row grows from the first
            to the most, doubled each time; a random part of up to a half is taken off it.
    """

    parameters: ConnectionParameters
    exchanges: dict[str, Exchange]
    window: int
    reconnect_first_s: float
    reconnect_most_s: float


class Link:
    """One connection over its reconnects.

    Args:
        loop: the running loop; every method must be called on its thread.
        settings: see there.
        on_settled: called once for each message that was given to :meth:`publish`.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, settings: LinkSettings, on_settled: Callable[[Settled], None]
    ) -> None:
        self._loop = loop
        self._settings = settings
        self._on_settled = on_settled
        self._ledger = Ledger(settings.window)
        self._messages: dict[int, Message] = {}
        self._connection: AsyncioConnection | None = None  # connecting, open, or closing
        self._channel: Channel | None = None  # open and in confirm mode
        self._declaring: str | None = None  # one declaration at a time: then a refusal names its exchange
        self._close_frame: ConnectionMethods.Close | None = None
        self._failures = 0  # connections in a row that never came to a channel
        self._retry: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._closing = False
        self._closed = asyncio.Event()

    @property
    def load(self) -> int:
        """How much is under way here: messages without a fate, and writes without an answer."""
        return max(self._ledger.unsettled, self._ledger.unconfirmed)

    @property
    def unsettled(self) -> int:
        """How many messages have no fate yet."""
        return self._ledger.unsettled

    def publish(self, key: int, message: Message, deadline: float) -> None:
        """Take in a message; ``deadline`` is on the loop's clock. Call :meth:`pump` after a run of these."""
        self._messages[key] = message
        self._ledger.publish(key, message.message_id, message.exchange, deadline)

    def pump(self) -> None:
        """Do all that can be done now: hand out fates, connect, declare, write, and set the timer."""
        ledger = self._ledger
        for event in ledger.settled():
            self._messages.pop(event.key)
            self._on_settled(event)
        if self._channel is not None:
            self._declare_next()
            self._write()
        elif self._connection is None and self._retry is None and ledger.unsettled and not self._closing:
            self._connect()
        self._set_timer()

    async def close(self) -> None:
        """Give up on what is not settled, close the connection in order, and wait for its end."""
        self._closing = True
        self._ledger.close("the publisher was closed")
        self.pump()
        for handle in (self._retry, self._timer):
            if handle is not None:
                handle.cancel()
        if self._connection is None:
            return
        if not (self._connection.is_closing or self._connection.is_closed):
            self._connection.close()
        await self._closed.wait()

    def abort(self, reason: str) -> None:
        """End the connection without a word to the broker; what was unconfirmed on it is written again."""
        connection = self._connection
        if connection is not None and not connection.is_closed:
            # pika has no public way to end a connection whose peer does not answer; its heart-beats end it this way.
            connection._terminate_stream(ConnectionAbortedError(reason))

    # --- connecting -------------------------------------------------------------------------------

    def _connect(self) -> None:
        self._retry = None
        self._close_frame = None
        connection = AsyncioConnection(
            self._settings.parameters,
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_open_error,
            on_close_callback=self._on_closed,
            custom_ioloop=self._loop,
        )
        self._connection = connection
        connection.callbacks.add(0, ConnectionMethods.Close, self._on_close_frame)
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)

    def _on_close_frame(self, frame: Method[ConnectionMethods.Close]) -> None:
        """Keep the broker's own words, which pika's errors of the handshake leave out."""
        self._close_frame = frame.method

    def _on_open(self, connection: AsyncioConnection) -> None:
        connection.channel(on_open_callback=self._on_channel_open)

    def _on_channel_open(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=lambda _frame: self._on_confirm_mode(channel))

    def _on_confirm_mode(self, channel: Channel) -> None:
        self._failures = 0
        self._channel = channel
        self._declaring = None
        self._ledger.opened()
        self.pump()

    def _on_open_error(self, _connection: AsyncioConnection, error: BaseException) -> None:
        closed = self._close_frame
        if closed is not None and closed.reply_code not in _TRANSIENT_CODES and "limit" not in closed.reply_text:
            self._ledger.refused(
                f"the broker refused the connection: ({closed.reply_code}) {closed.reply_text.rstrip('.')}"
            )
        elif isinstance(cause := _root(error), ssl.SSLCertVerificationError):
            self._refuse(f"the broker's certificate can't be trusted: {cause.verify_message}")
        else:
            said = (
                f"({closed.reply_code}) {closed.reply_text.rstrip('.')}"
                if closed is not None
                else _describe(_root(error))
            )
            self._ledger.trouble(f"can't connect: {said}")
        self._gone()

    def _refuse(self, reason: str) -> None:
        self._failures = 0  # who is told at once need not wait longer each time
        self._ledger.refused(reason)

    def _on_closed(self, _connection: AsyncioConnection, error: BaseException) -> None:
        text = _describe(error)
        if not isinstance(error, ConnectionClosedByBroker) or error.reply_code in _TRANSIENT_CODES:
            self._ledger.lost(text)
        elif self._declaring is not None and self._close_frame and self._close_frame.class_id == _EXCHANGE_CLASS:
            self._ledger.exchange_refused(self._declaring, text)  # such as an unknown exchange type
            self._ledger.lost(text)
        else:
            self._ledger.poisoned(text)
        self._gone()

    def _gone(self) -> None:
        """The connection has ended: connect again after a pause if something waits."""
        self._connection = None
        self._channel = None
        self._declaring = None
        if self._closing:
            self._closed.set()
            return
        settings = self._settings
        pause_s = min(settings.reconnect_most_s, settings.reconnect_first_s * 2.0 ** min(self._failures, 30))
        self._failures += 1
        self._retry = self._loop.call_later(pause_s * random.uniform(0.5, 1.0), self._after_pause)
        self.pump()

    def _after_pause(self) -> None:
        self._retry = None
        self.pump()

    # --- on the channel ---------------------------------------------------------------------------

    def _write(self) -> None:
        channel = self._channel
        if channel is None or not channel.is_open:
            return
        while (key := self._ledger.write()) is not None:
            message = self._messages[key]
            try:
                channel.basic_publish(
                    message.exchange, message.routing_key, message.body, message.properties, mandatory=True
                )
            except Exception as exc:
                # The ledger counts it as written, so the tags would no longer match: only a new channel helps.
                logger.exception("could not write message %s", message.message_id)
                self.abort(f"a message could not be written: {_describe(exc)}")
                return

    def _on_confirm(self, frame: Method[Basic.Ack | Basic.Nack]) -> None:
        method = frame.method
        answer = self._ledger.nack if isinstance(method, Basic.Nack) else self._ledger.ack
        answer(method.delivery_tag, multiple=method.multiple)
        self.pump()

    def _on_return(self, _channel: Channel, method: Basic.Return, properties: BasicProperties, _body: bytes) -> None:
        self._ledger.returned(properties.message_id, method.reply_text)

    def _on_channel_closed(self, channel: Channel, reason: BaseException) -> None:
        if not isinstance(reason, ChannelClosedByBroker):
            return  # the connection is going, which is told by itself
        self._channel = None
        self._declaring = None
        if reason.reply_code in _TRANSIENT_CODES:
            self._ledger.lost(_describe(reason))
            self.abort(_describe(reason))  # with the pause before the next connection
        else:
            self._ledger.poisoned(_describe(reason))
            channel.connection.channel(on_open_callback=self._on_channel_open)
        self.pump()

    def _on_blocked(self, _connection: AsyncioConnection, frame: Method[ConnectionMethods.Blocked]) -> None:
        self._ledger.blocked(frame.method.reason)
        self.pump()

    def _on_unblocked(self, _connection: AsyncioConnection, _frame: Method[ConnectionMethods.Unblocked]) -> None:
        self._ledger.unblocked()
        self.pump()

    # --- exchanges: each on a channel of its own, so that a refusal does not end the publishing one ----

    def _declare_next(self) -> None:
        connection = self._connection
        if self._declaring is not None or connection is None or not connection.is_open:
            return
        waiting = self._ledger.undeclared
        if waiting and waiting[0] == "":
            self._ledger.declared("")
            waiting = waiting[1:]
        if waiting:
            self._declaring = waiting[0]
            connection.channel(on_open_callback=self._on_declaring_channel_open)

    def _on_declaring_channel_open(self, channel: Channel) -> None:
        name = self._declaring
        if name is None:
            channel.close()
            return
        exchange = self._settings.exchanges[name]
        channel.add_on_close_callback(self._on_declaring_channel_closed)
        channel.exchange_declare(
            exchange=name,
            exchange_type=exchange.type,
            passive=exchange.passive,
            durable=exchange.durable,
            arguments=dict(exchange.arguments) if exchange.arguments else None,
            callback=lambda _frame: self._on_declared(channel, name),
        )

    def _on_declared(self, channel: Channel, name: str) -> None:
        self._declaring = None
        self._ledger.declared(name)
        channel.close()
        self.pump()

    def _on_declaring_channel_closed(self, _channel: Channel, reason: BaseException) -> None:
        if isinstance(reason, ChannelClosedByBroker) and self._declaring is not None:
            self._ledger.exchange_refused(self._declaring, _describe(reason))
            self._declaring = None
            self.pump()

    # --- time -------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        """Wake at the next deadline; an earlier timer is left to fire and set the next one."""
        deadline = self._ledger.next_deadline()
        if deadline is not None and deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        self._ledger.tick(self._loop.time())
        self.pump()


def _root(error: BaseException) -> BaseException:
    """The error that lies under pika's layers of "the workflow failed"."""
    while True:
        inner = getattr(error, "exceptions", None) or error.args[:1]
        found: Any = getattr(error, "exception", None) or (inner[-1] if inner else None)
        if not isinstance(found, BaseException):
            return error
        error = found


def _describe(error: BaseException) -> str:
    """One line, in the broker's words where they are its."""
    if isinstance(error, ChannelClosedByBroker | ConnectionClosedByBroker):
        what = "channel" if isinstance(error, ChannelClosedByBroker) else "connection"
        return f"the broker closed the {what}: ({error.reply_code}) {error.reply_text.rstrip('.')}"
    text = str(error).strip()
    if isinstance(error, AMQPError | OSError):
        return text or type(error).__name__
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
