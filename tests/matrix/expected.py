"""What the built-in recipes' cells must be on the versions of RabbitMQ that they were measured on."""

from __future__ import annotations

from conformance.matrix.cells import CellVerdict

__all__ = ["expected"]

_ALIKE: dict[str, tuple[CellVerdict, str]] = {
    "recommended": ("certified", "3/3, restart 3/3"),
    "auto-delete": ("violated", "0/3, auto-delete-queue"),
    "durable-false": ("violated", "3/3, restart 0/3, transient-queue"),
    "no-durable": ("violated", "3/3, restart 0/3, transient-queue"),
    "topic": ("certified", "3/3"),
    "quorum": ("certified", "3/3"),
    "ack-auto": ("violated", "2/3, ack-auto"),
    "ack-client": ("certified", "3/3"),
    "expires-100": ("violated", "0/3, queue-expires"),
    "message-ttl-100": ("violated", "0/3, message-ttl"),
    "max-length-1": ("violated", "1/3, max-length"),
    "classic-flapping": ("certified", "1/1, 40 cuts"),
}
_HELD: tuple[CellVerdict, str] = ("certified", "3/3")
_EXCLUSIVE: tuple[CellVerdict, str] = ("violated", "0/3, exclusive-queue")
_REFUSED: tuple[CellVerdict, str] = ("refused", "refused: ERROR precondition_failed")
_DROPPED: tuple[CellVerdict, str] = ("violated", "0/1, 21 cuts, delivery-limit")
_APART: dict[str, dict[str, tuple[CellVerdict, str]]] = {
    "3.10": {
        "gem": _HELD,
        "topic-no-durable": _HELD,
        "quorum-no-exclusive": _HELD,
        "quorum-priority": ("refused", "refused: closed without ERROR"),
        "quorum-flapping": ("certified", "1/1, 40 cuts"),
    },
    "4.0": {
        "gem": _EXCLUSIVE,
        "topic-no-durable": _HELD,
        "quorum-no-exclusive": _REFUSED,
        "quorum-priority": _REFUSED,
        "quorum-flapping": _DROPPED,
    },
    "4.3": {
        "gem": _EXCLUSIVE,
        "topic-no-durable": _EXCLUSIVE,
        "quorum-no-exclusive": _HELD,
        "quorum-priority": _REFUSED,
        "quorum-flapping": _DROPPED,
    },
}


def expected(version: str) -> dict[str, tuple[CellVerdict, str]] | None:
    """Verdict and text of each recipe's cell; None: nobody has measured that version by hand."""
    apart = _APART.get(".".join(version.split(".")[:2]))
    return None if apart is None else _ALIKE | apart
