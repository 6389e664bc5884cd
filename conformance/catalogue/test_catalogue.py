"""The catalogue as pytest tests: each check of the session is one."""

from __future__ import annotations

import pytest

from conformance.catalogue.bridge import InconclusiveError, told_in_short
from conformance.catalogue.session import Session


def test_check(check_id: str, session: Session) -> None:
    """The check's verdict is `certified`."""
    result = session.result(check_id)
    if result.verdict == "not_checked":
        pytest.skip(result.summary)
    if result.verdict == "inconclusive":
        raise InconclusiveError(result.summary)
    told = told_in_short(result)
    if result.verdict == "accepted":
        pytest.xfail(f"Accepted deviation: {result.accepted}\n{told}")
    if result.verdict != "certified":
        pytest.fail(told, pytrace=False)
