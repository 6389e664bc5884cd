"""Text from elsewhere is shown without secrets and without a way to act on the terminal."""

from __future__ import annotations

import pytest

from conformance.report.plain import HIDDEN, MOST_CHARACTERS, is_secret, plain, redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("amqp://guest:s3cret@h:5672/%2F", f"amqp://guest:{HIDDEN}@h:5672/%2F"),
        ("can't reach amqps://u:p@ss@h/v, tried twice", f"can't reach amqps://u:{HIDDEN}@h/v, tried twice"),
        ("http://:s3cret@h", f"http://:{HIDDEN}@h"),
        ("amqp://a:s3cret@h amqp://b:s3cret@i", f"amqp://a:{HIDDEN}@h amqp://b:{HIDDEN}@i"),
        ("pub --password=s3cret --x", f"pub --password={HIDDEN} --x"),
        ("http://h/?token=s3cret&x=1", f"http://h/?token={HIDDEN}&x=1"),
        ("http://host:15672/api", "http://host:15672/api"),
        ("ws://h:1/a@b", "ws://h:1/a@b"),
        ("a mail to me@example.org at 10:30", "a mail to me@example.org at 10:30"),
    ],
)
def test_secrets_are_hidden(text: str, shown: str) -> None:
    """Passwords in URLs and assignments go; hosts, ports and times of day stay."""
    assert redact(text) == shown


@pytest.mark.parametrize(
    ("name", "secret"),
    [("passcode", True), ("broker_password", True), ("api-token", True), ("login", False), ("passcode_length", False)],
)
def test_keys_of_secrets_are_known(name: str, secret: bool) -> None:
    """A key says whether its value is a secret."""
    assert is_secret(name) is secret


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("two\r\nlines\t", r"two\r\nlines\t"),
        ("\x9b1m", r"\x9b1m"),
        ("a\u202eb\u2066c", r"a\u202eb\u2066c"),
        ("half \ud83d", r"half \ud83d"),
        ("[bold]Grüße 日本[/bold] 🐇", "[bold]Grüße 日本[/bold] 🐇"),
    ],
)
def test_what_a_terminal_obeys_is_spelled_out(text: str, shown: str) -> None:
    """Control characters become visible; markup and every printable character stay as they are."""
    assert plain(text) == shown


def test_long_text_is_cut_and_says_so() -> None:
    """A broker's endless answer does not bury the report."""
    assert plain("x" * (MOST_CHARACTERS + 5)) == "x" * MOST_CHARACTERS + "… (5 more characters)"
