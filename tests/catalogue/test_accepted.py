"""Accepted deviations: what is accepted, when, and what is said of what did not deviate."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, replace
from datetime import date
from typing import Any, cast

import pytest

from conformance.catalogue.accepted import acceptances, with_acceptance
from conformance.catalogue.result import CheckResult, CheckVerdict, overall
from conformance.catalogue.select import refuse_unknown_accepted
from conformance.checker.verdict import Counts, Tally, Verdict
from conformance.contract.loader import contract_from_dict, contract_to_dict, contract_to_toml
from conformance.contract.model import Contract
from conformance.errors import UsageError
from conformance.report.view import acceptance_lines, headline

TODAY = date(2026, 5, 4)


def _contract(*accepted: dict[str, object]) -> Contract:
    return contract_from_dict({"accepted": [{"reason": "known", **one} for one in accepted]})


def _result(check_id: str, verdict: CheckVerdict, *ways: str) -> CheckResult:
    """A check; of one that is broken, by ``kind cause`` each."""
    broken = ways or (("lost max-length",) if verdict in ("violated", "accepted") else ())
    tally = tuple(Tally(kind=cast("Any", kind), cause=cause, count=2) for kind, cause in map(str.split, broken))
    detail = Verdict(verdict="violated" if tally else "certified", summary="s", counts=Counts(), tally=tally)
    return CheckResult(id=check_id, verdict=verdict, summary="something", detail=detail)


LOST = {"kind": "lost", "cause": "max-length"}


@pytest.mark.parametrize(
    ("accepted", "verdict"),
    [
        ({"case": "cut/rst/before-delivery"}, "accepted"),
        ({"case": "cut/rst/before-delivery", **LOST}, "accepted"),
        ({"case": "cut/*", **LOST}, "accepted"),
        ({"case": "cut/*", **LOST, "until": TODAY}, "accepted"),
        ({"case": "cut/*", **LOST, "until": date(2026, 5, 3)}, "violated"),
        ({"case": "cut", **LOST}, "violated"),
        ({"case": "delivery/*", **LOST}, "violated"),
        ({"case": "cut/rst/before-delivery", "cause": "message-ttl"}, "violated"),
        ({"case": "cut/rst/before-delivery", "kind": "duplicated"}, "violated"),
        ({"case": "cut/*", "kind": "reordered", "cause": "max-length"}, "violated"),
    ],
)
def test_what_is_accepted(accepted: dict[str, object], verdict: str) -> None:
    """The check's id or a glob of it, up to and with the last day, and of it one kind and cause."""
    result = with_acceptance(_result("cut/rst/before-delivery", "violated"), _contract(accepted), TODAY)
    assert result.verdict == verdict
    assert result.accepted == ("known" if verdict == "accepted" else None)


@pytest.mark.parametrize(
    ("accepted", "ways", "verdict"),
    [
        # another cause beside the accepted one: the check stays violated
        ([LOST], ["lost max-length", "lost message-ttl"], "violated"),
        ([LOST], ["lost max-length", "reordered max-length"], "violated"),
        # one entry each
        ([LOST, {"cause": "message-ttl"}], ["lost max-length", "lost message-ttl"], "accepted"),
        ([LOST, {"kind": "reordered"}], ["lost max-length", "reordered max-length"], "accepted"),
        # what an entry leaves open must be unambiguous
        ([{}], ["lost max-length"], "accepted"),
        ([{}], ["lost max-length", "lost message-ttl"], "violated"),
        ([{"kind": "lost"}], ["lost max-length", "lost message-ttl"], "violated"),
        ([{"cause": "unconfirmed"}], ["lost unconfirmed", "misreported unconfirmed"], "violated"),
        ([{}, LOST], ["lost max-length", "lost message-ttl"], "violated"),
    ],
)
def test_only_the_accepted_cause_is(accepted: list[dict[str, str]], ways: list[str], verdict: str) -> None:
    """What else breaks the same check stays a violation, and the whole check with it."""
    contract = _contract(*({"case": "a/1", **one} for one in accepted))
    assert with_acceptance(_result("a/1", "violated", *ways), contract, TODAY).verdict == verdict


def test_the_reasons_of_several_acceptances_are_all_told() -> None:
    """Each once."""
    contract = _contract(
        {"case": "a/1", **LOST, "reason": "first"}, {"case": "a/1", "kind": "leaked", "reason": "second"}
    )
    result = with_acceptance(_result("a/1", "violated", "lost max-length", "leaked no-expiry"), contract, TODAY)
    assert result.accepted == "first; second"


def test_an_acceptance_is_no_evidence_for_the_rest() -> None:
    """What was to be shown beside the accepted deviation, and was not, keeps the check inconclusive."""
    broken = _result("a/1", "violated")
    assert broken.detail is not None
    unseen = replace(broken, detail=replace(broken.detail, inconclusive_reasons=("fault rst on t1 never fired",)))
    result = with_acceptance(unseen, _contract({"case": "a/1", **LOST}), TODAY)
    assert (result.verdict, result.accepted) == ("inconclusive", "known")
    assert result.summary.endswith("not shown: fault rst on t1 never fired")
    assert overall([result, _result("a/2", "certified")]) == "inconclusive"
    assert [one.state for one in acceptances([result], _contract({"case": "a/1", **LOST}), TODAY)] == ["deviated"]


def test_a_violation_that_names_nothing_is_not_accepted() -> None:
    """There must be something to accept."""
    bare = CheckResult(id="a/1", verdict="violated", summary="something")
    assert with_acceptance(bare, _contract({"case": "a/1"}), TODAY).verdict == "violated"


@pytest.mark.parametrize("verdict", ["certified", "inconclusive", "not_checked"])
def test_only_a_violation_is_accepted(verdict: CheckVerdict) -> None:
    """What showed nothing stays inconclusive: an acceptance is no evidence."""
    result = _result("cut/after-ack-1", verdict)
    assert with_acceptance(result, _contract({"case": "*", **LOST}), TODAY) == result


def test_a_certificate_with_deviations() -> None:
    """Certified, and said so; anything else that is violated or not shown decides as ever."""
    accepted, certified = _result("a/1", "accepted"), _result("a/2", "certified")
    assert overall([accepted, certified]) == "certified"
    assert overall([accepted, accepted]) == "inconclusive", "nothing was shown to hold"
    assert headline([accepted]) == ("INCONCLUSIVE: 1 of 1 check deviated as accepted and nothing was shown to hold.")
    assert overall([accepted, _result("a/3", "inconclusive")]) == "inconclusive"
    assert overall([accepted, _result("a/3", "violated")]) == "violated"
    assert headline([accepted, certified]).startswith("CERTIFIED with 1 accepted deviation: 1 of 2 checks held;")
    assert headline([accepted, accepted, certified]).startswith("CERTIFIED with 2 accepted deviations: 1 of 3 checks")


def _lines(results: list[CheckResult], contract: Contract) -> list[str]:
    return acceptance_lines([asdict(one) for one in acceptances(results, contract, TODAY)])


def test_what_became_of_each_acceptance() -> None:
    """Deviated, stale, expired, not checked; one whose checks the run left out is not told."""
    contract = _contract(
        {"case": "cut/*", **LOST},
        {"case": "delivery/steady", "kind": "lost"},
        {"case": "order/*", **LOST, "until": date(2026, 1, 1)},
        {"case": "time/*", **LOST},
        {"case": "routing/*", **LOST},
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
    assert _lines(results, contract) == [
        "Accepted, but it did not deviate: delivery/steady: lost. Take it out of [[accepted]].",
        "No longer accepted since 2026-01-01 is over: order/*: lost (max-length) (known); order/1 deviated.",
        "Not accepted: order/1: lost (max-length). Each [[accepted]] takes one kind and cause.",
    ]


def test_an_acceptance_whose_check_broke_for_another_cause() -> None:
    """It is told what is not accepted; that the accepted deviation did not show says nothing of it."""
    contract = _contract({"case": "a/1", **LOST})
    results = [_result("a/1", "violated", "lost message-ttl", "leaked no-expiry")]
    assert [one.state for one in acceptances(results, contract, TODAY)] == ["not_checked"]
    [line] = _lines(results, contract)
    assert line.startswith("Not accepted: a/1: lost (message-ttl); a/1: leaked (no-expiry). Each [[accepted]]")


def test_an_acceptance_without_a_cause_is_told() -> None:
    """With what it was, to be written in: the next time it might be something else."""
    [line] = _lines([_result("a/1", "accepted")], _contract({"case": "a/1"}))
    assert line.startswith("Accepted without its kind and cause: a/1. It was lost (max-length): write that into")


@pytest.mark.parametrize(
    ("accepted", "field", "says"),
    [
        ({"case": "x", "reason": " "}, "accepted[0].reason", "no reason is given"),
        ({"case": "x", "reason": "y", "untl": 1}, "accepted[0].untl", 'Did you mean "until"'),
        ({"reason": "y"}, "accepted[0].case", "missing"),
        ({"case": "", "reason": "y"}, "accepted[0].case", "empty"),
        ({"case": "x", "reason": "y", "until": "tomorrow"}, "accepted[0].until", "tomorrow"),
        ({"case": "x/*", "kind": "lost", "reason": "y"}, "accepted[0].cause", "'x/*' is a glob"),
        ({"case": "x/?", "cause": "max-length", "reason": "y"}, "accepted[0].kind", "Write the kind"),
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
    refuse_unknown_accepted(_contract({"case": "cut/*/before-delivery", **LOST}))
    with pytest.raises(UsageError, match=r"accepted\[1\].case.*delivery/steady"):
        refuse_unknown_accepted(_contract({"case": "cut/*", **LOST}, {"case": "delivery/stedy"}))


def test_an_acceptance_must_name_a_kind_that_there_is() -> None:
    """A misspelt one would accept nothing, and nobody would be told why."""
    with pytest.raises(UsageError, match=r'accepted\[0\].kind.*Did you mean "lost"'):
        refuse_unknown_accepted(_contract({"case": "cut/*", "kind": "losst", "cause": "max-length"}))


def test_acceptances_go_through_json_and_toml() -> None:
    """A resolved contract is read again as it was written."""
    contract = _contract({"case": "cut/*", **LOST, "until": TODAY}, {"case": "order/1"})
    assert contract_from_dict(contract_to_dict(contract)) == contract
    assert contract_from_dict(tomllib.loads(contract_to_toml(contract))) == contract
