"""Text from elsewhere made fit to be shown: no secrets, no control characters, no end in sight cut off.

Queue names, message ids and errors come from brokers, publishers and files. Shown as they are they could recolour a
terminal, forge a line of the report or reverse its direction; and a URL may hold a password.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["HIDDEN", "MOST_CHARACTERS", "is_secret", "plain", "redact"]

HIDDEN: Final = "***"
"""What stands where a secret stood."""

MOST_CHARACTERS: Final = 2000
"""The longest text that is shown in one piece."""

_SECRET_NAMES = r"pass(?:code|word|wd|phrase)|secret|token"
_SECRET_KEY = re.compile(rf"(?:^|[-_.])(?:{_SECRET_NAMES})$", re.IGNORECASE)
_USERINFO = re.compile(r"(://[^\s/:@]*):[^\s/]*@")  # greedy: a password may hold an @ that was not encoded
_ASSIGNED = re.compile(rf"((?:{_SECRET_NAMES})=)[^\s&'\"]+", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Whether what stands under this key is a secret: ``passcode``, ``broker_password``."""
    return _SECRET_KEY.search(name) is not None


def redact(text: str) -> str:
    """The text without the passwords of its URLs and without the values of ``password=…`` and its like."""
    return _ASSIGNED.sub(rf"\1{HIDDEN}", _USERINFO.sub(rf"\1:{HIDDEN}@", text))


def plain(text: str) -> str:
    r"""The text without secrets, in one line of printable characters.

    What is not printable (control characters, line breaks, marks that change the direction of writing, halves of a
    surrogate pair) is written as Python writes it: ``\x1b``. Beyond :data:`MOST_CHARACTERS` it ends in how many more
    there are.
    """
    shown = redact(text)
    more = len(shown) - MOST_CHARACTERS
    if more > 0:
        shown = f"{shown[:MOST_CHARACTERS]}… ({more} more characters)"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
