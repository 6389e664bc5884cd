"""The command line: ``python -m benchmarks.soak_publishers [--minutes N] [--seed N] [--only sync|async]``.

It starts a RabbitMQ of its own. Exit status: 0 nothing is wrong, 1 something is, 2 bad arguments, 3 inconclusive, or no
broker is to be had.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import secrets
import sys
import time
from collections.abc import Iterator, Sequence

from benchmarks.soak_publishers.child import Kind
from benchmarks.soak_publishers.plan import ROUND_S, Act, Plan
from benchmarks.soak_publishers.report import report
from benchmarks.soak_publishers.run import soak
from conformance.errors import ConformanceError, UsageError
from conformance.world.broker.base import Broker
from conformance.world.broker.choose import choose_broker

_PROGRAMS: dict[str, tuple[Kind, ...]] = {"both": ("threads", "tasks"), "sync": ("threads",), "async": ("tasks",)}
_SETTLE_S = 6.0


def main(words: Sequence[str] | None = None) -> int:
    """Run it; returns the exit status."""
    try:
        given = _arguments(words)
        seed = secrets.randbelow(10_000) if given.seed is None else given.seed
        with _broker(given.broker, given.image) as broker:
            _say(f"RabbitMQ {broker.version}, seed {seed}, {given.minutes:g} minutes in rounds of about {ROUND_S:g} s")
            rounds = _rounds(Plan(seed), given.minutes * 60)
            outcome = soak(
                broker,
                rounds,
                seed=seed,
                programs=_PROGRAMS[given.only],
                callers=given.callers,
                one_by_one=given.one_by_one,
                tell=_say,
            )
        _say("\n" + report(outcome))
    except ConformanceError as exc:
        sys.stderr.write(f"Error: {exc}\n")
        return exc.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return 130
    return outcome.exit_status


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for.

    Raises:
        UsageError: it can't be done. (A word that argparse does not know ends in its own message and status 2.)
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak_publishers",
        description="Publishers with many callers under faults, and whether all that they told is true.",
    )
    parser.add_argument("--minutes", default="10", help="how long it lasts, about [10]")
    parser.add_argument("--seed", help="of faults and calls, a whole number [a random one, which is told]")
    parser.add_argument("--only", default="both", help="which publishers: sync, async or both [both]")
    parser.add_argument("--callers", default="8", help="threads, and tasks [8]")
    parser.add_argument(
        "--one-by-one",
        action="store_true",
        help="they wait for each message, without pauses; threads without an observer, so that they use the socket",
    )
    parser.add_argument(
        "--broker", default="auto", help="how to get a RabbitMQ: auto, docker, local, provisioned [auto]"
    )
    parser.add_argument("--image", help="run this RabbitMQ image in Docker")
    given = parser.parse_args(words)
    given.minutes = _number("--minutes", given.minutes, 0.1, 24 * 60)
    given.callers = int(_number("--callers", given.callers, 1, 200, whole=True))
    if given.seed is not None:
        given.seed = int(_number("--seed", given.seed, 0, 10**9, whole=True))
    if given.only not in _PROGRAMS:
        raise UsageError("--only", f"{given.only!r} is no publisher", f"Take one of {', '.join(_PROGRAMS)}.")
    if "://" in given.broker:
        raise UsageError(
            "--broker", f"{given.broker!r} runs already, and the soak kills its broker", "Leave it out, or write auto."
        )
    return given


def _rounds(plan: Plan, seconds: float) -> Iterator[tuple[list[Act], bool]]:
    """Rounds until the time is up, each with whether it is the last."""
    ends = time.monotonic() + seconds
    last = False
    while not last:
        left_s = ends - time.monotonic()
        last = left_s < 1.5 * ROUND_S
        yield plan.round((left_s if last else ROUND_S) - _SETTLE_S), last


def _number(field: str, text: str, least: float, most: float, *, whole: bool = False) -> float:
    """The number that a text says.

    Raises:
        UsageError: it says none in the range.
    """
    what = "a whole number" if whole else "a number"
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise UsageError(field, f"{text!r:.60} is not {what} from {least:g} to {most:,g}", "Give one.")
    return value


@contextlib.contextmanager
def _broker(way: str, image: str | None) -> Iterator[Broker]:
    broker = choose_broker(way, image=image, on_progress=_say)
    missing = {"kill", "pause", "ctl"} - broker.capabilities
    if missing:
        raise UsageError("--broker", f"{way!r} can't be asked for: {', '.join(sorted(missing))}", "Take provisioned.")
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
