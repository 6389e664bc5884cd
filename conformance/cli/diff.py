"""``durable-ws diff``: two certificates compared."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from conformance.errors import UsageError
from conformance.report.certificate_file import find_certificates, read_certificate
from conformance.report.comparison import compare
from conformance.report.comparison_text import comparison_json, print_comparison
from conformance.report.console import make_console

__all__ = ["diff"]


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="certificate.json, its folder, or a folder of several.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="certificate.json or its folder.")],
    noise: Annotated[
        list[Path] | None, typer.Option(metavar="CERTIFICATE", help="A repeated run of the old setup (repeatable).")
    ] = None,
    slower_fails: Annotated[
        bool, typer.Option("--slower-fails", help="What is slower beyond the noise is a regression too.")
    ] = False,
    less_covered_fails: Annotated[
        bool, typer.Option("--less-covered-fails", help="Fewer pairs met by what was drawn is a regression too.")
    ] = False,
    allow_unchecked: Annotated[
        bool, typer.Option("--allow-unchecked", help="What is no longer checked is no regression.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> int:
    """Say what got better, worse, slower or unchecked from one certificate to another.

    Exit status: 0 no regression, 1 a regression, 2 no certificate.
    """
    found = [path for given in [*(noise or ()), old] for path in find_certificates(given)]
    before = list({path.resolve(): path for path in found}.values())
    news = find_certificates(new)
    if len(news) > 1:
        raise UsageError("NEW", f"{str(new)!r} holds {len(news)} certificates", "Name one of them.")
    olds, now = [read_certificate(path) for path in before], read_certificate(news[0])
    if news[0].resolve() in {path.resolve() for path in before}:
        raise UsageError("NEW", f"{str(new)!r} is one of the old runs", "Name a run that is not among them.")
    comparison = compare(olds, now)
    regression = comparison.regression(unchecked=not allow_unchecked, slower=slower_fails, covered=less_covered_fails)
    if as_json:
        sys.stdout.write(comparison_json(comparison, regression=regression))
    else:
        print_comparison(comparison, make_console(), regression=regression)
    return 1 if regression else 0
