"""The generated checks: Hypothesis draws scenarios, a failing one is shrunk, replayed and kept."""

from __future__ import annotations

import itertools
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.strategies import SearchStrategy

from conformance.catalogue.found import Broke, How, ways_of
from conformance.engine.play import Played
from conformance.scenario.codec import dump_scenario
from conformance.scenario.steered import Steering
from conformance.scenario.steps import Scenario

__all__ = ["Budget", "OnViolation", "Round", "Rounds", "Search", "replayed", "search", "steered", "with_bursts"]

_ROUND = 80
"""How many scenarios Hypothesis draws at a time: it keeps the first few dozen of a run small, so many short runs meet
more than one long one."""

_MOST_REMEMBERED = 500
"""Scenarios that passed, times and reasons: a search may last for hours."""

_FEW = 2
"""How many a round is where each may be steered anew: the first that Hypothesis draws is the emptiest, which is not
played again."""

_ONE_IN = 4
"""One round in so many is drawn freely, whatever is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What Hypothesis draws from next, how many scenarios, and whether what passed before is played again."""

    scenarios: SearchStrategy[Scenario]
    examples: int = _ROUND
    again: bool = False


def with_bursts(rounds: Rounds, bursts: SearchStrategy[Scenario]) -> Rounds:
    """Every other round is of bursts: they are few and each is worth many plays, for it shows a loss once in many."""
    return lambda number: Round(scenarios=bursts, examples=_FEW, again=True) if number % 2 else rounds(number // 2)


Rounds = Callable[[int], Round]
"""Asked for each round by its number, from 0."""


def steered(free: SearchStrategy[Scenario], steering: Steering) -> Rounds:
    """Rounds that go after what is missing; one in a few is drawn freely, and so are all once nothing is missing."""

    def choose(number: int) -> Round:
        if number % _ONE_IN == _ONE_IN - 1:
            return Round(scenarios=free, examples=_FEW)
        wanted = steering.next()
        return Round(scenarios=free) if wanted is None else Round(scenarios=wanted, examples=_FEW)

    return choose


OnViolation = Callable[[Scenario, Played, How, bool], object]
"""Takes a violated play and why it was played; the flag says whether the search still needs its history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Times in seconds, and how often a failing scenario is replayed."""

    generate_s: float = 60.0
    shrink_s: float = 60.0
    replays: int = 5


@dataclass(slots=True, kw_only=True)
class Search:
    """What a search did and found.

    Attributes:
        played: how many scenarios were played by verdict, shrinking not counted.
        seconds: of the last plays, in order.
        spent_s: what all plays took.
        found: the smallest scenario that failed, as it was played when it failed; None: none failed.
        first_steps: the number of steps of the first that failed.
        failed_again: how many of ``replayed`` replays of the smallest failed.
        again: in how many of these each kind and cause showed.
        spare: the other plays that failed and were kept for the shrinker; their histories are not needed any more.
        inconclusive: reasons of inconclusive plays with their counts.
        confirmed: messages, in all plays.
        rounds: how many rounds were begun.
        broke: what a play raised that ended the search; None: none did.
    """

    played: Counter[str] = field(default_factory=Counter)
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_REMEMBERED))
    spent_s: float = 0.0
    found: tuple[Scenario, Played] | None = None
    first_steps: int = 0
    failed_again: int = 0
    replayed: int = 0
    again: Counter[Broke] = field(default_factory=Counter)
    spare: list[Played] = field(default_factory=list)
    inconclusive: Counter[str] = field(default_factory=Counter)
    confirmed: int = 0
    rounds: int = 0
    broke: Exception | None = None


def search(
    scenarios: SearchStrategy[Scenario] | Rounds,
    play: Callable[[Scenario], Played],
    *,
    run_seed: int,
    budget: Budget,
    stop: Callable[[], bool] = lambda: False,
    on_play: Callable[[Played], object] = lambda _: None,
    on_drawn: Callable[[Played], object] = lambda _: None,
    on_violation: OnViolation = lambda _, __, ___, ____: None,
    wants: Callable[[Played], bool] = lambda _: True,
    same: Callable[[Played], bool] = lambda _: True,
    first_round: int = 0,
) -> Search:
    """Draw scenarios until the budget is spent or one is violated; shrink and replay that one.

    A scenario that was played is not played again while shrinking: its verdict is remembered, so that an
    intermittent failure neither confuses the shrinker nor gets lost. Once the time for shrinking is over,
    what has not been played counts as passing, which leaves the smallest failure found so far.

    Args:
        scenarios: the strategy, or what chooses one for each round.
        play: plays one scenario.
        run_seed: fixes the choice of scenarios; the time alone decides how many of them are played.
        budget: how long.
        stop: asked before each play; True ends the search as if the time were over.
        on_play: called after each play, replays left out.
        on_drawn: called after each play of a fresh draw: neither a step of shrinking nor a replay.
        on_violation: called with each violated play as it happens, whatever it was played for.
        wants: asked of a violated play of a fresh draw; False: it is known, go on searching.
        same: asked of a violated play while shrinking: whether it shows what is being shrunk.
        first_round: the number of the first round.

    A play that raises ends the search: see ``Search.broke``. What was found before it is kept.
    """
    hunt = _Hunt(play, budget, stop, on_play, on_drawn, on_violation, wants, same)
    result = hunt.result
    try:
        for number in itertools.count(first_round):
            chosen = scenarios(number) if callable(scenarios) else Round(scenarios=scenarios)
            hunt.begin_round(again=chosen.again)
            _draw(chosen, hunt.attempt, seed_of_round=run_seed + number)
    except (_TimeIsOverError, _ViolatedError):
        pass
    except _PlayBrokeError as exc:
        result.broke = exc.cause
        result.found = hunt.smallest
    if result.found is not None:
        result.spare = hunt.all_but(result.found[1])
        result.replayed, result.failed_again, result.again = replayed(
            play, result.found[0], budget.replays, stop, on_violation
        )
    return result


def replayed(
    play: Callable[[Scenario], Played],
    scenario: Scenario,
    times: int,
    stop: Callable[[], bool],
    on_violation: OnViolation = lambda _, __, ___, ____: None,
) -> tuple[int, int, Counter[Broke]]:
    """Play a scenario so often again: how many plays there were, how many were violated, and each kind and cause.

    A play that the end of the run cut off shows nothing, so it does not count unless it was violated; one that raises
    ends the replays.
    """
    plays = violated = 0
    again: Counter[Broke] = Counter()
    while plays < times and not stop():
        try:
            played = play(scenario)
            failed = played.verdict.verdict == "violated"
            if failed:
                again.update(ways_of(played.verdict))
                on_violation(scenario, played, "replay", False)
        except Exception:  # noqa: BLE001 - whatever it was, the violation stands
            break
        if not failed and stop():
            break
        plays += 1
        violated += failed
    return plays, violated, again


def _draw(chosen: Round, attempt: Callable[[Scenario], None], *, seed_of_round: int) -> None:
    """One round: draw, and shrink what fails; raises what the last attempt raised."""

    @seed(seed_of_round)
    @settings(
        max_examples=chosen.examples,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
    )
    @given(chosen.scenarios)
    def drawn(scenario: Scenario) -> None:
        attempt(scenario)

    drawn()


class _Hunt:
    """What Hypothesis calls for each scenario that it draws, and what is remembered between the calls."""

    def __init__(
        self,
        play: Callable[[Scenario], Played],
        budget: Budget,
        stop: Callable[[], bool],
        on_play: Callable[[Played], object],
        on_drawn: Callable[[Played], object],
        on_violation: OnViolation,
        wants: Callable[[Played], bool],
        same: Callable[[Played], bool],
    ) -> None:
        self.result = Search()
        self._play = play
        self._budget = budget
        self._stop = stop
        self._on_play = on_play
        self._on_drawn = on_drawn
        self._on_violation = on_violation
        self._wants = wants
        self._same = same
        self._failed: dict[str, tuple[Scenario, Played]] = {}
        self._passed: set[str] = set()
        self._ends = time.monotonic() + budget.generate_s

    @property
    def smallest(self) -> tuple[Scenario, Played] | None:
        """Of what failed so far."""
        return min(self._failed.values(), key=lambda one: len(one[0].steps), default=None)

    def all_but(self, found: Played) -> list[Played]:
        """What failed beside it."""
        return [played for _, played in self._failed.values() if played is not found]

    def begin_round(self, *, again: bool = False) -> None:
        """Another round begins: what passed is remembered for the shrinker's sake, and it is not at work yet."""
        self.result.rounds += 1
        if again or len(self._passed) > _MOST_REMEMBERED:
            self._passed.clear()

    def attempt(self, scenario: Scenario) -> None:
        """Play the scenario unless it has been played, or the time is over."""
        key = dump_scenario(scenario)
        if key in self._passed:
            return
        if key not in self._failed:
            if time.monotonic() >= self._ends or self._stop():
                if self._failed:
                    return
                raise _TimeIsOverError
            if not self._violates(scenario, key):
                return
        # Hypothesis ends with a replay of the smallest failure: the last one raised is the one to keep.
        self.result.found = self._failed[key]
        raise _ViolatedError

    def _violates(self, scenario: Scenario, key: str) -> bool:
        drawn = not self._failed
        try:
            played = self._play(scenario)
            if drawn:
                self._on_drawn(played)
            self._on_play(played)
            if played.verdict.verdict == "violated":
                wanted = self._wants(played) if drawn else self._same(played)
                self._on_violation(scenario, played, "drawn" if drawn else "shrinking", wanted)
            else:
                wanted = False
        except Exception as exc:
            raise _PlayBrokeError(exc) from exc
        if drawn:
            self._count(played)
        if not wanted:
            self._passed.add(key)
            return False
        if drawn:
            self.result.first_steps = len(scenario.steps)
            self._ends = time.monotonic() + self._budget.shrink_s
        self._failed[key] = scenario, replace(played, events=[])  # its history is on disk
        return True

    def _count(self, played: Played) -> None:
        """What a fresh draw adds to the sums."""
        self.result.played[played.verdict.verdict] += 1
        self.result.seconds.append(played.seconds)
        self.result.spent_s += played.seconds
        self.result.confirmed += played.verdict.counts.confirmed
        if len(self.result.inconclusive) < _MOST_REMEMBERED:
            self.result.inconclusive.update(played.verdict.inconclusive_reasons)


class _ViolatedError(AssertionError):
    """What the drawn test raises: to Hypothesis every violation is the same failure."""


class _TimeIsOverError(BaseException):
    """Ends the whole search from within: Hypothesis passes on what is no Exception."""


class _PlayBrokeError(BaseException):
    """Likewise: to Hypothesis an Exception would be a failure to shrink."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause
