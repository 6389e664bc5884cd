"""What may be left of a publisher, and how flat its memory must be. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.soak_publishers.judge import Wrong
from benchmarks.soak_publishers.records import Census

__all__ = ["MOST_GROWTH_BYTES", "Memory", "Sample", "census_wrongs", "memory_of", "memory_wrongs"]

MOST_GROWTH_BYTES = 16 * 1024 * 1024
"""Of resident memory from the first third to the end: allocators keep and fragment what large messages took."""

_BLOCKS_A_MESSAGE = 0.05
_BLOCKS_BESIDES = 20_000
"""Allocated blocks may grow by so many: caches fill, and threads and connections come and go. A publisher that kept a
single object of every message would need a block for each."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory with nothing under way.

    Attributes:
        at_s: since the program began.
        messages: that it had published by then.
        rss_bytes, blocks: see :class:`Held`.
    """

    at_s: float
    messages: int
    rss_bytes: int
    blocks: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Two samples to compare: the first one after a third of the time, and the last."""

    third: Sample
    end: Sample


def memory_of(samples: Sequence[Sample]) -> Memory | None:
    """What is to be compared; None: there are not two samples of which the first is after a third of the time."""
    if len(samples) < 2:
        return None
    third = next(sample for sample in samples if sample.at_s >= samples[-1].at_s / 3)
    return None if third is samples[-1] else Memory(third, samples[-1])


def memory_wrongs(program: str, memory: Memory | None) -> list[Wrong]:
    """What is wrong with the memory of a program."""
    if memory is None:
        return []
    wrongs = []
    grown = memory.end.rss_bytes - memory.third.rss_bytes
    if grown > MOST_GROWTH_BYTES:
        wrongs.append(
            Wrong("memory grows", f"{program}: resident memory grew by {grown / 2**20:.1f} MiB after the first third")
        )
    blocks, messages = memory.end.blocks - memory.third.blocks, memory.end.messages - memory.third.messages
    if blocks > _BLOCKS_BESIDES + _BLOCKS_A_MESSAGE * messages:
        wrongs.append(
            Wrong("memory grows", f"{program}: {blocks:,} more blocks are allocated after {messages:,} more messages")
        )
    return wrongs


def census_wrongs(program: str, before: Census | None, after: Census | None) -> list[Wrong]:
    """What is left of a publisher that was closed."""
    if before is None or after is None:
        return [Wrong("the program ended by itself", f"{program}: it did not tell what was left of the publisher")]
    wrongs = []
    for kind, had, has in (
        ("a thread is left", before.threads, after.threads),
        ("a task is left", before.tasks, after.tasks),
        ("a file descriptor is left", before.descriptors, after.descriptors),
    ):
        left = Counter(has) - Counter(had)
        if left.total():
            wrongs.append(Wrong(kind, f"{program}: {', '.join(sorted(left.elements()))}"))
    return wrongs
