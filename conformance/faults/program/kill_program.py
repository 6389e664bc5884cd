"""The publisher's program is killed in the middle of publishes, and started again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from conformance.faults.base import register
from conformance.faults.program.base import Program, ProgramActing, ProgramFault

__all__ = ["KillProgram"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class KillProgram(ProgramFault):
    """The program ends without a word (SIGKILL), as for want of memory; its supervisor starts it again at once.

    What it was told and had not answered has an unknown outcome: nobody asks for it again. Its connection is reset by
    the kernel, so the broker drops what it had not confirmed, or has it and could not say so.

    Attributes:
        after: it is killed as the n-th publish since the fault began was handed to it; where it had answered all by
            then, at the next one that it has not.
        times: how many runs of it are killed so, one after the other.
    """

    name = "kill_program"
    after: Annotated[int, Field(ge=1)] = 1
    times: Annotated[int, Field(ge=1, le=100)] = 1

    def acting(self) -> ProgramActing:
        """See :meth:`ProgramFault.acting`."""
        return _Kill(self)


class _Kill(ProgramActing):
    def __init__(self, fault: KillProgram) -> None:
        super().__init__()
        self._fault = fault
        self._handed = 0
        self._in_the_middle = 0

    @property
    def fired(self) -> bool:
        return self._in_the_middle >= self._fault.times

    def handed(self, program: Program) -> None:
        self._handed += 1
        if self.fired or self._handed < self._fault.after:
            return
        under_way = program.kill()
        self.counts["killed"] += 1
        self.counts["under_way"] += under_way
        if under_way:
            self._in_the_middle += 1
            self._handed = 0
