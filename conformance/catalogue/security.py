"""What a hostile page could do with the tab's credentials: each attempt beside an honest tab that must be served.

Made where the contract promises ``hostile_tab``. An attempt counts as refused where the broker says that it does
not permit it or has reached a limit, and by what is seen: that the message did not arrive, that the queue is still
there. One that could not be made is inconclusive. What no RabbitMQ can refuse (found by trial on 3.10.8, 4.0.5 and
4.3.6) is told as a note, with what protects all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from conformance.catalogue.case import case
from conformance.catalogue.steps import Telling
from conformance.contract.model import Contract
from conformance.scenario.needs import needs_of
from conformance.scenario.steps import Attempt, AttemptKind, Step

__all__: list[str] = []

_ACCESS = "https://www.rabbitmq.com/docs/access-control"
_STOMP = "https://www.rabbitmq.com/docs/stomp"
_WEB_STOMP = "https://www.rabbitmq.com/docs/web-stomp"


def _always(_: Contract) -> bool:
    return True


def _hostile(
    what: AttemptKind,
    *,
    rule: str,
    source: str,
    expectation: str,
    where: Callable[[Contract], bool] = _always,
    name: str | None = None,
) -> None:
    """Register the case of one attempt; ``where`` says which contracts promise that it is refused."""

    @case(
        f"security/{name or what}",
        rule=rule,
        source=source,
        expectation=f"{expectation} An honest tab gets its deliveries before, meanwhile and after.",
        needs=needs_of([Attempt(what=what)]),
        fits=lambda contract: contract.promise.hostile_tab and where(contract),
    )
    def attempt(contract: Contract) -> Iterable[Step]:
        """An honest tab is subscribed; the hostile page tries; the honest tab is published to all along."""
        tell = Telling(contract)
        return (
            tell.open(),
            tell.publish(2),
            tell.settle(),
            tell.publish(2, wait=False),
            Attempt(what=what),
            tell.publish(2),
            tell.settle(),
        )


_hostile(
    "publish",
    rule="A page can't publish to the exchanges.",
    source=f"{_ACCESS}#authorisation",
    expectation="SEND to each exchange of the contract is refused, and a queue that is bound to it gets nothing.",
)
_hostile(
    "send-to-queue",
    rule="A page can't put messages into queues.",
    source=f"{_STOMP}#d",
    expectation=(
        "SEND to /queue, /amq/queue, /reply-queue and /temp-queue is refused, of other tabs' queues too, and nothing "
        "is in them: it takes write on amq.default."
    ),
)
_hostile(
    "foreign-queue",
    rule="A page can't read, bind or delete the queue of another application.",
    source=f"{_ACCESS}#authorisation",
    expectation=(
        "SUBSCRIBE to it by /amq/queue and by x-queue-name is refused, and so is the UNSUBSCRIBE that would delete it."
    ),
)
_hostile(
    "known-queue",
    rule="A page can't delete another tab's queue.",
    source=f"{_ACCESS}#authorisation",
    expectation=(
        "UNSUBSCRIBE leaves the other's queue there. A page that knows the name of another tab's queue can read and "
        "bind it, because the tabs share one user and permissions are the user's: that is told as a note. Names that "
        "can't be guessed (security/guessed-queue) or learnt (security/learn-names) are what protects it."
    ),
    where=lambda contract: "{tab}" in contract.tab.queue,
)
_hostile(
    "guessed-queue",
    rule="A page can't read a queue whose name is in the contract.",
    source=f"{_ACCESS}#authorisation",
    expectation=(
        "Where tab.queue holds no id, reading it is refused. Where it does there is nothing to try: that the id is "
        "long and random is the page's own to see to, which is told as a note."
    ),
)
_hostile(
    "learn-names",
    rule="A page can't listen in where RabbitMQ names queues or copies messages.",
    source="https://www.rabbitmq.com/docs/firehose",
    expectation=(
        "SUBSCRIBE to amq.rabbitmq.trace, amq.rabbitmq.event and amq.rabbitmq.log is refused; of one that is not there "
        "now, the read permission does not match the name."
    ),
)
_hostile(
    "other-keys",
    rule="A page binds to its own routing keys alone.",
    source=f"{_ACCESS}#topic-authorisation",
    expectation="Bindings to #, to wider and to other keys are refused; one to the contract's key is not.",
    where=lambda contract: contract.limits.topic_permissions,
)
_hostile(
    "declare",
    rule="A page can't declare queues outside the pattern of the tabs' queues.",
    source=f"{_ACCESS}#authorisation",
    expectation="SUBSCRIBE is refused by /queue, by x-queue-name, and where RabbitMQ would make up the name.",
)
_hostile(
    "everlasting-queue",
    rule="A page can't leave queues behind that never go.",
    source="https://www.rabbitmq.com/docs/parameters#operator-policies",
    expectation=(
        "Without x-expires, and with one of ten years, an operator policy has the queue expire within "
        "promise.abandoned_queues_expire."
    ),
    where=lambda contract: contract.promise.abandoned_queues_expire is not None,
)
_hostile(
    "connections",
    rule="A page can't open more connections than the contract names.",
    source="https://www.rabbitmq.com/docs/user-limits",
    expectation=(
        "One more than limits.connections is refused; the tab that is connected stays so. Above 300 the limit is read "
        "from the broker, not tried."
    ),
    where=lambda contract: contract.limits.connections is not None,
)
_hostile(
    "queues",
    rule="A page can't declare more queues than the contract names.",
    source="https://www.rabbitmq.com/docs/vhosts#limits",
    expectation="One more than limits.queues is refused. Above 600 the limit is read from the broker, not tried.",
    where=lambda contract: contract.limits.queues is not None,
)
_hostile(
    "guest",
    rule="Nobody logs in as guest from elsewhere.",
    source=f"{_ACCESS}#loopback-users",
    expectation="There is no guest, or RabbitMQ lets it in from its own host alone (loopback_users).",
)
_hostile(
    "other-vhost",
    rule="A page can't enter another vhost.",
    source=f"{_ACCESS}#authorisation",
    expectation="CONNECT with the host of every other vhost is refused.",
)
_hostile(
    "oversize",
    rule="A page can't fill the memory with one frame.",
    source=f"{_WEB_STOMP}#websocket-options",
    expectation=(
        "A WebSocket frame above limits.frame_bytes ends the connection. A STOMP frame that comes in pieces without "
        "end is ended by RabbitMQ 4.3 and later; before, nothing ends it, which is told as a note."
    ),
    where=lambda contract: contract.limits.frame_bytes is not None,
)
_hostile(
    "malformed",
    rule="What is no STOMP frame ends the page's own connection and nothing else.",
    source=_STOMP,
    expectation="ERROR, or the end of the connection.",
)
_hostile(
    "silence",
    rule="A page can't hold connections open by saying nothing (slow loris).",
    source=f"{_WEB_STOMP}#websocket-options",
    expectation=(
        "Half an HTTP request, a WebSocket without CONNECT, and one that is silent after CONNECT are ended after "
        "limits.silence. A CONNECT that comes byte by byte is ended by RabbitMQ 4.3 and later; before, nothing ends "
        "it, which is told as a note."
    ),
    where=lambda contract: contract.limits.silence is not None,
)
_hostile(
    "heart-beats",
    rule="A page's flood of heart-beats keeps nobody else from being served.",
    source=f"{_STOMP}#heartbeats",
    expectation="Another page is let in and subscribed meanwhile.",
)
_hostile(
    "management",
    rule="The tab's credentials do not open the management API.",
    source="https://www.rabbitmq.com/docs/management#permissions",
    expectation="401 or 403 for every path.",
)
_hostile(
    "old-tls",
    rule="wss:// is not spoken with TLS 1.0 or 1.1.",
    source="https://www.rabbitmq.com/docs/ssl#disabling-tls-versions",
    expectation=(
        "A ClientHello of these versions is answered by the alert protocol_version, or by the end; TLS 1.2 or later is "
        "spoken."
    ),
)
