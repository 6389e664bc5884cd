"""What became of each recipe on each broker. Pure data; the verdicts are the checker's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from conformance.catalogue.result import CheckResult
from conformance.history.events import Event, FaultEnded, QueueObserved, TabRefused
from conformance.matrix.recipes import Recipe

__all__ = ["CELL_VERDICTS", "Cell", "CellVerdict", "Column", "Matrix", "Outcome", "outcome_of"]

CellVerdict = Literal["violated", "refused", "inconclusive", "not_checked", "certified"]

CELL_VERDICTS: Final[tuple[CellVerdict, ...]] = ("violated", "refused", "inconclusive", "not_checked", "certified")
"""The worst first. ``refused``: the broker did not let the tab subscribe at all."""

_DECLARED = ("durable", "exclusive", "auto_delete", "queue_type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One play of a cell.

    Attributes:
        result: the play as a check.
        owed: how many messages the tab was owed; of a tab that was refused, how many were published for it.
        delivered: how many of them it handled.
        cuts: how often its link was cut.
        broker_says: with what the broker refused the subscription; empty where it did not.
        queue: what the broker made of the subscription (``durable``, ``exclusive``, ``auto_delete``, ``queue_type``);
            None where nobody knows.
    """

    result: CheckResult
    owed: int = 0
    delivered: int = 0
    cuts: int = 0
    broker_says: str = ""
    queue: dict[str, bool | str] | None = None

    @property
    def verdict(self) -> CellVerdict:
        """The check's, but ``refused`` where that is the only rule that was broken."""
        detail = self.result.detail
        if self.result.verdict == "violated" and detail is not None and {t.kind for t in detail.tally} == {"refused"}:
            return "refused"
        # A matrix asks what a recipe does: what a contract accepts of it is a violation here.
        return "violated" if self.result.accepted is not None else self.result.verdict  # type: ignore[return-value]

    @property
    def causes(self) -> list[str]:
        """What broke the rules, the gravest first."""
        detail = self.result.detail
        return [] if detail is None else list(dict.fromkeys(tally.cause for tally in detail.tally))


def outcome_of(result: CheckResult, events: Iterable[Event]) -> Outcome:
    """A play's outcome from its result and its history."""
    says, cuts, queue = "", 0, None
    for event in events:
        if isinstance(event, TabRefused) and event.during != "connect":
            says = event.detail
        elif isinstance(event, FaultEnded):
            cuts += event.counts.get("cut", 0)
        elif isinstance(event, QueueObserved) and queue is None and event.when == "subscribed" and event.exists:
            told = {name: getattr(event, name) for name in _DECLARED}
            queue = {name: value for name, value in told.items() if value is not None} or None
    detail = result.detail
    if detail is None:
        return Outcome(result=result, queue=queue)
    counts, refused = detail.counts, any(tally.kind == "refused" for tally in detail.tally)
    # What is still in the queue at the end is not lost, and has not come either.
    missing = counts.lost + (counts.undrained if result.verdict == "inconclusive" else 0)
    return Outcome(
        result=result,
        owed=counts.obligations or (counts.attempted if refused else 0),
        delivered=max(counts.obligations - missing, 0),
        cuts=cuts,
        broker_says=says if refused else "",
        queue=queue,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One recipe on one broker.

    Attributes:
        column: the broker's id.
        outcomes: of the recipe's plays, in their order; empty where none could be made.
        why_not: why none could be made.
    """

    recipe: Recipe
    column: str
    outcomes: tuple[Outcome, ...] = ()
    why_not: str = ""

    @property
    def id(self) -> str:
        """Unique in the matrix."""
        return f"{self.recipe.id}@{self.column}"

    @property
    def verdict(self) -> CellVerdict:
        """That of its worst play."""
        found = {outcome.verdict for outcome in self.outcomes}
        return next((verdict for verdict in CELL_VERDICTS if verdict in found), "not_checked")

    @property
    def worst(self) -> Outcome | None:
        """The play that decides the cell."""
        return next((outcome for outcome in self.outcomes if outcome.verdict == self.verdict), None)

    @property
    def summary(self) -> str:
        """The verdict in a sentence, with the play that decides it."""
        worst = self.worst
        if worst is None:
            return self.why_not or "Nothing is played of it."
        if worst.verdict == "refused":
            return f"refused by the broker: {worst.broker_says}"
        return f"{worst.result.id}: {worst.result.summary}"

    @property
    def seconds(self) -> float:
        """How long the plays took."""
        return sum(outcome.result.seconds for outcome in self.outcomes)


@dataclass(slots=True, kw_only=True)
class Column:
    """One broker.

    Attributes:
        id: unique in the matrix; names the folder of its evidence.
        label: what the user asked for: an image, ``provisioned``, a URL without its password.
        options: the command line that asks for this broker again.
        version: the broker's own word; empty where there was none.
        broker: ``Broker.describe()``.
        error: why it could not be had.
        timings: what it spent its time on, in seconds, by name.
    """

    id: str
    label: str
    options: tuple[str, ...] = ()
    version: str = ""
    broker: dict[str, object] = field(default_factory=dict)
    error: str = ""
    timings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """All of it: a cell for each recipe and column."""

    recipes: Sequence[Recipe]
    columns: Sequence[Column]
    cells: Sequence[Cell]
    seed: int = 0
    interrupted: bool = False
    seconds: float = 0.0

    def cell(self, recipe: Recipe, column: Column) -> Cell:
        """The cell of a row and a column."""
        return next(cell for cell in self.cells if cell.recipe.id == recipe.id and cell.column == column.id)

    @property
    def totals(self) -> dict[CellVerdict, int]:
        """How many cells have each verdict, the worst first."""
        found = Counter(cell.verdict for cell in self.cells)
        return {verdict: found[verdict] for verdict in CELL_VERDICTS}

    @property
    def verdict(self) -> Literal["certified", "violated", "inconclusive"]:
        """``violated`` where a cell is, or is refused; else ``certified`` only if every cell is."""
        totals = self.totals
        if totals["violated"] or totals["refused"]:
            return "violated"
        return "certified" if self.cells and totals["certified"] == len(self.cells) else "inconclusive"
