"""The report as one HTML file that opens from disk: nothing in it is loaded from elsewhere, nothing from outside runs.

Every value is escaped by Jinja2 and made printable by :func:`conformance.report.plain.plain`; the page's policy
allows the one script it has, by its hash, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, TypeAlias

import jinja2
from markupsafe import Markup

from conformance.catalogue.result import CheckResult, CheckVerdict
from conformance.checker.story import MAX_LINES
from conformance.checker.times import MOST_SAMPLES
from conformance.checker.verdict import Setting, Violation
from conformance.errors import UsageError
from conformance.history.file import read_history
from conformance.report import view
from conformance.report.distributions import distributions
from conformance.report.lives import Play, collect
from conformance.report.plain import plain
from conformance.report.timeline import MOST_BANDS, MOST_MESSAGES, MOST_TABS, Timeline, make_timeline
from conformance.report.whole import write_whole

__all__ = ["MOST_STORIES", "MOST_TIMELINES", "Pictures", "make_html", "script", "style", "templates", "write_html"]

MOST_STORIES: Final = 3
"""How many violations of one check are told with their whole story; the others are told in a line."""

MOST_TIMELINES: Final = 500
"""How many pictures a page has: of each check the first violation's, then of each the second's, and so on."""

Pictures: TypeAlias = Mapping[str, Sequence[Timeline | str]]
"""By the check's id: one for each of its first violations, one where it has none; text: why there is none."""

_SIGNS: Final[dict[CheckVerdict, str]] = {
    "violated": "✘",
    "inconclusive": "?",
    "not_checked": "–",
    "accepted": "≈",
    "certified": "✔",
}


def write_html(path: Path, certificate: Mapping[str, Any], results: Sequence[CheckResult]) -> None:
    """Write the page, whole or not at all, with pictures of each check whose history was kept.

    Args:
        path: ``report.html``, in the report's folder: its links are relative to that.
        certificate: as :func:`conformance.report.certificate.build_certificate` made it of ``results``.
        results: the checks, in the certificate's order.

    Raises:
        UsageError: the folder can't be written to.
    """
    share = _share(results)
    pictures = {result.id: _pictures(result, share[result.id]) for result in results if share[result.id]}
    undrawn = sum(_wanted(result) for result in results) - sum(share.values())
    write_whole(path, make_html(certificate, results, pictures, undrawn=undrawn))


def make_html(
    certificate: Mapping[str, Any], results: Sequence[CheckResult], pictures: Pictures, *, undrawn: int = 0
) -> str:
    """The page's text.

    Args:
        certificate: as :func:`conformance.report.certificate.build_certificate` made it of ``results``.
        results: the checks, in the certificate's order.
        pictures: what is drawn.
        undrawn: how many pictures there would be beyond :data:`MOST_TIMELINES`.
    """
    text, digest = script("report.js")
    return (
        templates()
        .get_template("report.html.j2")
        .render(
            certificate=certificate,
            results=results,
            violated=view.worst_first(results),
            entries={entry["id"]: entry for entry in certificate["checks"]},
            pictures=pictures,
            undrawn=undrawn,
            plots=distributions(results, certificate["contract"]["promise"]),
            settings=_settings(results),
            view=view,
            signs=_SIGNS,
            most_stories=MOST_STORIES,
            most_timelines=MOST_TIMELINES,
            most_messages=MOST_MESSAGES,
            most_tabs=MOST_TABS,
            most_bands=MOST_BANDS,
            most_lines=MAX_LINES,
            most_samples=MOST_SAMPLES,
            style=style("base.css", "report.css"),
            script=text,
            script_digest=digest,
        )
    )


def templates() -> jinja2.Environment:
    """The environment of every page: values are escaped and made printable, names that are not there are errors."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_text),
    )
    environment.filters["plain_json"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment


def style(*names: str) -> Markup:
    """Style sheets of ours, to stand in a page."""
    return Markup("".join(_text(name) for name in names))  # noqa: S704 - our own files


def script(name: str) -> tuple[Markup, str]:
    """A script of ours, to stand in a page, and its hash for the page's policy."""
    text = _text(name)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Markup(text), digest  # noqa: S704 - our own file


def _text(name: str) -> str:
    return files("conformance.report").joinpath(name).read_text(encoding="utf-8")


def _finalize(value: object) -> object:
    """What each expression of the template goes through before it is escaped."""
    return value if isinstance(value, Markup | jinja2.Undefined) else plain(str(value))


def _wanted(result: CheckResult) -> int:
    """How many pictures a check asks for."""
    if result.history is None:
        return 0
    violations = result.detail.violations if result.detail is not None else ()
    return min(max(len(violations), 1), MOST_STORIES)


def _share(results: Sequence[CheckResult]) -> dict[str, int]:
    """How many pictures each check gets, by its id: those that are not certified come first."""
    share = dict.fromkeys((result.id for result in results), 0)
    in_turn = sorted(results, key=lambda result: result.verdict == "certified")
    left = MOST_TIMELINES
    for number in range(MOST_STORIES):
        for result in in_turn:
            if left and number < _wanted(result):
                share[result.id] += 1
                left -= 1
    return share


def _pictures(result: CheckResult, count: int) -> list[Timeline | str]:
    assert result.history is not None  # noqa: S101 - without one none is wanted
    violations = result.detail.violations if result.detail is not None else ()
    try:
        play = collect(read_history(result.history))
    except UsageError as exc:
        # a history that can't be read back must not keep the rest of the report from being written
        return [str(exc)]
    made = [
        make_timeline(play, violation) if violation is None or _is_of(play, violation) else _ELSEWHERE
        for violation in violations[:count] or (None,)
    ]
    return [timeline for timeline in made if timeline is not None]


_ELSEWHERE: Final = "It happened in another play than the one that is told here: see the histories of the causes below."


def _is_of(play: Play, violation: Violation) -> bool:
    """Whether it happened in that play: a check that draws scenarios tells violations of several."""
    if violation.tab is not None:
        return violation.tab in play.tabs
    return violation.message_id is None or any(violation.message_id == life.message_id for life in play.lives)


def _settings(results: Sequence[CheckResult]) -> list[Setting]:
    """Each different setting of all checks once: those that differ from what was asked first, by name."""
    found = dict.fromkeys(
        setting for result in results if result.detail is not None for setting in result.detail.settings
    )
    return sorted(found, key=lambda setting: (setting.agrees is not False, setting.asked is None, setting.name))
