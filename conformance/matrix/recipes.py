"""Recipes: ways to subscribe, built in as variations of SUBSCRIBE's headers, or contract files of the user's."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from conformance.catalogue.case import CASES, Case
from conformance.catalogue.select import promised
from conformance.contract.loader import contract_from_dict, load_contract
from conformance.contract.model import Contract
from conformance.contract.recommended import RECOMMENDED
from conformance.errors import UsageError
from conformance.matrix.plays import CUT, CUTS, FLAPPING, RESTART

__all__ = ["BASE", "BUILT_IN", "Recipe", "built_in", "load_recipes", "select_recipes"]

BASE: Mapping[str, str] = {"durable": "true", "auto-delete": "false", "x-expires": "86400000", "x-max-priority": "10"}
"""The headers that the built-in recipes vary, beside ``ack:client-individual``, ``x-queue-name`` and
``prefetch-count:50``."""

_BY_SETTINGS = ("time/longest-outage", "time/abandoned-queues-expire", "settings/as-asked", "settings/policies")
"""Checks of the catalogue that a contract file's recipe is held to as well, by its queue's real settings: a matrix
plays no long times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One row.

    Attributes:
        id: stable; what ``--only`` matches.
        title: what it is, in a few words.
        contract: the whole of it.
        plays: what is played of it.
        file: the contract file; None: it is built in.
    """

    id: str
    title: str
    contract: Contract
    plays: tuple[Case, ...]
    file: Path | None = None


def _recipe(
    recipe_id: str,
    title: str,
    *plays: Case,
    tab: Mapping[str, Any] | None = None,
    exchanges: Mapping[str, Any] | None = None,
    **changes: str | None,
) -> Recipe:
    """The base headers with changes (``_`` for ``-``; None removes one) and whatever else the contract says."""
    merged = {**BASE, **{name.replace("_", "-"): value for name, value in changes.items()}}
    headers = {name: value for name, value in merged.items() if value is not None}
    contract: dict[str, Any] = {"tab": {"headers": headers, **(tab or {})}}
    if exchanges is not None:
        contract["exchanges"] = exchanges
    return Recipe(id=recipe_id, title=title, contract=contract_from_dict(contract), plays=plays or (CUT,))


_TOPIC: dict[str, Any] = {
    "exchanges": {"pubsub": {"name": "amq.topic", "type": "topic", "passive": True}},
    "tab": {"destination": "/topic/{routing_key}"},
}
_QUORUM: dict[str, Any] = {"x_queue_type": "quorum", "x_max_priority": None}


def built_in() -> list[Recipe]:
    """The built-in recipes, in the order of telling."""
    return list(BUILT_IN.values())


BUILT_IN: dict[str, Recipe] = {
    recipe.id: recipe
    for recipe in (
        _recipe("gem", "base: the gem's own headers"),
        _recipe("recommended", "base + exclusive:false", CUT, RESTART, exclusive="false"),
        _recipe("auto-delete", "recommended + auto-delete:true", exclusive="false", auto_delete="true"),
        _recipe("durable-false", "recommended + durable:false", CUT, RESTART, exclusive="false", durable="false"),
        _recipe("no-durable", "recommended without durable", CUT, RESTART, exclusive="false", durable=None),
        _recipe("topic", "base, destination /topic/KEY", **_TOPIC),
        _recipe("topic-no-durable", "base, destination /topic/KEY, without durable", durable=None, **_TOPIC),
        _recipe("quorum", "recommended + x-queue-type:quorum, without x-max-priority", exclusive="false", **_QUORUM),
        _recipe("quorum-no-exclusive", "base + x-queue-type:quorum, without x-max-priority", **_QUORUM),
        _recipe(
            "quorum-priority",
            "recommended + x-queue-type:quorum (and x-max-priority)",
            exclusive="false",
            x_queue_type="quorum",
        ),
        _recipe("ack-auto", "recommended + ack:auto", exclusive="false", tab={"ack": "auto"}),
        _recipe("ack-client", "recommended + ack:client", exclusive="false", tab={"ack": "client"}),
        _recipe("expires-100", "recommended + x-expires:100", exclusive="false", x_expires="100"),
        _recipe("message-ttl-100", "recommended + x-message-ttl:100", exclusive="false", x_message_ttl="100"),
        _recipe("max-length-1", "recommended + x-max-length:1", exclusive="false", x_max_length="1"),
        _recipe(
            "quorum-flapping",
            f"quorum, and the tab flaps: cut {CUTS} times before it can ack",
            FLAPPING,
            exclusive="false",
            **_QUORUM,
        ),
        _recipe("classic-flapping", "recommended, and the tab flaps likewise", FLAPPING, exclusive="false"),
    )
}
"""The built-in recipes by id."""


def load_recipes(paths: Sequence[Path]) -> list[Recipe]:
    """A recipe of each contract file, called as the file is (with its folder where two are called the same).

    What is played of it is what its promise asks for: the cut, a restart, the flapping, and the checks of its settings.

    Raises:
        UsageError: a file can't be used; its name comes first.
    """
    stems = [path.stem for path in paths]
    found: dict[str, Recipe] = {}
    for path in paths:
        name = path.stem if stems.count(path.stem) == 1 else path.with_suffix("").as_posix()
        if name in found:
            raise UsageError(str(path), "this recipe is given twice", "Give each once.")
        try:
            contract = load_contract(path)
        except UsageError as error:
            where = error.field if error.field == str(path) else f"{path}: {error.field}"
            raise UsageError(where, error.problem, error.way_out) from error
        if contract.broker.definitions == RECOMMENDED:
            raise UsageError(
                f"{path}: broker.definitions",
                f"{RECOMMENDED!r} gives each contract a broker of its own, and recipes share theirs",
                "Name the file that `durable-ws recommend` writes.",
            )
        found[name] = Recipe(id=name, title=str(path), contract=contract, plays=_asked_for(contract), file=path)
    return list(found.values())


def _asked_for(contract: Contract) -> tuple[Case, ...]:
    asked = [play for play in (CUT, RESTART, FLAPPING) if play.asks <= contract.promise.survives]
    ids = {check.id for check in promised(contract)}
    by_settings = [CASES[one].as_made(frozenset(), contract) for one in _BY_SETTINGS if one in ids]
    return (*asked, *by_settings)


def select_recipes(recipes: Sequence[Recipe], only: Sequence[str]) -> list[Recipe]:
    """The recipes whose ids match one of the globs (none: all).

    Raises:
        UsageError: a glob matches none.
    """
    ids = [recipe.id for recipe in recipes]
    for glob in only:
        if not any(fnmatchcase(one, glob) for one in ids):
            close = difflib.get_close_matches(glob, ids, n=3, cutoff=0.4)
            hint = f"Did you mean {', '.join(close)}?" if close else f"There are: {', '.join(ids)}."
            raise UsageError("--only", f"{glob!r} matches no recipe", hint)
    return [one for one in recipes if not only or any(fnmatchcase(one.id, glob) for glob in only)]
