"""The consoles that reports are printed on: 80 columns where there is no terminal, no markup in what they print."""

from __future__ import annotations

import errno
import io
import os
import sys

from rich.console import Console

__all__ = ["forget_output", "make_console"]

_WIDTH = 80


class _Console(Console):
    """A console that leaves to the program what a reader that has gone means; Rich itself would end it with 1."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        if not self.stderr:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def forget_output() -> None:
    """What is still to be written to standard output goes nowhere: its reader has gone (``| head -1``)."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def make_console(*, stderr: bool = False, markup: bool = False) -> Console:
    """A console on standard output or standard error.

    Rich itself honours NO_COLOR, FORCE_COLOR and TERM. Without a terminal the width is 80 unless COLUMNS says
    otherwise (Rich would ask whichever of the three streams is one). What the stream's encoding can't say is printed
    as a question mark: a report never ends in an encoding error. Where the reader of standard output has gone, printing
    raises BrokenPipeError; where that of standard error has, nothing is said any more.
    """
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    width = None if stream.isatty() or os.environ.get("COLUMNS", "").isdigit() else _WIDTH
    return _Console(file=stream, stderr=stderr, width=width, markup=markup, emoji=False, highlight=False)
