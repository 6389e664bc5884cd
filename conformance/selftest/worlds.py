"""The table of worlds: what is broken, which checks must see it, and what they must say."""

from __future__ import annotations

from typing import Any

from conformance.engine.world import Pace
from conformance.selftest import hostile, publishers, publishing
from conformance.selftest.world import Expected, Policy, World
from conformance.world.tab.base import TabBehaviour

__all__ = ["WORLDS", "Policy", "World"]

_HEADERS = {"durable": "true", "auto-delete": "false", "exclusive": "false", "x-expires": "86400000"}
_GEM_HEADERS = {"durable": "true", "auto-delete": "false", "x-expires": "86400000", "x-max-priority": "10"}
_AWAY = "reconnection/published-while-away"
_OUTAGE = "time/longest-outage"
_ABANDONED = "time/abandoned-queues-expire"
_FLAPPING = "reconnection/flapping"
_AS_ASKED = "settings/as-asked"
_POLICIES = "settings/policies"
_SOUND = (
    "delivery/steady",
    _AWAY,
    "reconnection/reload",
    "cut/rst/between-delivery-and-ack",
    "routing/isolation",
    "publishing/nobody-bound",
    "publishing/cut-before-confirm",
)


def _from_4_on(version: str) -> Expected:
    """Sound on 3.x, broken on 4.x."""
    return "violated" if int(version.split(".")[0]) >= 4 else "certified"


def _on_4_0(version: str) -> Expected:
    """Broken on 4.0 alone: sound on 3.10.8 and on 4.3.6."""
    return "violated" if version.startswith("4.0.") else "certified"


def _from_4_3_on(version: str) -> Expected:
    """Sound on 3.10.8 and 4.0.5, broken on 4.3.6."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return "violated" if (major, minor) >= (4, 3) else "certified"


def _before_4_3(version: str) -> Expected:
    """Broken on 3.10.8 and 4.0.5, sound on 4.3.6."""
    return "certified" if _from_4_3_on(version) == "violated" else "violated"


def _headers(**changes: str | None) -> dict[str, Any]:
    """The recommended headers with changes (``_`` for ``-``); None removes one."""
    merged = {**_HEADERS, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return {"tab": {"headers": {name: value for name, value in merged.items() if value is not None}}}


def _for_a_day(**changes: str | None) -> dict[str, Any]:
    """The recommended headers with changes, and a day of absence promised."""
    return {**_headers(**changes), "promise": {"longest_outage": "24h"}}


_BROKEN = (
    World(
        id="auto-delete",
        why="The queue goes with its last consumer (the gem's operations guideline).",
        contract=_headers(auto_delete="true"),
        checks=(_AWAY,),
        kind="lost",
        cause="auto-delete-queue",
    ),
    World(
        id="exclusive",
        why="The queue belongs to one connection and goes with it.",
        contract=_headers(exclusive="true"),
        checks=(_AWAY,),
        kind="lost",
        cause="exclusive-queue",
    ),
    World(
        id="gem-headers",
        why="The gem's own headers: sound on 3.x; 4.x makes the queue exclusive unless told otherwise.",
        contract={"tab": {"headers": _GEM_HEADERS}},
        checks=(_AWAY,),
        kind="lost",
        cause="exclusive-queue",
        expected_on=_from_4_on,
    ),
    World(
        id="ack-auto",
        why="The broker forgets what it sends, whether or not the tab ever sees it.",
        contract={"tab": {"ack": "auto"}},
        checks=("reconnection/reload",),
        kind="lost",
        cause="ack-auto",
    ),
    World(
        id="transient-queue",
        why="The queue does not survive a restart.",
        contract=_headers(durable="false"),
        checks=("broker/restart-while-away",),
        kind="lost",
        cause="transient-queue",
    ),
    World(
        id="transient-exchange",
        why="The exchange does not survive a restart, nor does what is bound to it; in 4.3's store (Khepri) both do.",
        contract={
            "exchanges": {"pubsub": {"name": "durable-websocket-pubsub", "type": "topic", "durable": False}},
        },
        checks=("broker/restart-while-away",),
        kind="lost",
        cause="transient-exchange",
        expected_on=_before_4_3,
    ),
    World(
        id="shared-queue",
        why="All tabs name the same queue and take each other's messages.",
        contract={"tab": {"queue": "web-client"}},
        checks=("routing/every-key",),
        kind="lost",
        cause="shared-queue",
    ),
    World(
        id="ghost-without-heart-beat",
        why="Without heart-beats the broker never gives up a connection that died silently.",
        contract={"tab": {"heart_beat": "0s"}, "promise": {"recovery": "4s"}},
        checks=("reconnection/ghost",),
        kind="lost",
        cause="ghost-without-heart-beat",
    ),
    World(
        id="message-ttl",
        why="Messages expire before the tab is back.",
        contract=_headers(x_message_ttl="10"),
        checks=(_AWAY,),
        kind="lost",
        cause="message-ttl",
    ),
    World(
        id="queue-expires",
        why="The queue expires before the tab is back.",
        contract=_headers(x_expires="30"),
        checks=(_AWAY,),
        kind="lost",
        cause="queue-expires",
    ),
    World(
        id="queue-expires-before-the-promise",
        why="The queue would expire within the longest outage that is promised.",
        contract=_headers(x_expires="600000"),
        checks=(_OUTAGE,),
        kind="lost",
        cause="queue-expires",
    ),
    World(
        id="queue-never-expires",
        why="Nothing removes the queue of a tab that never comes back.",
        contract=_headers(x_expires=None),
        checks=(_ABANDONED,),
        kind="leaked",
        cause="no-expiry",
    ),
    World(
        id="outage-longer-than-the-expiry",
        why="A day of absence is promised, and the queue expires after half of it: seen as the hours go by.",
        contract=_for_a_day(x_expires="43200000"),
        checks=(_OUTAGE,),
        kind="lost",
        cause="queue-expires",
    ),
    World(
        id="quorum-outage-longer-than-the-expiry",
        why="The same of a quorum queue.",
        contract=_for_a_day(x_queue_type="quorum", x_expires="43200000"),
        checks=(_OUTAGE,),
        kind="lost",
        cause="queue-expires",
    ),
    World(
        id="outage-longer-than-the-message-ttl",
        why="A day of absence is promised, and messages are kept for an hour.",
        contract=_for_a_day(x_message_ttl="3600000"),
        checks=(_OUTAGE,),
        kind="lost",
        cause="message-ttl",
    ),
    World(
        id="outage-longer-than-the-operators-ttl",
        why="A day of absence is promised, and an operator policy has messages kept for an hour.",
        contract=_for_a_day(),
        policies=(Policy({"message-ttl": 3_600_000}, operator=True),),
        checks=(_OUTAGE,),
        kind="lost",
        cause="message-ttl",
    ),
    World(
        id="outage-longer-than-the-operators-expiry",
        why="A day of absence is promised, and an operator policy has queues expire after half of it.",
        contract=_for_a_day(),
        policies=(Policy({"expires": 43_200_000}, operator=True),),
        checks=(_OUTAGE,),
        kind="lost",
        cause="queue-expires",
    ),
    World(
        id="abandoned-queue-expires-late",
        why="Abandoned queues are promised to go after two days, and go after a week.",
        contract=_headers(x_expires="604800000"),
        checks=(_ABANDONED,),
        kind="leaked",
        cause="queue-expires-late",
    ),
    World(
        id="max-length",
        why="The queue keeps ten messages and drops the oldest.",
        contract=_headers(x_max_length="10"),
        checks=(_AWAY,),
        kind="lost",
        cause="max-length",
    ),
    World(
        id="max-length-bytes",
        why="The queue keeps a thousand bytes and drops the oldest.",
        contract=_headers(x_max_length_bytes="1000"),
        checks=(_AWAY,),
        kind="lost",
        cause="max-length",
    ),
    World(
        id="tab-acks-first",
        why="The page acks on arrival and handles later: a cut in between loses the message.",
        behaviour=TabBehaviour(ack_first=True, delay_s=60.0),
        checks=("cut/after-ack-1",),
        kind="lost",
        cause="ack-before-handling",
    ),
    World(
        id="tab-skips",
        why="The page acks every fifth message without handling it.",
        behaviour=TabBehaviour(drop_every=5),
        checks=("delivery/steady",),
        kind="lost",
        cause="acked-never-handled",
    ),
    World(
        id="tab-never-acks",
        why="The page never acks: its queue grows for ever and all comes again on every reload.",
        behaviour=TabBehaviour(never_ack=True),
        contract={"promise": {"recovery": "3s"}},
        checks=("delivery/queue-empty-at-the-end",),
        kind="undrained",
        cause="never-acked",
    ),
    World(
        id="publisher-transient",
        why="Messages are not persistent: a restart loses those that wait.",
        publisher=publishers.Transient,
        checks=("broker/restart-while-away",),
        kind="lost",
        cause="not-persistent",
    ),
    World(
        id="publisher-no-confirms",
        why="What is written counts as published: a cut loses what was on its way.",
        publisher=publishers.NoConfirms,
        checks=("publishing/cut-before-publish",),
        kind="misreported",
        cause="unconfirmed",
    ),
    World(
        id="publisher-optimist",
        why="A lost connection counts as success.",
        publisher=publishers.Optimist,
        checks=("publishing/cut-before-confirm",),
        kind="misreported",
        cause="unconfirmed",
    ),
    World(
        id="publisher-drops",
        why="One message in 200 is never written.",
        publisher=publishers.Dropping,
        checks=("delivery/burst",),
        kind="lost",
        cause="publisher-dropped",
    ),
    World(
        id="publisher-drops-later",
        why="Sound for thirty messages, then one in 25 is never written.",
        publisher=publishers.Intermittent,
        checks=(_AWAY,),
        kind="lost",
        cause="publisher-dropped",
    ),
    World(
        id="publisher-alters",
        why="The body is changed on its way out.",
        publisher=publishers.Altering,
        checks=("delivery/steady",),
        kind="unexpected",
        cause="body-altered",
    ),
    World(
        id="publisher-new-ids",
        why="A retry goes out under a new message id: the tab can't know it for a duplicate.",
        publisher=publishers.NewIds,
        checks=("publishing/cut-before-confirm",),
        kind="duplicated",
        cause="duplicated-under-new-id",
    ),
    World(
        id="publisher-wrong-key",
        why="Every third message goes out under another routing key.",
        publisher=publishers.WrongKey,
        checks=("delivery/steady",),
        kind="lost",
        cause="wrong-routing-key",
    ),
    World(
        id="publisher-wrong-exchange",
        why="Every third message goes to another exchange.",
        publisher=publishers.WrongExchange,
        checks=("delivery/steady",),
        kind="lost",
        cause="wrong-routing-key",
    ),
    World(
        id="publisher-swallows-returns",
        why="It is told that nobody is bound and reports success.",
        publisher=publishers.SwallowsReturns,
        checks=("publishing/nobody-bound",),
        kind="misreported",
        cause="return-swallowed",
    ),
    World(
        id="publisher-not-mandatory",
        why="Without mandatory the broker can't tell that nobody is bound.",
        publisher=publishers.NotMandatory,
        checks=("publishing/nobody-bound",),
        kind="misreported",
        cause="not-mandatory",
    ),
    World(
        id="publisher-ignores-blocking",
        why="A broker that blocks publishers counts as one that took the message.",
        publisher=publishers.IgnoresBlocking,
        checks=("broker/memory-alarm",),
        kind="misreported",
        cause="unconfirmed",
    ),
    World(
        id="publisher-optimist-is-disconnected",
        why="A connection that an administrator closed counts as success.",
        publisher=publishers.Optimist,
        checks=("administrator/publishers-disconnected",),
        kind="misreported",
        cause="unconfirmed",
    ),
    World(
        id="publisher-ignores-refusals",
        why="A broker that lets nobody in with the old password counts as one that took the message.",
        publisher=publishers.IgnoresRefusals,
        checks=("administrator/password-rotated",),
        kind="misreported",
        cause="unconfirmed",
    ),
    World(
        id="tab-gives-up",
        why="The page takes the ERROR that its queue was deleted for the end, and never subscribes again.",
        behaviour=TabBehaviour(gives_up=True),
        pace=Pace(subscribe_s=10.0),
        checks=("administrator/queue-deleted-while-subscribed",),
        kind="lost",
        cause="never-resubscribed",
    ),
    World(
        id="auto-delete-without-web-stomp",
        why="The queue goes with its last consumer as the plugin is disabled.",
        contract=_headers(auto_delete="true"),
        checks=("administrator/web-stomp-disabled",),
        kind="lost",
        cause="auto-delete-queue",
    ),
    World(
        id="exclusive-at-the-connection-limit",
        why="The queue goes with its connection, and the tab can't come back at once.",
        contract=_headers(exclusive="true"),
        checks=("broker/connection-limit-of-the-vhost",),
        kind="lost",
        cause="exclusive-queue",
    ),
    World(
        id="subscription-refused",
        why="A quorum queue takes no x-max-priority: the broker refuses the subscription.",
        contract=_headers(x_queue_type="quorum", x_max_priority="10"),
        checks=("delivery/steady",),
        kind="refused",
        cause="subscription-refused",
    ),
    World(
        id="operator-max-length",
        why="An operator policy keeps ten messages and drops the oldest.",
        policies=(Policy({"max-length": 10}, operator=True),),
        checks=(_AWAY, _POLICIES),
        kind="lost",
        cause="max-length",
    ),
    World(
        id="operator-max-length-bytes",
        why="An operator policy keeps a thousand bytes and drops the oldest.",
        policies=(Policy({"max-length-bytes": 1000}, operator=True),),
        checks=(_AWAY, _POLICIES),
        kind="lost",
        cause="max-length",
    ),
    World(
        id="operator-message-ttl",
        why="An operator policy drops messages after 10 ms.",
        policies=(Policy({"message-ttl": 10}, operator=True),),
        checks=(_AWAY, _POLICIES),
        kind="lost",
        cause="message-ttl",
    ),
    World(
        id="operator-expires",
        why="An operator policy cuts the expiry of a day down to 30 ms.",
        policies=(Policy({"expires": 30}, operator=True),),
        checks=(_AWAY, _POLICIES),
        kind="lost",
        cause="queue-expires",
    ),
    World(
        id="operator-expires-before-the-promise",
        why="An operator policy cuts the expiry down to ten minutes: nothing is lost in any short scenario.",
        policies=(Policy({"expires": 600_000}, operator=True),),
        checks=(_POLICIES,),
        kind="lost",
        cause="queue-expires",
    ),
    World(
        id="operator-expires-below-the-asked",
        why="An operator policy cuts the expiry of a day down to two hours: the promise holds, what was asked for not.",
        policies=(Policy({"expires": 7_200_000}, operator=True),),
        checks=(_POLICIES,),
        kind="ignored",
        cause="policy-overrides",
    ),
    World(
        id="policy-message-ttl",
        why="A policy drops messages after 10 ms.",
        policies=(Policy({"message-ttl": 10}),),
        checks=(_AWAY, _POLICIES),
        kind="lost",
        cause="message-ttl",
    ),
    World(
        id="policy-expires",
        why="A policy cuts the expiry of a day down to 30 ms.",
        policies=(Policy({"expires": 30}),),
        checks=(_AWAY, _POLICIES),
        kind="lost",
        cause="queue-expires",
    ),
    World(
        id="policy-max-length",
        why="A policy keeps ten messages, and a higher limit of an operator policy does not raise it.",
        policies=(Policy({"max-length": 10}), Policy({"max-length": 1000}, operator=True)),
        checks=(_AWAY, _POLICIES),
        kind="lost",
        cause="max-length",
    ),
    World(
        id="policy-delivery-limit",
        why="A policy has quorum queues drop what was delivered five times without an ack.",
        contract=_headers(x_queue_type="quorum"),
        policies=(Policy({"delivery-limit": 5}),),
        checks=(_FLAPPING, _POLICIES),
        kind="lost",
        cause="delivery-limit",
    ),
    World(
        id="policy-dead-letter",
        why="A policy moves messages to another exchange after 10 ms, where no tab finds them.",
        policies=(Policy({"message-ttl": 10, "dead-letter-exchange": "amq.fanout"}),),
        checks=(_AWAY, _POLICIES),
        kind="lost",
        cause="message-ttl",
    ),
    World(
        id="quorum-flapping",
        why="A quorum queue and a tab that flaps: 4.x drops a message after 20 deliveries.",
        contract=_headers(x_queue_type="quorum"),
        checks=(_FLAPPING,),
        kind="lost",
        cause="delivery-limit",
        expected_on=_from_4_on,
    ),
    World(
        id="quorum-default-delivery-limit",
        why="The same, seen in the settings of a queue that nothing was lost in.",
        contract=_headers(x_queue_type="quorum"),
        checks=(_AS_ASKED,),
        kind="lost",
        cause="delivery-limit",
        expected_on=_from_4_on,
    ),
    World(
        id="ignored-delivery-limit",
        why="SUBSCRIBE asks for a high delivery limit, which the STOMP plugin drops silently.",
        contract=_headers(x_queue_type="quorum", x_delivery_limit="1000"),
        checks=(_AS_ASKED,),
        kind="ignored",
        cause="header-ignored",
    ),
    World(
        id="ignored-overflow",
        why="SUBSCRIBE asks that a full queue refuses what comes, which the STOMP plugin drops silently.",
        contract=_headers(x_max_length="1000000", x_overflow="reject-publish"),
        checks=(_AS_ASKED,),
        kind="ignored",
        cause="header-ignored",
    ),
    World(
        id="ignored-single-active-consumer",
        why="SUBSCRIBE asks for a single active consumer, which the STOMP plugin drops silently.",
        contract=_headers(x_single_active_consumer="true"),
        checks=(_AS_ASKED,),
        kind="ignored",
        cause="header-ignored",
    ),
    World(
        id="gem-headers-as-asked",
        why="The gem's own headers again: 4.x makes the queue exclusive and not durable, seen without any cut.",
        contract={"tab": {"headers": _GEM_HEADERS}},
        checks=(_AS_ASKED,),
        kind="ignored",
        cause="exclusive-by-default",
        expected_on=_from_4_on,
    ),
    World(
        id="topic-without-durable",
        why="/topic/KEY without durable: from 4.3 on the queue is exclusive to the connection.",
        contract={
            "exchanges": {"pubsub": {"name": "amq.topic", "type": "topic", "passive": True}},
            "tab": {
                "destination": "/topic/{routing_key}",
                "headers": {"auto-delete": "false", "x-expires": "86400000"},
            },
        },
        checks=(_AWAY,),
        kind="lost",
        cause="exclusive-queue",
        expected_on=_from_4_3_on,
    ),
    World(
        id="quorum-without-exclusive",
        why="A quorum queue without exclusive: 4.0 asks for an exclusive one, and refuses that.",
        contract=_headers(x_queue_type="quorum", exclusive=None),
        checks=("delivery/steady",),
        kind="refused",
        cause="subscription-refused",
        expected_on=_on_4_0,
    ),
    World(
        id="publisher-reorders",
        why="Every third message is kept back until the next one is out, and reported as published at once.",
        publisher=publishers.Reordering,
        contract={"promise": {"order": True}},
        checks=("order/one-caller",),
        kind="reordered",
        cause="publisher-reordered",
    ),
    World(
        id="publisher-loses-the-last-word",
        why="Routing keys are cut at their last dot, so that messages reach the neighbours' tabs.",
        publisher=publishers.LastWordLost,
        checks=("isolation/similar-keys",),
        kind="misrouted",
        cause="wrong-routing-key",
    ),
    World(
        id="shared-queue-of-one-key",
        why="All tabs of a key name the same queue and take turns.",
        contract={"tab": {"queue": "web-client"}},
        checks=("isolation/queue-of-ones-own",),
        kind="lost",
        cause="shared-queue",
    ),
    World(
        id="publisher-sheds-load",
        why="Under load it drops what comes beside another message, and reports success.",
        publisher=publishers.Shedding,
        checks=("capacity/many-callers-beside-each-other",),
        kind="lost",
        cause="publisher-dropped",
    ),
    World(
        id="max-length-below-the-backlog",
        why="The queue is limited to 1000 messages, and drops the oldest of a longer backlog.",
        contract=_headers(x_max_length="1000"),
        checks=("capacity/long-backlog",),
        kind="lost",
        cause="max-length",
    ),
    World(
        id="publisher-cuts-at-nul",
        why="Bodies end at their first NUL, as C strings do.",
        publisher=publishers.CuttingAtNul,
        checks=("hostile-input/nul-bytes",),
        kind="unexpected",
        cause="body-altered",
    ),
    World(
        id="publisher-decodes",
        why="Every body is taken for UTF-8, and what is not is replaced.",
        publisher=publishers.Lossy,
        checks=("hostile-input/not-utf8",),
        kind="unexpected",
        cause="body-altered",
    ),
    World(
        id="publisher-strips",
        why="White space around bodies is stripped.",
        publisher=publishers.Stripping,
        checks=("hostile-input/line-ends",),
        kind="unexpected",
        cause="body-altered",
    ),
    World(
        id="publisher-drops-the-empty",
        why="An empty body is taken for nothing to publish.",
        publisher=publishers.DroppingEmpty,
        checks=("hostile-input/empty-body",),
        kind="lost",
        cause="publisher-dropped",
    ),
    World(
        id="publisher-escapes-keys",
        why="Routing keys are escaped as if they were STOMP headers.",
        publisher=publishers.Escaping,
        checks=("hostile-input/escapes-in-keys",),
        kind="lost",
        cause="wrong-routing-key",
    ),
)

_SOUND_WORLDS = (
    World(
        id="order-promised",
        why="Order is promised, and the recommended recipe keeps it.",
        contract={"promise": {"order": True}},
        checks=(
            "order/one-caller",
            "order/beyond-the-prefetch",
            "order/backlog",
            "order/publisher-reconnects",
            "order/after-redelivery",
        ),
    ),
    World(id="recommended", why="The built-in contract.", checks=_SOUND),
    World(
        id="other-names",
        why="Other names for exchange and queues, with blanks, slashes and letters beyond ASCII.",
        contract={
            "exchanges": {"events": {"name": "události/über alles", "type": "topic"}},
            "tab": {"exchange": "events", "queue": "prohlížeč {tab}/q", "routing_keys": ["č.á", "ž.#"]},
        },
        checks=_SOUND,
    ),
    World(
        id="direct-exchange",
        why="A direct exchange.",
        contract={"exchanges": {"pubsub": {"name": "durable-websocket-direct", "type": "direct"}}},
        checks=_SOUND,
    ),
    World(
        id="topic-destination",
        why="/topic/KEY with durable and exclusive named.",
        contract={
            "exchanges": {"pubsub": {"name": "amq.topic", "type": "topic", "passive": True}},
            "tab": {"destination": "/topic/{routing_key}"},
        },
        checks=_SOUND,
    ),
    World(id="prefetch-1", why="One unacked message at a time.", contract={"tab": {"prefetch": 1}}, checks=_SOUND),
    World(id="ack-client", why="Cumulative acks.", contract={"tab": {"ack": "client"}}, checks=_SOUND),
    World(
        id="strange-bodies",
        why="Large, binary and non-ASCII bodies.",
        checks=("delivery/large-bodies", "delivery/binary-bodies", "delivery/unicode-bodies", "cut/mid-frame"),
    ),
    World(
        id="quorum-queue",
        why="Quorum queues, tabs that do not flap.",
        contract=_headers(x_queue_type="quorum"),
        checks=_SOUND,
    ),
    World(
        id="priority-queue",
        why="The gem's x-max-priority beside the recommended headers.",
        contract=_headers(x_max_priority="10"),
        checks=_SOUND,
    ),
    World(
        id="away-for-a-day",
        why="A day of absence is promised, and the recommended headers keep it.",
        contract=_for_a_day(),
        checks=(_OUTAGE, _ABANDONED),
    ),
    World(
        id="quorum-away-for-a-day",
        why="The same with quorum queues.",
        contract=_for_a_day(x_queue_type="quorum"),
        checks=(_OUTAGE, _ABANDONED),
    ),
    World(
        id="away-for-a-week",
        why="A week of absence is promised, and queues are kept for eight days.",
        contract={
            **_headers(x_expires="691200000"),
            "promise": {"longest_outage": "7d", "abandoned_queues_expire": "10d"},
        },
        checks=(_OUTAGE, _ABANDONED),
    ),
    World(id="stomp.py", why="The tabs are played by stomp.py.", client="stomp.py", checks=_SOUND),
    World(
        id="plain-publisher",
        why="pika under a lock, one at a time, with confirms.",
        publisher=publishers.Plain,
        checks=_SOUND,
    ),
    World(
        id="plain-publisher-in-trouble",
        why="The same while an administrator and an alarm are at work: what he destroys is not lost.",
        publisher=publishers.Plain,
        checks=("administrator/all-disconnected", "administrator/exchange-removed", "publishing/blocked-by-an-alarm"),
    ),
    World(
        id="asyncio-publisher",
        why="AsyncPublisher, on a loop of its own.",
        contract={"publisher": {"python": "durable_ws:AsyncPublisher"}},
        checks=_SOUND,
    ),
    World(
        id="asyncio-publisher-in-trouble",
        why="AsyncPublisher while its links are cut at every turn, its confirms are held and publishers are blocked.",
        contract={
            "publisher": {"python": "durable_ws:AsyncPublisher", "offers": ["properties", "timeout", "failover"]}
        },
        checks=(
            "publishing/many-callers",
            "publishing/cut-mid-frame",
            "publishing/failover",
            "publishing/blocked-by-an-alarm",
            "publishing/properties",
            "administrator/all-disconnected",
        ),
    ),
    World(
        id="page-is-slow",
        why="Each message takes the page 5 ms.",
        behaviour=TabBehaviour(delay_s=0.005),
        checks=_SOUND,
    ),
    World(
        id="policies-that-raise",
        why="Policies above what the tab asks for change nothing.",
        contract=_headers(x_message_ttl="86400000"),
        policies=(
            Policy({"expires": 172_800_000, "message-ttl": 172_800_000}),
            Policy({"expires": 259_200_000}, operator=True),
        ),
        checks=(*_SOUND, _AS_ASKED, _POLICIES),
    ),
    World(
        id="policy-sets-the-expiry",
        why="The tab asks for no expiry, and a policy gives it one that keeps the promise.",
        contract=_headers(x_expires=None),
        policies=(Policy({"expires": 86_400_000}),),
        checks=(*_SOUND, _AS_ASKED, _POLICIES),
    ),
    World(
        id="policy-refuses-when-full",
        why="A policy limits the queue's length and has it refuse what does not fit: the publisher knows.",
        policies=(Policy({"max-length": 100_000, "overflow": "reject-publish"}),),
        checks=(*_SOUND, _AS_ASKED, _POLICIES),
    ),
    World(
        id="quorum-flapping-with-a-high-limit",
        why="A policy raises the delivery limit of quorum queues, so a tab may flap.",
        contract=_headers(x_queue_type="quorum"),
        policies=(Policy({"delivery-limit": 1000}),),
        checks=(_FLAPPING, _AS_ASKED, _POLICIES),
    ),
)

WORLDS: dict[str, World] = {
    world.id: world
    for world in (*_BROKEN, *publishing.BROKEN, *hostile.BROKEN, *_SOUND_WORLDS, *publishing.SOUND, *hostile.SOUND)
}
"""Every world by its id, the broken ones first."""
