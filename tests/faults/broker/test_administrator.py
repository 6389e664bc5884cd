"""What an administrator does is done, is seen, and is recorded as his."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, NackError, UnroutableError

from conformance.errors import HarnessError
from conformance.faults.broker.looking import all_of, until
from conformance.history.events import ConfirmSeen, PublishSeen, ResourceDestroyed
from conformance.world.broker.handshake import web_stomp_answers

if TYPE_CHECKING:
    from tests.faults.broker.conftest import Bench

pytestmark = pytest.mark.broker


def destroyed(bench: Bench) -> list[tuple[str, str, str]]:
    """What was recorded as destroyed: what, name, by which fault."""
    return [(event.what, event.name, event.by) for event in bench.events if isinstance(event, ResourceDestroyed)]


def test_the_publishers_connections_are_closed(bench: Bench) -> None:
    """A publisher reads connection.close; the suite's own connection stays; another may be made at once."""
    bench.broker.ready_count(bench.queue)
    assert until(lambda: len(bench.node.client_connections("publisher")) == 1, PATIENCE_S), "of earlier tests none"
    bench.begin("close_connections", of="publisher")
    assert bench.fired()
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="320"):
        bench.channel.connection.process_data_events(time_limit=5)
    bench.publish(bench.connect())
    assert bench.end().counts == {"publishers closed": 1}
    assert bench.broker.ready_count(bench.queue) == 2


def test_where_no_such_client_is_nothing_is_closed(bench: Bench) -> None:
    """No tab is there: it never fires, and says so."""
    assert until(lambda: not bench.node.client_connections("tab"), PATIENCE_S), "of earlier tests none"
    bench.begin("close_connections", of="tab")
    assert not bench.node.fired
    assert not bench.end().fired


def test_a_queue_is_deleted(bench: Bench) -> None:
    """It is gone with its message and its binding, until somebody declares it."""
    bench.begin("delete_queue")
    assert bench.fired()
    assert bench.broker.ready_count(bench.queue) is None
    with pytest.raises(UnroutableError):
        bench.publish(bench.channel)
    assert bench.end().counts == {"deleted": 1}
    assert destroyed(bench) == [("queue", bench.queue, "delete_queue")]
    bench.channel.queue_declare(bench.queue, durable=True)
    bench.channel.queue_bind(bench.queue, bench.exchange, "ticks")
    bench.publish(bench.channel)


def test_a_queue_is_purged(bench: Bench) -> None:
    """What is ready is gone, what is unacked is not, and the binding stays."""
    assert bench.channel.basic_get(bench.queue)[0] is not None
    bench.publish(bench.channel)
    bench.begin("purge_queue")
    assert bench.fired()
    assert bench.broker.ready_count(bench.queue) == 0
    assert bench.end().counts == {"purged": 1}
    assert destroyed(bench) == [("messages", bench.queue, "purge_queue")] * 2
    bench.publish(bench.channel)
    bench.channel.basic_nack(0, multiple=True)
    assert until(lambda: bench.broker.ready_count(bench.queue) == 2, PATIENCE_S)


def test_a_purge_of_an_empty_queue_does_not_count(bench: Bench) -> None:
    """Nothing was there: it has not fired."""
    bench.channel.basic_get(bench.queue, auto_ack=True)
    bench.begin("purge_queue")
    assert not bench.end().fired


def test_an_exchange_is_removed_and_comes_back(bench: Bench) -> None:
    """Publishing to it closes the channel; at the end it is there as it was, without its bindings."""
    bench.begin("remove_exchange")
    assert bench.fired()
    with pytest.raises(ChannelClosedByBroker, match="404"):
        bench.publish(bench.channel)
    assert bench.end().counts == {"removed": 1, "bindings removed": 1}
    assert destroyed(bench) == [("exchange", bench.exchange, "remove_exchange")]
    again = bench.connect()
    again.exchange_declare(bench.exchange, exchange_type="topic", durable=True)
    with pytest.raises(UnroutableError):
        bench.publish(again)
    assert bench.broker.ready_count(bench.queue) == 1


def test_what_is_published_into_a_removed_exchange_is_waited_for(bench: Bench) -> None:
    """Where that is asked for, removing it is not enough: a publish must have passed on the publisher's link."""
    bench.begin("remove_exchange", met=True)
    assert not bench.node.fired
    bench.live(passed(bench.exchange))
    assert bench.node.fired
    assert bench.end().counts["published into"] == 1


def test_a_full_queue_refuses(bench: Bench) -> None:
    """The broker nacks what is published to it; it has happened once a nack was seen; at the end there is room."""
    bench.begin("full_queue")
    assert not bench.node.fired
    assert until(lambda: not published(bench), PATIENCE_S)
    taken = bench.broker.ready_count(bench.queue)
    assert not published(bench)
    bench.live(ConfirmSeen(index=0, time_ns=0, connection=1, channel=1, kind="nack", body_digests=("d",)))
    assert bench.node.fired
    assert bench.end().counts == {"nacked": 1}
    assert bench.broker.ask("GET", "/policies") == []
    assert bench.broker.ready_count(bench.queue) == taken
    assert until(lambda: published(bench), PATIENCE_S)


PATIENCE_S = 20.0


def published(bench: Bench) -> bool:
    """Whether the queue takes a message: it may learn a moment later that a policy has come or gone."""
    try:
        bench.publish(bench.connect())
    except NackError:
        return False
    return True


def passed(exchange: str) -> PublishSeen:
    """A publish to the exchange, as the publisher's link shows it."""
    return PublishSeen(
        index=0,
        time_ns=0,
        connection=1,
        channel=1,
        delivery_tag=1,
        message_id="m",
        exchange=exchange,
        routing_key="k",
        mandatory=True,
        delivery_mode=2,
        body_digest="d",
    )


def test_a_password_is_changed_and_put_back(bench: Bench) -> None:
    """Nobody gets in with the old one; who is connected stays; at the end it is valid again."""
    before = bench.broker.ask("GET", "/users/guest")
    bench.begin("rotate_password")
    assert bench.fired()
    assert bench.refused() == {"tab", "publisher"}
    bench.publish(bench.channel)
    ended = bench.end()
    assert ended.counts == {"tabs refused": 1, "publishers refused": 1}
    assert until(lambda: bench.refused() == set(), PATIENCE_S)
    assert bench.broker.ask("GET", "/users/guest") == before


def test_the_plugin_is_disabled_and_enabled(bench: Bench) -> None:
    """Nobody listens at its port; publishers notice nothing; at the end it listens again."""
    bench.begin("disable_web_stomp")
    assert bench.fired()
    assert until(lambda: bench.refused() == {"tab"}, PATIENCE_S)
    bench.publish(bench.channel)
    assert bench.end().counts == {"not listening": 1}
    web_stomp_answers(bench.broker.addresses.web_stomp, "guest", "guest", "/")


def test_a_begin_that_failed_half_way_is_healed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command fails after the old limit was read: what was begun is undone all the same."""
    bench.needs("memory_alarm")
    before = bench.broker.ctl("eval", "vm_memory_monitor:get_vm_memory_high_watermark().")
    ctl = bench.node.ctl

    def failing(*words: str, program: str = "rabbitmqctl") -> str:
        if words[0] == "set_vm_memory_high_watermark":
            ctl(*words, program=program)
            raise HarnessError("it was cut off")
        return ctl(*words, program=program)

    monkeypatch.setattr(bench.node, "ctl", failing)
    with pytest.raises(HarnessError, match="cut off"):
        bench.begin("memory_alarm")
    bench.end()
    assert bench.broker.ctl("eval", "vm_memory_monitor:get_vm_memory_high_watermark().") == before
    bench.publish(bench.channel)


def test_one_healing_that_fails_spares_no_other() -> None:
    """The first error is raised once all were tried."""
    done: list[str] = []

    def fail(what: str) -> None:
        done.append(what)
        raise HarnessError(what)

    with pytest.raises(HarnessError, match="first"):
        all_of(lambda: fail("first"), lambda: done.append("second"), lambda: fail("third"))
    assert done == ["first", "second", "third"]
