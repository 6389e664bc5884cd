"""The run's times over all its checks: latencies pooled, recoveries by kind of fault."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conformance.catalogue.result import CheckResult
from conformance.checker.verdict import Distribution

__all__ = ["Pool", "Recoveries", "latencies", "recoveries"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Times of one kind over all checks.

    ``values_ms`` rise; each stands for as many times as ``weights`` says: a check that measured more of them than it
    kept counts as much as it measured.
    """

    name: str
    values_ms: Sequence[float]
    weights: Sequence[float]
    count: int

    def quantile(self, part: float) -> float:
        """The least value that this part of all times does not exceed (nearest rank)."""
        wanted, seen = part * sum(self.weights), 0.0
        for value, weight in zip(self.values_ms, self.weights, strict=True):
            seen += weight
            if seen >= wanted - 1e-9:
                return value
        return self.values_ms[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recoveries:
    """How long tabs took after one kind of fault, in rising seconds; ``never``: how many had not done so at the end.

    ``back_s``: until subscribed again (of the publisher: until the next confirm); ``caught_up_s``: until all that was
    owed had been handled.
    """

    fault: str
    back_s: list[float]
    caught_up_s: list[float]
    never: int


def latencies(results: Iterable[CheckResult]) -> list[Pool]:
    """Delivery and confirm latency over all checks, as far as any was measured."""
    details = [result.detail for result in results if result.detail is not None]
    pools = (
        _pool("delivery", [detail.times.delivery for detail in details]),
        _pool("confirm", [detail.times.confirm for detail in details]),
    )
    return [pool for pool in pools if pool is not None]


def recoveries(results: Iterable[CheckResult]) -> list[Recoveries]:
    """The recoveries by kind of fault, in alphabetical order; the publisher's stand apart from the tabs'."""
    back: dict[str, list[float]] = {}
    caught: dict[str, list[float]] = {}
    never: dict[str, int] = {}
    for result in results:
        for recovery in result.detail.times.recoveries if result.detail is not None else ():
            name = f"{recovery.fault} (publisher)" if recovery.tab is None else recovery.fault
            ended_s = recovery.back_s if recovery.tab is None else recovery.caught_up_s
            back.setdefault(name, []).extend(() if recovery.back_s is None else (recovery.back_s,))
            caught.setdefault(name, []).extend(() if ended_s is None else (ended_s,))
            never[name] = never.get(name, 0) + (ended_s is None)
    return [
        Recoveries(fault=name, back_s=sorted(back[name]), caught_up_s=sorted(caught[name]), never=never[name])
        for name in sorted(back)
    ]


def _pool(name: str, distributions: Iterable[Distribution | None]) -> Pool | None:
    known = [one for one in distributions if one is not None and one.sample_ms]
    weighed = sorted((value, one.count / len(one.sample_ms)) for one in known for value in one.sample_ms)
    if not weighed:
        return None
    values, weights = zip(*weighed, strict=True)
    return Pool(name=name, values_ms=values, weights=weights, count=sum(one.count for one in known))
