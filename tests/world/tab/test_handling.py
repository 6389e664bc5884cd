"""The page's treatment of messages, on a clock of the test's own."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from conformance.world.tab.base import TabBehaviour
from conformance.world.tab.handling import Ack, Handle, Inbox


def drain(inbox: Inbox[str], now: float = 0.0) -> list[str]:
    """All there is to do at this time: ``h:x`` for handling x, ``a:x`` for acking it."""
    done = []
    while actions := inbox.act(now):
        done += [f"{'h' if isinstance(action, Handle) else 'a'}:{action.message}" for action in actions]
    return done


def inbox_with(*messages: str, acks: bool = True, behaviour: TabBehaviour | None = None) -> Inbox[str]:
    """An inbox to which these have come."""
    inbox: Inbox[str] = Inbox(behaviour or TabBehaviour(), acks=acks)
    for message in messages:
        inbox.arrive(message)
    return inbox


def test_each_message_is_handled_then_acked() -> None:
    """The page of the demo: show it, then ack it."""
    assert drain(inbox_with("1", "2")) == ["h:1", "a:1", "h:2", "a:2"]


def test_one_message_at_a_time() -> None:
    """What act gives is one message's, so that a change of behaviour holds from the next one on."""
    assert inbox_with("1", "2").act(0.0) == [Handle("1"), Ack("1")]


def test_auto_is_never_acked() -> None:
    """With ``ack: auto`` there are no ACK frames, whatever the behaviour."""
    assert drain(inbox_with("1", acks=False)) == ["h:1"]
    assert drain(inbox_with("1", acks=False, behaviour=TabBehaviour(ack_first=True))) == ["h:1"]


def test_withheld_acks_go_out_in_order() -> None:
    """Withheld: handled but not acked; told otherwise, acked in the order of arrival."""
    inbox = inbox_with("1", "2", behaviour=TabBehaviour(withhold_acks=True))
    assert drain(inbox) == ["h:1", "h:2"]
    assert inbox.due is None
    inbox.behave(TabBehaviour())
    inbox.arrive("3")
    assert drain(inbox) == ["a:1", "a:2", "h:3", "a:3"]


def test_withheld_handling_is_done_in_order() -> None:
    """Withheld: neither handled nor acked; told otherwise, both."""
    inbox = inbox_with("1", "2", behaviour=TabBehaviour(withhold_handling=True))
    assert drain(inbox) == []
    assert inbox.due is None
    inbox.behave(TabBehaviour())
    assert drain(inbox) == ["h:1", "a:1", "h:2", "a:2"]


def test_a_slow_page_takes_its_time_for_each() -> None:
    """Handled and acked ``delay_s`` after work on it began, one after the other."""
    inbox = inbox_with("1", "2", behaviour=TabBehaviour(delay_s=2.0))
    assert drain(inbox, 10.0) == []
    assert inbox.due == 12.0
    assert drain(inbox, 11.9) == []
    assert drain(inbox, 12.0) == ["h:1", "a:1"]
    assert inbox.due == 14.0
    assert drain(inbox, 14.5) == ["h:2", "a:2"]
    assert inbox.due is None


def test_a_page_that_becomes_fast_is_done_at_once() -> None:
    """A changed delay holds for the message at work, too."""
    inbox = inbox_with("1", behaviour=TabBehaviour(delay_s=100.0))
    assert drain(inbox, 0.0) == []
    inbox.behave(TabBehaviour())
    assert drain(inbox, 1.0) == ["h:1", "a:1"]


def test_ack_first_acks_on_arrival() -> None:
    """The broken page: acks are out before anything is handled, and what is forgotten then is lost."""
    inbox = inbox_with("1", "2", behaviour=TabBehaviour(ack_first=True, delay_s=1.0))
    assert drain(inbox, 0.0) == ["a:1", "a:2"]
    assert drain(inbox, 1.0) == ["h:1"]
    inbox.forget()
    assert drain(inbox, 5.0) == []


def test_never_ack() -> None:
    """The broken page: handles and never acks, not even what was withheld."""
    inbox = inbox_with("1", behaviour=TabBehaviour(withhold_acks=True))
    drain(inbox)
    inbox.behave(TabBehaviour(never_ack=True))
    inbox.arrive("2")
    assert drain(inbox) == ["h:2"]


def test_drop_every() -> None:
    """The broken page: every n-th is acked and never handled, counted over what was forgotten."""
    inbox = inbox_with("1", "2", "3", behaviour=TabBehaviour(drop_every=3))
    assert drain(inbox) == ["h:1", "a:1", "h:2", "a:2", "a:3"]
    inbox.forget()
    for message in ("4", "5", "6"):
        inbox.arrive(message)
    assert drain(inbox) == ["h:4", "a:4", "h:5", "a:5", "a:6"]


def test_a_page_that_drops_all_without_acks_has_nothing_to_do() -> None:
    """Thousands of messages that need no action are passed over."""
    inbox = inbox_with(*map(str, range(5000)), acks=False, behaviour=TabBehaviour(drop_every=1))
    assert drain(inbox) == []


def test_what_is_forgotten_is_neither_handled_nor_acked() -> None:
    """After a disconnect nothing of the session is left: waiting, withheld or ready."""
    inbox = inbox_with("1", "2", behaviour=TabBehaviour(withhold_acks=True))
    inbox.act(0.0)
    inbox.forget()
    inbox.behave(TabBehaviour())
    assert drain(inbox) == []


BEHAVIOURS = st.builds(
    TabBehaviour,
    withhold_acks=st.booleans(),
    withhold_handling=st.booleans(),
    delay_s=st.sampled_from([0.0, 0.0, 1.0, 3.0]),
    ack_first=st.booleans(),
    never_ack=st.just(False),
    drop_every=st.sampled_from([0, 0, 2]),
)


@given(st.lists(st.one_of(st.just("arrive"), st.just("act"), BEHAVIOURS), max_size=40), st.data())
def test_every_message_is_acked_once_and_handled_once_unless_dropped(
    calls: list[str | TabBehaviour], data: st.DataObject
) -> None:
    """Whatever a test tells the page, once it behaves again each message has its ACK, each in order of arrival."""
    inbox: Inbox[int] = Inbox(TabBehaviour(), acks=True)
    now, arrived, behaviour = 0.0, 0, TabBehaviour()
    handled: list[int] = []
    acked: list[int] = []
    droppable = 0

    def act() -> None:
        while actions := inbox.act(now):
            for action in actions:
                (handled if isinstance(action, Handle) else acked).append(action.message)

    for call in calls:
        if call == "arrive":
            inbox.arrive(arrived)
            arrived += 1
            droppable += behaviour.drop_every > 0
        elif call == "act":
            now += data.draw(st.sampled_from([0.0, 0.5, 2.0]))
            act()
        elif isinstance(call, TabBehaviour):
            behaviour = call
            inbox.behave(call)
    inbox.behave(replace(behaviour, withhold_acks=False, withhold_handling=False, delay_s=0.0))
    act()
    assert sorted(acked) == list(range(arrived))
    assert handled == sorted(set(handled))
    assert arrived - len(handled) <= droppable
