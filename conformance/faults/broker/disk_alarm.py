"""The broker has too little disk space, by its own limit."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.faults.base import register
from conformance.faults.broker.alarming import AlarmActing
from conformance.faults.broker.base import BrokerActing, BrokerFault

__all__ = ["DiskAlarm"]


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DiskAlarm(BrokerFault):
    """As the memory alarm: whoever publishes is blocked, whoever consumes is not.

    It comes long before the disk is full, and keeps it from that; see ``disk_full`` for what happens where it does not.
    """

    name = "disk_alarm"
    needs = frozenset({"admin", "ctl"})
    publishers_reach = False

    def acting(self) -> BrokerActing:
        """See :meth:`BrokerFault.acting`."""
        return _DiskAlarm()


class _DiskAlarm(AlarmActing):
    resource = "disk"
    words = ("set_disk_free_limit", "1000000000000000")  # bytes: more than any disk here
    read = "rabbit_disk_monitor:get_disk_free_limit"
    write = "rabbit_disk_monitor:set_disk_free_limit"
