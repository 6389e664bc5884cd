"""The limit of open files is one on numbers."""

from __future__ import annotations

import pytest

from conformance.world.broker.open_files import limit_for


@pytest.mark.parametrize(
    ("open_now", "most", "limit"),
    [
        ([], 0, 0),
        ([0, 1, 2], 0, 3),
        ([0, 1, 2], 2, 5),
        ([0, 1, 4, 5], 0, 2),
        ([0, 1, 4, 5], 1, 3),
        ([0, 1, 4, 5], 2, 6),
        ([0, 1, 4, 5], 3, 7),
    ],
)
def test_so_many_numbers_are_free_below_it(open_now: list[int], most: int, limit: int) -> None:
    """Gaps count as room; what is open right at the limit does not make it higher."""
    assert limit_for(open_now, most) == limit
    assert len(set(range(limit)) - set(open_now)) == most
