"""OpenTelemetry for a publisher: spans, counters and a histogram, and the trace's context in the messages' headers.

Needs ``pip install 'durable-ws[opentelemetry]'``; the program brings the SDK and the exporter. Names are those of the
semantic conventions for messaging (https://opentelemetry.io/docs/specs/semconv/messaging/rabbitmq/, and
``messaging-metrics`` beside it), which are in development and may change with them.
"""

from __future__ import annotations

from collections.abc import Mapping

from durable_ws.observe import Blocked, Connected, Disconnected, MessageSettled, MessageTaken, Observer, Unblocked

try:
    from opentelemetry import metrics, propagate, trace
    from opentelemetry.propagators.textmap import TextMapPropagator
except ImportError as exc:
    raise ImportError("durable_ws.otel needs OpenTelemetry: pip install 'durable-ws[opentelemetry]'") from exc

__all__ = ["OpenTelemetryObserver"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""The buckets that the conventions ask for."""


class OpenTelemetryObserver(Observer):
    """Give it to a publisher as ``observer``; one may serve several.

    Each message has a span ``publish EXCHANGE`` of kind producer, from the call to the outcome, a child of the span
    that is current in the call. Its context goes with the message, in the headers that the propagator writes
    (``traceparent`` by default). A message that is not confirmed gives a span in error, with ``error.type``; one that
    no queue is bound for is an error of the trace, too, whether or not the call raises.

    Metrics: ``messaging.client.sent.messages``, ``messaging.client.operation.duration``, and of our own
    ``durable_ws.publish.attempts`` (writes, so what is above the messages was repeated), ``durable_ws.connections``
    (open now), ``durable_ws.connections.lost`` (lost, or could not be made) and ``durable_ws.connections.blocked``
    (how many times the broker blocked one).

    Args:
        tracer_provider, meter_provider: None: the global ones.
        propagator: writes the headers; None: the global one.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        propagator: TextMapPropagator | None = None,
    ) -> None:
        self._tracer = trace.get_tracer("durable_ws", tracer_provider=tracer_provider)
        self._propagator = propagator or propagate.get_global_textmap()
        meter = metrics.get_meter("durable_ws", meter_provider=meter_provider)
        self._sent = meter.create_counter(
            "messaging.client.sent.messages", "{message}", "Messages that the publisher tried to send."
        )
        self._duration = meter.create_histogram(
            "messaging.client.operation.duration",
            "s",
            "From the call to the outcome.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._attempts = meter.create_counter(
            "durable_ws.publish.attempts", "{write}", "How often messages were written."
        )
        self._open = meter.create_up_down_counter("durable_ws.connections", "{connection}", "Connections open now.")
        self._lost = meter.create_counter(
            "durable_ws.connections.lost", "{connection}", "Connections lost, or that could not be made."
        )
        self._blocked = meter.create_counter(
            "durable_ws.connections.blocked", "{block}", "How many times the broker blocked a connection."
        )
        self._spans: dict[MessageTaken, trace.Span] = {}

    def taken(self, fact: MessageTaken, /) -> Mapping[str, str] | None:
        """Begin the span; its context as headers."""
        attributes: dict[str, str | int] = {
            **_common(fact),
            "messaging.message.id": fact.message_id,
            "messaging.message.body.size": fact.size_bytes,
        }
        if fact.routing_key:
            attributes["messaging.rabbitmq.destination.routing_key"] = fact.routing_key
        span = self._tracer.start_span(
            f"publish {attributes['messaging.destination.name']}", kind=trace.SpanKind.PRODUCER, attributes=attributes
        )
        self._spans[fact] = span
        headers: dict[str, str] = {}
        self._propagator.inject(headers, trace.set_span_in_context(span))
        return headers

    def settled(self, fact: MessageSettled, /) -> None:
        """End the span and count."""
        attributes = _common(fact.message)
        span = self._spans.pop(fact.message, None)
        failed = fact.outcome != "confirmed"
        if failed:
            attributes["error.type"] = fact.outcome.replace(" ", "_")
        if span is not None:
            span.set_attribute("durable_ws.attempts", fact.attempts)
            if failed:
                span.set_attribute("error.type", attributes["error.type"])
                span.set_status(trace.Status(trace.StatusCode.ERROR, fact.reason))
            span.end()
        self._sent.add(1, attributes)
        self._attempts.add(fact.attempts, attributes)
        self._duration.record(fact.latency_s, attributes)

    def connected(self, fact: Connected, /) -> None:
        """Count it."""
        self._open.add(1, _server(fact))

    def disconnected(self, fact: Disconnected, /) -> None:
        """Count it."""
        if fact.opened:
            self._open.add(-1, _server(fact))
        if not fact.in_order:
            self._lost.add(1, _server(fact))

    def blocked(self, fact: Blocked, /) -> None:
        """Count it."""
        self._blocked.add(1, _server(fact))

    def unblocked(self, fact: Unblocked, /) -> None:
        """Nothing is counted."""


def _common(message: MessageTaken) -> dict[str, str]:
    """What spans and metrics say alike. The default exchange has no name, and so takes its queue's."""
    return {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": message.exchange or message.routing_key or "amq.default",
    }


def _server(fact: Connected | Disconnected | Blocked) -> dict[str, str | int]:
    return {"messaging.system": "rabbitmq", "server.address": fact.host, "server.port": fact.port}
