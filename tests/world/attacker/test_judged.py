"""What a broker's answer counts as: refused is only what it says it does not permit."""

from __future__ import annotations

import pytest

from conformance.world.attacker.doors import _of_tls, _opens_to_guest
from conformance.world.attacker.fill import _limited
from conformance.world.attacker.logged import channel_errors, reason_for
from conformance.world.attacker.noise import _held
from conformance.world.attacker.page import Tried, judged
from conformance.world.attacker.wire import Reply

LOG = """\
2026-01-01 10:00:00.000001+00:00 [error] <0.1.0> Channel error on connection <0.2.0> (127.0.0.1:50001 -> 127.0.0.1:1, \
vhost: '/', user: 'tab'), channel 1:
2026-01-01 10:00:00.000001+00:00 [error] <0.1.0> operation queue.declare caused a channel exception access_refused: \
access to queue 'x' in vhost '/' refused for user 'tab'
2026-01-01 10:00:00.000002+00:00 [info] <0.9.0> something else
2026-01-01 10:00:00.000003+00:00 [error] <0.3.0> Channel error on connection <0.4.0> (127.0.0.1:50002 -> 127.0.0.1:1, \
vhost: '/', user: 'tab'), channel 1:
2026-01-01 10:00:00.000003+00:00 [error] <0.3.0> operation queue.declare caused a channel exception \
precondition_failed: invalid arg
"""


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("ERROR: access_refused ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'tab'", "refused"),
        ("ERROR: Bad CONNECT Virtual host '/' access denied", "refused"),
        ("ERROR: Bad CONNECT Access refused for user 'guest'", "refused"),
        ("ERROR: precondition_failed queue limit in vhost '/' (256) is reached", "refused"),
        ("ERROR: precondition_failed PRECONDITION_FAILED - invalid property 'auto-delete' for queue 'q'", "unmade"),
        ("ERROR: not_found NOT_FOUND - no exchange 'amq.rabbitmq.event' in vhost '/'", "unmade"),
        ("ERROR: Unknown destination", "unmade"),
        ("closed the WebSocket (1000 STOMP died)", "unmade"),
    ],
)
def test_only_a_denial_or_a_limit_is_a_refusal(words: str, outcome: str) -> None:
    """Whatever else is wrong says nothing of permissions."""
    assert judged("do it", Reply(accepted=False, words=words)).outcome == outcome


def test_other_words_where_the_attempt_says_so() -> None:
    """Such as a destination that nobody can send to."""
    reply = Reply(accepted=False, words="ERROR: Unknown destination")
    assert judged("do it", reply, no="unknown destination").outcome == "refused"


def test_no_answer_shows_nothing() -> None:
    """Neither of what was asked, nor of a connection that was to be ended."""
    silent = Reply(accepted=False, words="no answer", answered=False)
    assert (judged("do it", silent).outcome, _held("do it", silent).outcome) == ("unmade", "unmade")
    assert _held("do it", Reply(accepted=True, words="", answered=False)).outcome == "allowed"
    assert _held("do it", Reply(accepted=False, words="Broken pipe")).outcome == "refused"


def test_a_limit_takes_something_that_was_to_be_had() -> None:
    """A refusal of the very first is no limit's."""
    refused = Tried(what="open many", outcome="refused")
    assert [_limited(refused, made, "let in").outcome for made in (0, 1)] == ["unmade", "refused"]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x46", "refused"),  # protocol_version
        (b"\x15\x03\x01\x00\x02\x02\x28", "unmade"),  # handshake_failure: may be about the ciphers
        (b"", "refused"),
        (b"\x16\x03\x01\x00\x41\x02\x00", "allowed"),
        (b"HTTP/1.", "unmade"),
    ],
)
def test_what_an_old_version_of_tls_is_answered(answer: bytes, outcome: str) -> None:
    """Only the alert that is about versions, and the end, refuse them."""
    assert _of_tls("speak TLS 1.0", answer, "TLSv1.3").outcome == outcome


COLOURED = "".join(f"\x1b[38;5;160m{line}\x1b[0m\n" for line in LOG.splitlines())
"""As RabbitMQ 4 prints it on a console."""


@pytest.mark.parametrize("log", [LOG, COLOURED])
def test_what_the_log_says_of_a_connection(log: str) -> None:
    """By its port; of the user where a proxy hides the port, of nobody else."""
    errors = channel_errors(log)
    assert [reason.partition(":")[0] for _, reason in errors] == ["access_refused", "precondition_failed"]
    assert reason_for(errors, port=50002, login="tab") == ["precondition_failed: invalid arg"]
    assert len(reason_for(errors, port=5000, login="tab")) == 2
    assert reason_for(errors, port=5000, login="other") == []


@pytest.mark.parametrize(
    ("conf", "opens"),
    [
        ("loopback_users = none\n", True),
        ("a = b\n  loopback_users.guest=false # all\n", True),
        ("loopback_users.guest = true\n", False),
        ("# loopback_users = none\n", False),
        ("", False),
    ],
)
def test_whose_conf_lets_guest_in(conf: str, opens: bool) -> None:
    """The user's own file says so, not what the suite adds."""
    assert _opens_to_guest(conf) == opens
