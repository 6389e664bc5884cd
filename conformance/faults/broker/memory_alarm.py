"""The broker has too little memory."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.faults.base import register
from conformance.faults.broker.alarming import AlarmActing
from conformance.faults.broker.base import BrokerActing, BrokerFault

__all__ = ["MemoryAlarm"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryAlarm(BrokerFault):
    """Whoever publishes is blocked (``connection.blocked``), whoever consumes is not.

    Of each connection the broker still takes what it had read when the first publish came, then reads nothing more of
    it: the publisher gets late confirms, or its own deadline. Tabs get and ack what waits for them.
    """

    name = "memory_alarm"
    needs = frozenset({"admin", "ctl"})
    publishers_reach = False

    def acting(self) -> BrokerActing:
        """See :meth:`BrokerFault.acting`."""
        return _MemoryAlarm()


class _MemoryAlarm(AlarmActing):
    resource = "memory"
    words = ("set_vm_memory_high_watermark", "absolute", "1")
    read = "vm_memory_monitor:get_vm_memory_high_watermark"
    write = "vm_memory_monitor:set_vm_memory_high_watermark"
