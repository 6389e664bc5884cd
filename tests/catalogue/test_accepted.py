"""Accepted deviations: what is accepted, when, and what is said of what did not deviate."""

from __future__ import annotations

from datetime import date

import pytest

from conformance.catalogue.accepted import acceptances, with_acceptance
from conformance.catalogue.result import CheckResult, CheckVerdict, overall
from conformance.catalogue.select import refuse_unknown_accepted
from conformance.contract.loader import contract_from_dict, contract_to_dict
from conformance.contract.model import Contract
from conformance.errors import UsageError
from conformance.report.view import acceptance_lines, headline

TODAY = date(2026, 5, 4)


def _contract(*accepted: dict[str, object]) -> Contract:
    return contract_from_dict({"accepted": [{"reason": "known", **one} for one in accepted]})


def _result(check_id: str, verdict: CheckVerdict) -> CheckResult:
    return CheckResult(id=check_id, verdict=verdict, summary="something")


@pytest.mark.parametrize(
    ("accepted", "verdict"),
    [
        ({"case": "cut/rst/before-delivery"}, "accepted"),
        ({"case": "cut/*"}, "accepted"),
        ({"case": "cut/*", "until": TODAY}, "accepted"),
        ({"case": "cut/*", "until": date(2026, 5, 3)}, "violated"),
        ({"case": "cut"}, "violated"),
        ({"case": "delivery/*"}, "violated"),
    ],
)
def test_what_is_accepted(accepted: dict[str, object], verdict: str) -> None:
    """The check's id or a glob of it, up to and with the last day."""
    result = with_acceptance(_result("cut/rst/before-delivery", "violated"), _contract(accepted), TODAY)
    assert result.verdict == verdict
    assert result.accepted == ("known" if verdict == "accepted" else None)


@pytest.mark.parametrize("verdict", ["certified", "inconclusive", "not_checked"])
def test_only_a_violation_is_accepted(verdict: CheckVerdict) -> None:
    """What showed nothing stays inconclusive: an acceptance is no evidence."""
    result = _result("cut/after-ack-1", verdict)
    assert with_acceptance(result, _contract({"case": "*"}), TODAY) == result


def test_a_certificate_with_deviations() -> None:
    """Certified, and said so; anything else that is violated or not shown decides as ever."""
    accepted, certified = _result("a/1", "accepted"), _result("a/2", "certified")
    assert overall([accepted, certified]) == "certified"
    assert overall([accepted]) == "certified"
    assert overall([accepted, _result("a/3", "inconclusive")]) == "inconclusive"
    assert overall([accepted, _result("a/3", "violated")]) == "violated"
    assert headline([accepted, certified]).startswith("CERTIFIED with 1 accepted deviation: 1 of 2 checks held;")
    assert headline([accepted, accepted, certified]).startswith("CERTIFIED with 2 accepted deviations: 1 of 3 checks")


def test_what_became_of_each_acceptance() -> None:
    """Deviated, stale, expired, not checked; one whose checks the run left out is not told."""
    contract = _contract(
        {"case": "cut/*"},
        {"case": "delivery/steady"},
        {"case": "order/*", "until": date(2026, 1, 1)},
        {"case": "time/*"},
        {"case": "routing/*"},
    )
    results = [
        _result("cut/1", "accepted"),
        _result("cut/2", "certified"),
        _result("delivery/steady", "certified"),
        _result("order/1", "violated"),
        _result("time/1", "certified"),
        _result("time/2", "inconclusive"),
    ]
    told = acceptances(results, contract, TODAY)
    assert [(one.case, one.state, one.checks) for one in told] == [
        ("cut/*", "deviated", ("cut/1",)),
        ("delivery/steady", "stale", ()),
        ("order/*", "expired", ("order/1",)),
        ("time/*", "not_checked", ()),
    ]
    lines = acceptance_lines(
        [{"case": one.case, "reason": one.reason, "until": one.until, "state": one.state, "checks": one.checks}
         for one in told]
    )  # fmt: skip
    assert lines == [
        "Accepted, but it did not deviate: delivery/steady. Take it out of [[accepted]].",
        "No longer accepted since 2026-01-01 is over: order/* (known); order/1 deviated.",
    ]


@pytest.mark.parametrize(
    ("accepted", "field", "says"),
    [
        ({"case": "x", "reason": " "}, "accepted[0].reason", "no reason is given"),
        ({"case": "x", "reason": "y", "untl": 1}, "accepted[0].untl", 'Did you mean "until"'),
        ({"reason": "y"}, "accepted[0].case", "missing"),
        ({"case": "", "reason": "y"}, "accepted[0].case", "empty"),
        ({"case": "x", "reason": "y", "until": "tomorrow"}, "accepted[0].until", "tomorrow"),
    ],
)
def test_bad_acceptances(accepted: dict[str, object], field: str, says: str) -> None:
    """Each names the field and the way out."""
    with pytest.raises(UsageError, match="accepted") as error:
        contract_from_dict({"accepted": [accepted]})
    assert error.value.field == field
    assert says in str(error.value)


def test_an_acceptance_must_name_a_check() -> None:
    """An unknown id is refused with one that is near; a glob must match something."""
    refuse_unknown_accepted(_contract({"case": "cut/*/before-delivery"}))
    with pytest.raises(UsageError, match=r"accepted\[1\].case.*delivery/steady"):
        refuse_unknown_accepted(_contract({"case": "cut/*"}, {"case": "delivery/stedy"}))


def test_acceptances_go_through_json() -> None:
    """A resolved contract is read again as it was written."""
    contract = _contract({"case": "cut/*", "until": TODAY}, {"case": "order/*"})
    assert contract_from_dict(contract_to_dict(contract)) == contract
