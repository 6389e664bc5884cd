"""The publisher's program stands still in the middle of publishes, and goes on."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from conformance.faults.base import register
from conformance.faults.program.base import Program, ProgramActing, ProgramFault

__all__ = ["StopProgram"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class StopProgram(ProgramFault):
    """The program does nothing for a while (SIGSTOP, SIGCONT), as on a machine that was suspended or swaps.

    What came for it meanwhile waits in its sockets and pipes: it finds all of it at once, with the clock moved on.

    Attributes:
        after: it is stopped as the n-th publish since the fault began was handed to it.
        at_least_s: it is not continued before, in seconds.
    """

    name = "stop_program"
    after: Annotated[int, Field(ge=1)] = 1
    at_least_s: Annotated[float, Field(ge=0, le=600)] = 0.0

    def acting(self) -> ProgramActing:
        """See :meth:`ProgramFault.acting`."""
        return _Stop(self)


class _Stop(ProgramActing):
    def __init__(self, fault: StopProgram) -> None:
        super().__init__()
        self._fault = fault
        self._handed = 0
        self._until = 0.0

    def handed(self, program: Program) -> None:
        self._handed += 1
        if self._handed == self._fault.after:
            program.stop()
            self._until = time.monotonic() + self._fault.at_least_s
            self.counts["stopped"] += 1

    def end(self, program: Program) -> None:
        if not self.fired:
            return
        try:
            program.hold(max(0.0, self._until - time.monotonic()))
        finally:
            program.resume()
