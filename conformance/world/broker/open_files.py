"""The limit of open files that leaves a process so many more."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["limit_for"]


def limit_for(open_now: Iterable[int], most: int) -> int:
    """The limit (RLIMIT_NOFILE) below which exactly ``most`` numbers are free.

    The limit is on the numbers and not on how many there are: a new file gets the lowest free number, and that must be
    below the limit (getrlimit(2)). A number that is freed later can be used again.

    Args:
        open_now: the numbers of the process's open files.
        most: how many more it may open.
    """
    taken = set(open_now)
    limit = free = 0
    while limit in taken or free < most:
        free += limit not in taken
        limit += 1
    return limit
