"""Cases in which an administrator lends a hand: closes, deletes, purges, removes, changes passwords and plugins.

What he destroys is destroyed by him, not lost by the setup; the cases ask for what the setup owes all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from conformance.catalogue.case import case
from conformance.catalogue.steps import Telling
from conformance.contract.model import Contract
from conformance.scenario.steps import AwaitQueue, Step

__all__: list[str] = []

_BROKER = "broker"
_CONNECTIONS = "https://www.rabbitmq.com/docs/connections#monitoring"
_CANCELLED = "https://www.rabbitmq.com/docs/consumers#consumer-cancellation"
_QUEUES = "https://www.rabbitmq.com/docs/queues"
_EXCHANGES = "https://www.rabbitmq.com/docs/exchanges#bindings"
_PASSWORDS = "https://www.rabbitmq.com/docs/passwords"
_PLUGINS = "https://www.rabbitmq.com/docs/plugins"


def _is_ours(contract: Contract) -> bool:
    """Whether the tabs' exchange may be removed: it was made for the scenario, and nobody else has it."""
    exchange = contract.exchanges[contract.tab.exchange]
    return not exchange.passive and not exchange.name.startswith("amq.")


def _connections_closed(whose: Literal["tab", "publisher", "all"], words: str) -> None:
    @case(
        f"administrator/{'all' if whose == 'all' else f'{whose}s'}-disconnected",
        rule=f"An administrator closes the connections of {words}: nothing that was confirmed is lost.",
        source=_CONNECTIONS,
        expectation="Clients come back by themselves; what was unacked comes again; all arrives.",
        asks=["administrator"],
        needs=["admin"],
    )
    def connections_closed(contract: Contract) -> Iterable[Step]:
        """The page holds acks back; its connection, the publisher's or both are closed by the management API."""
        tell = Telling(contract)
        return (
            tell.open(),
            tell.behave(withhold_acks=True),
            tell.publish(tell.at_most_prefetch(3)),
            tell.settle(),
            tell.begin("close_connections", link=_BROKER, of=whose),
            tell.fired(_BROKER),
            tell.publish(3),
            tell.heal(_BROKER),
            tell.behave(),
            tell.publish(2),
            tell.settle(),
        )


_connections_closed("tab", "the tabs")
_connections_closed("publisher", "the publishers")
_connections_closed("all", "all clients")


@case(
    "administrator/queue-deleted-while-away",
    rule="A tab whose queue was deleted while it was away gets all that is published after it is back.",
    source=_QUEUES,
    expectation="Its subscription declares and binds the queue anew; meanwhile the publisher is told that nobody is.",
    asks=["administrator"],
    needs=["admin"],
)
def queue_deleted_while_away(contract: Contract) -> Iterable[Step]:
    """Messages wait; they go with the queue; the tab comes back."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(2),
        tell.settle(),
        tell.begin("rst"),
        tell.publish(3),
        tell.begin("delete_queue", link=_BROKER, tab="t1"),
        tell.publish(2),
        tell.heal(_BROKER),
        tell.heal(),
        tell.publish(3),
        tell.settle(),
    )


@case(
    "administrator/queue-deleted-while-subscribed",
    rule="A tab whose queue is deleted under it is told so, comes back, and gets all that is published then.",
    source=_CANCELLED,
    expectation="ERROR and a new subscription; another tab's queue is not touched.",
    asks=["administrator"],
    needs=["admin"],
)
def queue_deleted_while_subscribed(contract: Contract) -> Iterable[Step]:
    """Messages are with the page, unhandled, when the queue goes; a second tab has the same binding."""
    tell = Telling(contract)
    other = 1 + len(contract.tab.routing_keys)
    return (
        tell.open(),
        tell.open(other),
        tell.behave(withhold_handling=True),
        tell.publish(tell.at_most_prefetch(3)),
        tell.begin("delete_queue", link=_BROKER, tab="t1"),
        tell.fired(_BROKER),
        tell.publish(2),
        tell.heal(_BROKER),
        tell.behave(),
        tell.publish(3),
        tell.settle(),
    )


@case(
    "administrator/queue-purged",
    rule="What is published after a tab's queue was purged arrives, and so does what was on its way to the tab.",
    source=_QUEUES,
    expectation="What waited is destroyed; the tab and its subscription know nothing of it.",
    asks=["administrator"],
    needs=["admin"],
)
def queue_purged(contract: Contract) -> Iterable[Step]:
    """Messages wait for a tab that is away; they are purged; more is published; the tab comes back."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(2),
        tell.settle(),
        tell.begin("rst"),
        AwaitQueue(tab="t1", until="left"),
        tell.publish(3),
        tell.begin("purge_queue", link=_BROKER, tab="t1"),
        tell.heal(_BROKER),
        tell.publish(3),
        tell.heal(),
        tell.settle(),
    )


@case(
    "administrator/exchange-removed",
    rule="Once an exchange that was removed is there again, tabs that subscribe again get all that is published then.",
    source=_EXCHANGES,
    expectation="What waited in queues arrives; the publisher is told of what nobody was bound for; no tab is told.",
    asks=["administrator"],
    needs=["admin"],
    fits=_is_ours,
)
def exchange_removed(contract: Contract) -> Iterable[Step]:
    """One tab is away with messages waiting, one is subscribed and reloads: only then is it bound again."""
    tell = Telling(contract)
    other = 1 + len(contract.tab.routing_keys)
    return (
        tell.open(),
        tell.open(other),
        tell.publish(2),
        tell.settle(),
        tell.begin("rst"),
        tell.publish(3),
        tell.begin("remove_exchange", link=_BROKER, exchange=contract.tab.exchange),
        tell.publish(2, wait=False),
        tell.heal(_BROKER),
        tell.heal(),
        tell.reload(other),
        tell.publish(3),
        tell.settle(),
    )


@case(
    "administrator/password-rotated",
    rule="While a new password keeps clients out nothing is lost, and once it is theirs again they come back.",
    source=_PASSWORDS,
    expectation="Tabs and publisher are refused; each publish has its outcome; all that was confirmed arrives.",
    asks=["administrator"],
    needs=["admin", "ctl"],
)
def password_rotated(contract: Contract) -> Iterable[Step]:
    """Links are cut after the change: clients that are connected would not notice it. A second tab is opened."""
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(2),
        tell.settle(),
        *tell.kept_out("rotate_password"),
        tell.publish(2),
        tell.settle(),
    )


@case(
    "administrator/web-stomp-disabled",
    rule="While the Web-STOMP plugin is disabled messages wait for the tabs, which come back once it is enabled.",
    source=_PLUGINS,
    expectation="Publishers notice nothing; tabs are cut and refused; all arrives.",
    asks=["administrator"],
    needs=["admin", "ctl"],
)
def web_stomp_disabled(contract: Contract) -> Iterable[Step]:
    """The plugin goes and comes back; publishing goes on.

    The tab's link is cut besides: RabbitMQ 4.0 leaves connections that are open alone.
    """
    tell = Telling(contract)
    return (
        tell.open(),
        tell.publish(2),
        tell.settle(),
        tell.begin("rst"),
        tell.begin("disable_web_stomp", link=_BROKER),
        tell.heal(),
        tell.publish(5),
        tell.heal(_BROKER),
        tell.publish(2),
        tell.settle(),
    )
