"""Moving a broker's clock: libfaketime under the Erlang machine, steered by a file that holds an offset.

Independent of how the broker is run. A provider (1) finds the library with
:func:`conformance.world.broker.faketime_library.faketime_library`, (2) starts the server's script with
:func:`environment` on top of its own, :data:`SETTINGS` in its configuration, and a file at that place which holds
:func:`offset_text` of 0, (3) keeps one :class:`MovedClock`, whose ``put`` replaces the file's content in one step. The
offset then outlives the node: a restart goes on from the moved time.

What is seen of the moved clock is everything in the machine: timers (``x-expires``, TTLs, heart-beats) as well as the
wall clock, since libfaketime moves CLOCK_MONOTONIC too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import httpx

from conformance.errors import HarnessError

__all__ = ["SETTINGS", "MovedClock", "environment", "offset_text", "time_by_http"]

SETTINGS = {"management_agent.disable_metrics_collector": "true"}
"""What such a node needs in its ``rabbitmq.conf``: after a jump over days, management would else fill in a sample of
each metric for every half second that is missing (3 GB and a minute of both cores, seen on 4.3.6)."""

_SHOWS_S = 90.0
"""Erlang's periodic timers catch up on all ticks that a jump went over: nothing for a day, many seconds for a month."""
_LOOK_S = 0.02
_ASK_S = 5.0
_BLUR_S = 2.0
"""HTTP's Date has whole seconds, and the broker renews it once a second. A shorter jump is taken on trust: the file is
read at each look at the clock."""


def environment(library: str, offset_file: str) -> dict[str, str]:
    """What the server's script needs in its environment so that the machine lives by the file's clock.

    Args:
        library: ``libfaketimeMT.so.1``, as the broker's processes see it; without spaces and colons.
        offset_file: as the broker's processes see it. Mount or copy its *folder* into a container, never the file
            alone: what is renamed over a mounted file is not seen inside.
    """
    return {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": offset_file,
        # Of all that the script runs, the Erlang machine alone.
        "FAKETIME_ONLY_CMDS": "beam.smp",
        # Read at each look at the clock: a jump is seen at once, where a cache takes a second; on an idle node that
        # costs 2 % of a core, under load nothing that can be told from the noise.
        "FAKETIME_NO_CACHE": "1",
        # From 0.9.11 on: nothing is left in /dev/shm by a machine that was killed.
        "FAKETIME_DISABLE_SHM": "1",
    }


def offset_text(seconds: float) -> str:
    """The file's content for a clock that is ahead by so many seconds."""
    return f"+{seconds:.3f}\n"


class MovedClock:
    """The clock of one broker, as far as it has been moved on.

    Args:
        put: puts a text into the offset file, whole or not at all; may be called while the broker reads it.
        now: asks the broker for its time, in seconds since the epoch; None: it can't be asked at this moment.
    """

    def __init__(self, put: Callable[[str], None], now: Callable[[], float | None]) -> None:
        self._put = put
        self._now = now
        self.ahead_s = 0.0
        """By how much it is ahead of this machine's."""

    def advance(self, seconds: float) -> None:
        """Move it on in one jump and wait until the broker shows it.

        Raises:
            HarnessError: it never does.
        """
        self.ahead_s += seconds
        self._put(offset_text(self.ahead_s))
        least_s = self.ahead_s - _BLUR_S
        deadline = time.monotonic() + _SHOWS_S
        while True:
            told = self._now()
            if told is not None and told - time.time() >= least_s:
                return
            if time.monotonic() >= deadline:
                is_ahead = "can't be asked" if told is None else f"is ahead by {round(told - time.time())} s"
                raise HarnessError(f"the broker's clock was to be ahead by {self.ahead_s:.0f} s, but it {is_ahead}")
            time.sleep(_LOOK_S)  # between two looks at a clock: there is no event to wait for


def time_by_http(management: str) -> float | None:
    """What a broker's clock shows, by the Date of an answer of its management plugin (no login needed).

    A connection of its own each time: idle ones time out at the broker when its clock jumps.

    Args:
        management: the address of its management API.
    """
    try:
        answer = httpx.head(management, timeout=_ASK_S, trust_env=False)
        return parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (httpx.HTTPError, KeyError, ValueError):
        return None
