"""What a CI system shows beside a change: annotations in its own words, a summary page, a code-quality report. Pure.

Sources: GitHub, https://docs.github.com/actions/using-workflows/workflow-commands-for-github-actions (escaping as its
toolkit has it: https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts); GitLab,
https://docs.gitlab.com/ci/testing/code_quality/ and https://docs.gitlab.com/ci/jobs/job_logs/#custom-collapsible-sections;
Azure, https://learn.microsoft.com/azure/devops/pipelines/scripts/logging-commands; TeamCity,
https://www.jetbrains.com/help/teamcity/service-messages.html.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from conformance.report.plain import plain
from conformance.report.view import accepted_name

__all__ = [
    "SYSTEMS",
    "Annotation",
    "System",
    "annotate",
    "code_quality",
    "detect",
    "remarks_of",
    "repository_path",
    "summary_markdown",
]

System = Literal["github", "gitlab", "azure", "teamcity"]
SYSTEMS: Final[tuple[System, ...]] = ("github", "gitlab", "azure", "teamcity")

_SIGNS: Final[tuple[tuple[str, System], ...]] = (
    ("GITHUB_ACTIONS", "github"),
    ("GITLAB_CI", "gitlab"),
    ("TF_BUILD", "azure"),
    ("TEAMCITY_VERSION", "teamcity"),
)
"""The variable that each system sets in every job."""

_WORKSPACES: Final[Mapping[System, str]] = {
    "github": "GITHUB_WORKSPACE",
    "gitlab": "CI_PROJECT_DIR",
    "azure": "BUILD_SOURCESDIRECTORY",
}
"""The variable that names the repository's folder: what a remark is pinned to is found below it. TeamCity's messages
are pinned to no file."""

_MOST = 10
"""GitHub shows ten errors and ten warnings of a step."""

Level = Literal["error", "warning", "notice"]
_LEVELS: Final[Mapping[str, Level]] = {
    "violated": "error", "inconclusive": "warning", "not_checked": "warning", "accepted": "notice"
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One remark.

    Attributes:
        level: how grave.
        title: the check and its verdict.
        text: what is wrong, what to change.
        file: what it is pinned to, the contract's file where there is one.
        ways: of a check: the kinds and causes that broke it.
    """

    level: Level
    title: str
    text: str
    file: str | None
    ways: tuple[str, ...] = ()


def detect(environment: Mapping[str, str]) -> System | None:
    """The CI system that runs this process, by the variables that it sets."""
    return next(
        (system for sign, system in _SIGNS if environment.get(sign, "").lower() not in ("", "0", "false")), None
    )


def repository_path(file: Path, system: System, environment: Mapping[str, str]) -> str:
    """A file as its repository has it: a system attaches remarks to nothing else.

    Args:
        file: as the command line named it.
        system: whose variable names the repository's folder.
        environment: of this process.

    Returns:
        The path below that folder; as it was given, where the variable is not set or the file is elsewhere.
    """
    folder = environment.get(_WORKSPACES.get(system, ""), "")
    if folder:
        try:
            return file.resolve().relative_to(Path(folder).resolve()).as_posix()
        except (ValueError, OSError):
            pass
    return file.as_posix()


def remarks_of(certificate: Mapping[str, Any], *, file: str | None) -> list[Annotation]:
    """A remark for each check that is not certified, the gravest first, and for acceptances that are no longer right.

    Args:
        certificate: as :func:`conformance.report.certificate.build_certificate` made it.
        file: the contract's file (:func:`repository_path`); None: the built-in contract.
    """
    found = [
        Annotation(
            level=_LEVELS[check["verdict"]],
            title=f"{check['id']}: {check['verdict'].replace('_', ' ')}",
            text="\n".join(_told(check)),
            file=file,
            ways=tuple(f"{entry['kind']} ({entry['cause']})" for entry in check.get("tally", ())),
        )
        for check in certificate["checks"]
        if check["verdict"] in _LEVELS
    ]
    found += [
        Annotation(
            level="warning",
            title=f"{accepted_name(one)}: {one['state']} acceptance",
            text="It did not deviate."
            if one["state"] == "stale"
            else f"No longer accepted since {one['until']} is over.",
            file=file,
        )
        for one in certificate.get("acceptances", ())
        if one["state"] in ("stale", "expired")
    ]
    return sorted(found, key=lambda one: list(dict.fromkeys(_LEVELS.values())).index(one.level))


def _told(check: Mapping[str, Any]) -> list[str]:
    advice = dict.fromkeys(violation["advice"] for violation in check["violations"])
    return [
        check["summary"],
        *([f"Accepted: {check['accepted']}"] if check.get("accepted") else []),
        *(f"What to change: {one}" for one in advice),
        *([f"Replay: {check['replay']}"] if check["replay"] else []),
    ]


def annotate(system: System, remarks: Sequence[Annotation]) -> str:
    """The lines that make the system show the remarks; empty where there are none.

    GitLab has no such lines: there it is a collapsed section of the job's log, beside the code-quality report.
    """
    if not remarks:
        return ""
    match system:
        case "github":
            lines = [_github(one) for level in ("error", "warning", "notice") for one in _first(remarks, level)]
        case "azure":
            lines = [_azure(one) for one in remarks]
        case "teamcity":
            lines = [_teamcity(one) for one in remarks]
        case "gitlab":
            lines = _gitlab(remarks)
    return "".join(f"{line}\n" for line in lines)


def _first(remarks: Sequence[Annotation], level: str) -> list[Annotation]:
    found = [one for one in remarks if one.level == level]
    if len(found) <= _MOST:
        return found
    rest = found[_MOST - 1 :]
    named = ", ".join(one.title.partition(":")[0] for one in rest)
    more = Annotation(level=found[0].level, title=f"{len(rest)} more", text=named, file=found[0].file)
    return [*found[: _MOST - 1], more]


def _lines(text: str) -> list[str]:
    return [plain(line) for line in text.split("\n")]


def _github(one: Annotation) -> str:
    """``%``, CR and LF are escaped in the message; in a property ``:`` and ``,`` too."""
    message = "\n".join(_lines(one.text)).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    place = f"file={_github_property(one.file)}," if one.file else ""
    return f"::{one.level} {place}title={_github_property(one.title)}::{message}"


def _github_property(text: str) -> str:
    escaped = plain(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return escaped.replace(":", "%3A").replace(",", "%2C")


def _azure(one: Annotation) -> str:
    """Azure knows errors and warnings; ``%``, CR, LF, ``;`` and ``]`` are escaped."""
    kind = "error" if one.level == "error" else "warning"
    place = f"sourcepath={_azure_property(one.file)};" if one.file else ""
    text = " ".join(_lines(f"{one.title}\n{one.text}")).replace("%", "%AZP25")
    return f"##vso[task.logissue type={kind};{place}]{text}"


def _azure_property(text: str) -> str:
    return plain(text).replace("%", "%AZP25").replace(";", "%3B").replace("]", "%5D")


def _teamcity(one: Annotation) -> str:
    """``|`` escapes quotes, brackets, line breaks and itself."""
    status = {"error": "ERROR", "warning": "WARNING", "notice": "NORMAL"}[one.level]
    text = "\n".join(_lines(f"{one.title}\n{one.text}"))
    for char in "|'[]":
        text = text.replace(char, f"|{char}")
    text = text.replace("\n", "|n").replace("\r", "|r")
    return f"##teamcity[message text='{text}' status='{status}']"


def _gitlab(remarks: Sequence[Annotation]) -> list[str]:
    """A section needs a time, which is only for its length: 0 to 0."""
    told = [line for one in remarks for line in (f"{one.level}: {plain(one.title)}", *_indented(one.text))]
    return [
        f"\x1b[0Ksection_start:0:durable_ws[collapsed=true]\r\x1b[0Kdurable-ws: {len(remarks)} remarks",
        *told,
        "\x1b[0Ksection_end:0:durable_ws\r\x1b[0K",
    ]


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in _lines(text)]


def code_quality(remarks: Sequence[Annotation]) -> str:
    """GitLab's code-quality report; what has no file is pinned to the file that a contract would be.

    GitLab tells what is new by the fingerprints, and takes two entries of one fingerprint for one. So each kind and
    cause of a check has an entry of its own, whose fingerprint is made of what stays the same from run to run: the
    file, the check, its verdict, the kind and cause, and which of several such entries it is.
    """
    severities = {"error": "critical", "warning": "minor", "notice": "info"}
    met: Counter[tuple[str, str, str]] = Counter()
    entries = []
    for one in remarks:
        path = one.file or "contract.toml"
        for way in one.ways or ("",):
            met[path, one.title, way] += 1
            told = f"{one.title}{f', {way}' if len(one.ways) > 1 else ''}. {one.text.partition(chr(10))[0]}"
            marks = json.dumps([path, one.title, way, met[path, one.title, way]])
            entries.append(
                {
                    "description": plain(told),
                    "check_name": plain(one.title.partition(":")[0]),
                    "fingerprint": hashlib.sha256(marks.encode()).hexdigest(),
                    "severity": severities[one.level],
                    "location": {"path": path, "lines": {"begin": 1}},
                }
            )
    return json.dumps(entries, indent=2) + "\n"


def summary_markdown(certificate: Mapping[str, Any]) -> str:
    """The run as a page of GitHub's markdown: the verdict, the setup, what is not certified, the areas."""
    version = certificate["broker"].get("version") or "of unknown version"
    setup = f"RabbitMQ {version}, publisher {certificate['publisher']}, client {certificate['client']}"
    lines = [
        "## durable-ws",
        "",
        f"**{_cell(certificate['summary'])}**",
        "",
        f"{_cell(setup)}, seed {certificate['seed']}",
        "",
    ]
    others = [check for check in certificate["checks"] if check["verdict"] != "certified"]
    if others:
        lines += ["| check | verdict | what | what to change |", "| --- | --- | --- | --- |"]
        for check in others:
            advice = next((violation["advice"] for violation in check["violations"]), "")
            what = check["summary"] + (f" Accepted: {check['accepted']}" if check.get("accepted") else "")
            lines.append(
                f"| {_name(check['id'])} | {check['verdict'].replace('_', ' ')} | {_cell(what)} | {_cell(advice)} |"
            )
        lines.append("")
    areas: dict[str, list[str]] = {}
    for check in certificate["checks"]:
        areas.setdefault(check["id"].partition("/")[0], []).append(check["verdict"])
    lines += ["| area | certified | of |", "| --- | ---: | ---: |"]
    lines += [
        f"| {_cell(area)} | {verdicts.count('certified')} | {len(verdicts)} |" for area, verdicts in areas.items()
    ]
    return "\n".join(lines) + "\n"


def _name(check_id: str) -> str:
    """A check's id as code; one that could end the code, or the cell, as text."""
    return f"`{check_id}`" if _PLAIN_ID.fullmatch(check_id) else _cell(check_id)


_PLAIN_ID: Final = re.compile(r"[\w./:-]+")
_MARKS: Final = frozenset("\\`*_~<>|[]&#$!")
"""What GitHub's Markdown may read as markup inside a table's cell."""


def _cell(text: str) -> str:
    """Text in a table's cell, of which nothing is markup: character references stand for themselves alone.

    Source: https://github.github.com/gfm/#entity-and-numeric-character-references
    """
    return "".join(f"&#{ord(char)};" if char in _MARKS else char for char in plain(text.replace("\n", " ")))
