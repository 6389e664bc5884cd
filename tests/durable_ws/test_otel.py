"""OpenTelemetry's spans, metrics and context, by its own SDK, on a real broker."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from durable_ws import Exchange, Unroutable
from durable_ws.otel import OpenTelemetryObserver

if TYPE_CHECKING:
    from tests.durable_ws.conftest import Link, MakePublisher, Queues

pytestmark = pytest.mark.broker


class Telemetry:
    """An SDK that keeps what it is given."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self._reader = InMemoryMetricReader()
        self.observer = OpenTelemetryObserver(
            self.tracers, MeterProvider([self._reader]), TraceContextTextMapPropagator()
        )

    def metrics(self) -> dict[str, list[Any]]:
        """The data points of each metric."""
        data = self._reader.get_metrics_data()
        assert data is not None
        return {
            metric.name: list(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def telemetry() -> Telemetry:
    """One of the test's own; nothing global is touched."""
    return Telemetry()


def test_a_span_for_each_message(
    make_publisher: MakePublisher, queues: Queues, queue: str, exchange: Exchange, telemetry: Telemetry
) -> None:
    """A child of the span that is current in the call, in the conventions' words; the message carries its context."""
    publisher = make_publisher(observer=telemetry.observer)
    tracer = telemetry.tracers.get_tracer("test")
    with tracer.start_as_current_span("order") as parent:
        publisher.publish("abc", routing_key="k", message_id="one", headers={"mine": 1})
    publisher.close()
    (got,) = queues.take(queue)
    child = next(span for span in telemetry.exporter.get_finished_spans() if span.name != "order")
    assert (child.name, child.kind) == (f"publish {exchange.name}", SpanKind.PRODUCER)
    assert dict(child.attributes or {}) == {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": exchange.name,
        "messaging.rabbitmq.destination.routing_key": "k",
        "messaging.message.id": "one",
        "messaging.message.body.size": 3,
        "durable_ws.attempts": 1,
    }
    assert child.status.status_code is StatusCode.UNSET
    assert child.parent is not None
    assert child.parent.span_id == parent.get_span_context().span_id
    assert child.context is not None
    assert got.properties.headers["mine"] == 1
    context = TraceContextTextMapPropagator().extract({"traceparent": got.properties.headers["traceparent"]})
    carried = trace.get_current_span(context).get_span_context()
    assert (carried.trace_id, carried.span_id) == (child.context.trace_id, child.context.span_id)


def test_errors_and_numbers(make_publisher: MakePublisher, link: Link, queue: str, telemetry: Telemetry) -> None:
    """A message that nobody gets is a span in error; messages, attempts, times and connections are counted."""
    publisher = make_publisher(link.url, observer=telemetry.observer)
    publisher.publish_many(range(3))
    with link.fault("cut_before_confirm", down=False):
        publisher.publish("again")
    other = make_publisher(exchanges={"pubsub": Exchange("")}, observer=telemetry.observer)
    with pytest.raises(Unroutable):
        other.publish("a", routing_key=f"{queue}-missing", require_route=True)
    publisher.close()
    other.close()
    spans = telemetry.exporter.get_finished_spans()
    assert len(spans) == 5
    (failed,) = [span for span in spans if span.status.status_code is StatusCode.ERROR]
    assert failed.name == f"publish {queue}-missing"
    assert (failed.attributes or {})["error.type"] == "returned"
    assert "NO_ROUTE" in (failed.status.description or "")
    metrics = telemetry.metrics()
    sent = {point.attributes.get("error.type"): point.value for point in metrics["messaging.client.sent.messages"]}
    assert sent == {None: 4, "returned": 1}
    attempts = {point.attributes.get("error.type"): point.value for point in metrics["durable_ws.publish.attempts"]}
    assert attempts == {None: 5, "returned": 1}
    durations = metrics["messaging.client.operation.duration"]
    assert sum(point.count for point in durations) == 5
    assert all(point.explicit_bounds[0] == 0.005 for point in durations)
    port = link.proxy.address[1]
    (lost,) = metrics["durable_ws.connections.lost"]
    assert (lost.value, lost.attributes["server.port"]) == (1, port)
    still_open = [p.value for p in metrics["durable_ws.connections"] if p.attributes["server.port"] == port]
    assert still_open == [0]
    assert not telemetry.observer._spans, "nothing is kept of what is over"


def test_without_opentelemetry() -> None:
    """The package works without it, and the module says what to install."""
    program = (
        "import sys\nsys.modules['opentelemetry'] = None\nimport durable_ws\n"
        "try:\n    import durable_ws.otel\nexcept ImportError as exc:\n    print(exc)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    assert done.stdout == "durable_ws.otel needs OpenTelemetry: pip install 'durable-ws[opentelemetry]'\n"
