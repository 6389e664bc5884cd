"""What a broker's log says of a connection that it ended without a word. Pure.

RabbitMQ ends a STOMP connection whose channel was closed for an error, and the ERROR frame that was to tell of it is
at times lost on the way (3.10.8: always on Web-STOMP; 4.3.6: of a SEND). The log has it.
"""

from __future__ import annotations

import re

__all__ = ["channel_errors", "reason_for"]

_ERROR = re.compile(
    r"Channel error on connection <[^>]*> \((?P<peers>[^\n]*)\), channel \d+:\n"
    r"[^\n]* operation \S+ caused a channel exception (?P<reason>[^\n]*)"
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def channel_errors(log: str) -> list[tuple[str, str]]:
    """``(address -> address, vhost, user; the error)`` of each, in the log's order."""
    return [(found["peers"], found["reason"].strip()) for found in _ERROR.finditer(_COLOUR.sub("", log))]


def reason_for(errors: list[tuple[str, str]], *, port: int, login: str) -> list[str]:
    """The errors of the connection from this port; where none is (a proxy lies between), those of all of the user's."""
    of_port = [reason for peers, reason in errors if f":{port} -> " in peers.partition(",")[0]]
    return of_port or [reason for peers, reason in errors if peers.endswith(f"user: '{login}'")]
