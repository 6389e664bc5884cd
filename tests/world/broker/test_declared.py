"""What is learnt of a queue from what the broker minds about a declaration."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.world.broker.declared import LOCATOR, POISON, Declared, first_guess, learn

GUESS = Declared(durable=True, auto_delete=False, arguments={"x-expires": 5, "x-max-length": 9})


def inequivalent(name: str, rest: str) -> str:
    """The broker's words."""
    return f"PRECONDITION_FAILED - inequivalent arg '{name}' for queue 'a 'b' c' in vhost '/': received {rest}"


@pytest.mark.parametrize(
    ("refusal", "changed"),
    [
        (inequivalent("durable", "'true' but current is 'false'"), {"durable": False}),
        (inequivalent("auto_delete", "'false' but current is 'true'"), {"auto_delete": True}),
        (inequivalent("x-queue-type", "'classic' but current is 'quorum'"), {"queue_type": "quorum"}),
        (
            inequivalent("x-queue-type", "none but current is the value 'quorum' of type 'longstr'"),
            {"queue_type": "quorum"},
        ),
        (
            inequivalent("x-expires", "the value '5' of type 'signedint' but current is the value '30' of type 'long'"),
            {"arguments": {"x-expires": 30, "x-max-length": 9}},
        ),
        (
            inequivalent("x-max-length", "the value '9' of type 'signedint' but current is none"),
            {"arguments": {"x-expires": 5}},
        ),
        (
            inequivalent("x-single-active-consumer", "none but current is the value 'true' of type 'bool'"),
            {"arguments": {"x-expires": 5, "x-max-length": 9, "x-single-active-consumer": True}},
        ),
        (
            inequivalent("x-dead-letter-routing-key", "none but current is the value 'it's 1' of type 'longstr'"),
            {"arguments": {"x-expires": 5, "x-max-length": 9, "x-dead-letter-routing-key": "it's 1"}},
        ),
        (inequivalent(LOCATOR, "the value 'x' of type 'longstr' but current is none"), {}),
    ],
)
def test_each_refusal_makes_the_guess_better(refusal: str, changed: dict[str, Any]) -> None:
    """The words of 3.10.8, 4.0.5 and 4.3.6; the poison alone being minded, the guess stands."""
    kept = {"durable": GUESS.durable, "auto_delete": GUESS.auto_delete, "arguments": GUESS.arguments}
    assert learn(GUESS, refusal) == Declared(**{**kept, **changed})


@pytest.mark.parametrize(
    "refusal",
    [
        "PRECONDITION_FAILED - invalid arg 'x-queue-leader-locator' for queue 'q': invalid_queue_locator_arg",
        inequivalent("x-expires", "none but current is the value '864"),  # cut off after 255 bytes
        inequivalent("x-expires", "none but current is no"),
        "NOT_FOUND",
        "",
    ],
)
def test_what_can_not_be_understood_teaches_nothing(refusal: str) -> None:
    """No queue is there, or the text is cut off: unknown, not guessed."""
    assert learn(GUESS, refusal) is None


def test_the_first_guess_is_what_was_asked_for() -> None:
    """As SUBSCRIBE's headers say, without what the STOMP plugin drops; always poisoned."""
    asked = {
        "durable": "true",
        "auto-delete": "false",
        "x-expires": "30",
        "x-overflow": "drop-head",
        "x-max-length": "?",
    }
    guess = first_guess(asked)
    assert guess == Declared(durable=True, arguments={"x-expires": 30})
    assert guess.to_declare() == {"x-expires": 30, "x-queue-type": "classic", **POISON}
