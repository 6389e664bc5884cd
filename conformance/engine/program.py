"""The publisher's program as a fault meets it, and the fault that is on at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from conformance.errors import HarnessError
from conformance.faults.program.base import ProgramActing, ProgramFault
from conformance.history.events import FaultBegan, FaultEnded, FaultFired
from conformance.history.recorder import Recorder
from conformance.world.publisher.base import PublisherUnderTest
from conformance.world.publisher.command import CommandPublisher

__all__ = ["ProgramAtFault"]

_TARGET = "program"
_LOOK_S = 0.25


class ProgramAtFault:
    """The fault that is on at the publisher's program in one play.

    Args:
        publisher: the publisher under test, made if it was not yet.
        recorder: takes the events.
        hold: lets so many seconds pass, unless the run is stopped.
    """

    def __init__(
        self, publisher: Callable[[], PublisherUnderTest], recorder: Recorder, hold: Callable[[float], object]
    ) -> None:
        self._publisher = publisher
        self._record = recorder.record
        self._hold = hold
        self._lock = threading.Lock()  # held while the fault acts
        self._fired = threading.Event()
        self._trouble: HarnessError | None = None
        self._program: CommandPublisher | None = None
        self._fault: ProgramFault | None = None
        self._acting: ProgramActing | None = None
        self._fault_id = -1

    def begin(self, fault: ProgramFault, fault_id: int, parameters: Mapping[str, Any]) -> None:
        """Switch a fault on.

        Raises:
            HarnessError: the publisher under test is no program of its own.
        """
        program = self._publisher()
        if not isinstance(program, CommandPublisher):
            raise HarnessError("the publisher under test is no program of its own, which could be killed or stopped")
        self._record(FaultBegan, fault_id=fault_id, fault=fault.name, target=_TARGET, parameters=dict(parameters))
        self._program, self._fault, self._acting, self._fault_id = program, fault, fault.acting(), fault_id
        self._fired.clear()
        program.on_handed(self._handed)

    def wait_fired(self, timeout_s: float) -> bool:
        """Wait until it was seen to happen; True where none is on.

        False once it has done nothing for so long (each run of the program is given that time to start), or the program
        has ended by itself.
        """
        program, acting = self._program, self._acting
        if program is None or acting is None:
            return True
        done, since = 0, time.monotonic()
        while not self._fired.wait(_LOOK_S):
            if acting.counts.total() > done:
                done, since = acting.counts.total(), time.monotonic()
            if program.over or time.monotonic() - since >= timeout_s:
                return self._fired.is_set()
        return True

    def end(self) -> None:
        """Heal. Nothing where no fault is on.

        Raises:
            HarnessError: it could not be done, or not be healed.
        """
        if self._program is None or self._fault is None or self._acting is None:
            return
        self._program.on_handed(None)
        with self._lock:
            program, fault, acting = self._program, self._fault, self._acting
            self._program = self._fault = self._acting = None
            try:
                acting.end(_Reached(program, self._hold))
            finally:
                self._record(
                    FaultEnded,
                    fault_id=self._fault_id,
                    fault=fault.name,
                    target=_TARGET,
                    fired=acting.fired,
                    counts=dict(acting.counts),
                )
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            raise trouble

    def _handed(self) -> None:
        """In the publisher's thread: a publish was handed to the program."""
        with self._lock:
            program, fault, acting = self._program, self._fault, self._acting
            if program is None or fault is None or acting is None or acting.fired:
                return
            try:
                acting.handed(_Reached(program, self._hold))
            except HarnessError as exc:
                self._trouble = exc
            if acting.fired:
                self._record(FaultFired, fault_id=self._fault_id, fault=fault.name, target=_TARGET)
                self._fired.set()


class _Reached:
    """Implements :class:`conformance.faults.program.base.Program`."""

    def __init__(self, program: CommandPublisher, hold: Callable[[float], object]) -> None:
        self.kill = program.kill
        self.stop = program.stop
        self.resume = program.resume
        self._hold = hold

    def hold(self, seconds: float) -> None:
        """See :meth:`Program.hold`."""
        self._hold(seconds)
