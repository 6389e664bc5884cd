"""Which checks a run makes: what the contract promises, and what the user picked by id."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from conformance.catalogue import (
    administrator,
    as_asked,
    broker_faults,
    capacity,
    delivery,
    hostile_input,
    isolation,
    order,
    publisher_process,
    publishing,
    publishing_outcomes,
    publishing_properties,
    reconnection,
    routing,
    security,
    settings,
)
from conformance.catalogue.case import CASES
from conformance.catalogue.session import GENERATED, Check
from conformance.checker.verdict import KINDS
from conformance.contract.model import Contract
from conformance.contract.refusal import did_you_mean
from conformance.errors import UsageError

__all__ = ["all_checks", "must_match", "promised", "refuse_unknown_accepted", "select"]

_REGISTERED = (
    delivery,
    reconnection,
    publishing,
    publishing_outcomes,
    publishing_properties,
    publisher_process,
    routing,
    settings,
    as_asked,
    administrator,
    broker_faults,
    order,
    isolation,
    capacity,
    hostile_input,
    security,
)
"""Importing these files is what registers their cases."""


def all_checks() -> list[Check]:
    """Every check there is, the named cases first."""
    return [*CASES.values(), *GENERATED]


def promised(contract: Contract) -> list[Check]:
    """The checks that the contract's promise asks for."""
    survives = contract.promise.survives
    named = [case for case in CASES.values() if case.asks <= survives and case.fits(contract)]
    generated = [
        check for check in GENERATED if not check.broker_faults or survives & {"broker-restart", "broker-kill"}
    ]
    return [*named, *generated]


def select(
    checks: Sequence[Check], only: Sequence[str] = (), exclude: Sequence[str] = (), *, option: str = "--only"
) -> list[Check]:
    """The checks whose ids match a glob of ``only`` (empty: all) and none of ``exclude``; ``option`` names ``only``.

    Raises:
        UsageError: a glob matches no check that there is.
    """
    for name, globs in ((option, only), ("--exclude", exclude)):
        for glob in globs:
            must_match(name, glob)
    return [
        check
        for check in checks
        if (not only or any(fnmatchcase(check.id, glob) for glob in only))
        and not any(fnmatchcase(check.id, glob) for glob in exclude)
    ]


def must_match(field: str, glob: str) -> None:
    """Refuse a glob that matches no check that there is.

    Raises:
        UsageError: it matches none; ``field`` is where it stands.
    """
    ids = [check.id for check in all_checks()]
    if not any(fnmatchcase(check_id, glob) for check_id in ids):
        close = difflib.get_close_matches(glob, ids, n=3, cutoff=0.4)
        hint = f"Did you mean {', '.join(close)}?" if close else "See `durable-ws cases` for the ids."
        raise UsageError(field, f"{glob!r} matches no check", hint)


def refuse_unknown_accepted(contract: Contract) -> None:
    """Refuse an acceptance that names no check, or a kind of violation that there is not.

    Raises:
        UsageError: a ``case`` matches no check that there is, or a ``kind`` is none; it suggests some that are near.
    """
    for number, accepted in enumerate(contract.accepted):
        must_match(f"accepted[{number}].case", accepted.case)
        if accepted.kind is not None and accepted.kind not in KINDS:
            raise UsageError(
                f"accepted[{number}].kind",
                f"there is no violation of the kind {accepted.kind!r}",
                did_you_mean(accepted.kind, KINDS),
            )
