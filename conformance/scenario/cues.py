"""What each fault waits for, so that a drawn scenario gives it that and it is seen to happen.

A fault that never fires makes a run inconclusive. So a fault that is set off by traffic is followed at once by
messages that set it off, one that is set off by connecting by a reload, and each is awaited.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from hypothesis import strategies as st

from conformance.contract.model import Contract, Survivable

__all__ = ["CUES", "Cue", "cues_for"]

Parameters = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """How a fault is staged.

    Attributes:
        fault: its name.
        on: the links it suits.
        waits_for: ``nothing`` (it happens as it begins, given a connection), ``traffic`` or ``connecting``.
        parameters: draws them, the plainest first; kept small, so that a play stays short.
        asks: what must be promised for it to be fair; None: nothing, the link is only slow.
        acks: whether it waits for the tab's ACK frames.
        holds: whether the link carries nothing more until it is healed, whatever the parameters.
        counts: the parameter that says how many messages set it off; None: one is enough.
    """

    fault: str
    on: frozenset[Literal["tab", "publisher"]]
    waits_for: Literal["nothing", "traffic", "connecting"]
    parameters: st.SearchStrategy[Parameters]
    asks: Survivable | None = "cut"
    acks: bool = False
    holds: bool = False
    counts: str | None = None

    def cuts_off(self, parameters: Parameters) -> bool:
        """Whether the link carries nothing more until it is healed."""
        return self.holds or bool(parameters.get("down"))

    def messages(self, parameters: Parameters) -> int:
        """How many messages set it off at the latest.

        They are counted for each connection, and a publisher may spread them over one for each of its callers.
        """
        n = int(parameters[self.counts]) if self.counts else 1
        return n if "tab" in self.on else (n - 1) * _CALLERS + 1


_TAB: frozenset[Literal["tab", "publisher"]] = frozenset({"tab"})
_PUBLISHER: frozenset[Literal["tab", "publisher"]] = frozenset({"publisher"})
_BOTH = _TAB | _PUBLISHER


def _with(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Parameters]:
    return st.fixed_dictionaries(fields)


def _cut(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Parameters]:
    """Parameters of a fault that cuts: whether by a reset, and whether nothing gets through until it is healed."""
    return _with(**fields, reset=st.just(True) | st.just(False), down=st.booleans())


_CALLERS = 8  # threads that publish at once
_FEW = st.integers(1, 5)
_VERY_FEW = st.integers(1, 3)

CUES: tuple[Cue, ...] = (
    Cue(fault="rst", on=_BOTH, waits_for="nothing", parameters=_with(down=st.booleans())),
    Cue(fault="fin", on=_BOTH, waits_for="nothing", parameters=_with(down=st.booleans())),
    Cue(fault="cut_after_delivery", on=_TAB, waits_for="traffic", parameters=_cut(n=_FEW), counts="n"),
    Cue(fault="cut_after_ack", on=_TAB, waits_for="traffic", parameters=_cut(n=_FEW), counts="n", acks=True),
    Cue(fault="cut_before_ack", on=_TAB, waits_for="traffic", parameters=_cut(n=_FEW), counts="n", acks=True),
    Cue(fault="cut_mid_frame", on=_BOTH, waits_for="traffic", parameters=_cut(after_bytes=st.integers(1, 60))),
    Cue(fault="cut_before_publish", on=_PUBLISHER, waits_for="traffic", parameters=_cut(n=_VERY_FEW), counts="n"),
    Cue(fault="cut_before_confirm", on=_PUBLISHER, waits_for="traffic", parameters=_cut(n=_VERY_FEW), counts="n"),
    Cue(fault="cut_before_receipt", on=_TAB, waits_for="connecting", parameters=_cut()),
    Cue(
        fault="cut_in_handshake",
        on=_TAB,
        waits_for="connecting",
        parameters=_cut(where=st.sampled_from(["http", "connect"])),
    ),
    Cue(fault="refuse", on=_TAB, waits_for="connecting", parameters=_with(), holds=True),
    Cue(fault="stall", on=_BOTH, waits_for="traffic", parameters=_with(), holds=True),
    Cue(
        fault="flap",
        on=_TAB,
        waits_for="traffic",
        parameters=_with(times=st.integers(1, 4)),
        asks="flapping",
    ),
    Cue(
        fault="blackhole",
        on=_TAB,
        waits_for="connecting",  # the page comes back on a new connection and leaves a ghost behind
        parameters=_with(direction=st.sampled_from(["both", "client_to_broker", "broker_to_client"])),
        asks="ghost",
    ),
    Cue(fault="latency", on=_BOTH, waits_for="traffic", parameters=_with(delay_ms=st.integers(1, 20)), asks=None),
    Cue(fault="jitter", on=_BOTH, waits_for="traffic", parameters=_with(most_ms=st.integers(1, 20)), asks=None),
    Cue(
        fault="bandwidth",
        on=_BOTH,
        waits_for="traffic",
        parameters=_with(bytes_per_s=st.sampled_from([100_000, 50_000])),
        asks=None,
    ),
    Cue(fault="slicer", on=_BOTH, waits_for="traffic", parameters=_with(size_bytes=st.integers(1, 7)), asks=None),
)
"""Every fault that scenarios are drawn with, the plainest first."""

_SHORT_HEART_BEAT_S = 2.0


def cues_for(contract: Contract) -> list[Cue]:
    """The faults that are fair under the contract and can happen at all, in the order of :data:`CUES`.

    A ghost holds messages until the broker misses some three heart-beats (https://www.rabbitmq.com/docs/heartbeats):
    it is drawn only where that is soon; named cases show it elsewhere.
    """
    promised = contract.promise.survives
    return [
        cue
        for cue in CUES
        if (cue.asks is None or cue.asks in promised)
        and not (cue.waits_for == "connecting" and "reload" not in promised)
        and not (cue.acks and contract.tab.ack == "auto")
        and not (cue.asks == "ghost" and not 0 < contract.tab.heart_beat <= _SHORT_HEART_BEAT_S)
    ]
