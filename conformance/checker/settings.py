"""The settings of the tabs' queues and connections: what was asked for, and what the broker made of it."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.checker.asked import OF_THE_CONSUMER
from conformance.checker.effective import Effective, effective
from conformance.checker.state import State, Tab
from conformance.checker.verdict import Setting
from conformance.contract.model import Contract
from conformance.history.events import QueueObserved

__all__ = ["settings"]

_PROPERTIES = ("durable", "exclusive", "auto-delete")


def settings(state: State, contract: Contract) -> tuple[Setting, ...]:
    """Every setting of every tab whose queue the broker told of, each different one once, in the tabs' order."""
    return tuple(
        dict.fromkeys(
            setting
            for tab in state.tabs.values()
            if tab.observed is not None
            for setting in _of_tab(tab, tab.observed, contract)
        )
    )


def _of_tab(tab: Tab, queue: QueueObserved, contract: Contract) -> Iterator[Setting]:
    for name in _PROPERTIES:
        real = getattr(queue, name.replace("-", "_"))
        yield _setting(name, tab.headers.get(name), None if real is None else str(real).lower(), "queue")
    yield _setting("x-queue-type", tab.headers.get("x-queue-type"), queue.queue_type, "queue")
    arguments = {name for name in (*tab.headers, *(queue.arguments or {})) if name.startswith("x-")} - OF_THE_CONSUMER
    keys = {name.removeprefix("x-") for name in arguments} | set(queue.effective_policy or {})
    if queue.default_delivery_limit is not None:
        keys.add("delivery-limit")
    for key in sorted(keys):
        yield _argument(f"x-{key}", tab.headers.get(f"x-{key}"), effective(queue, key), queue)
    for name in ("ack", "prefetch-count"):
        if name in tab.headers:
            yield _setting(name, tab.headers[name], None, "")
    asked_ms = round(contract.tab.heart_beat * 1000)
    for beats in dict.fromkeys(tab.heart_beats.values()):
        yield _setting("heart-beat", f"{asked_ms},{asked_ms}", f"{beats[0]},{beats[1]}", "CONNECTED")


def _argument(name: str, asked: str | None, holds: Effective | None, queue: QueueObserved) -> Setting:
    if holds is not None:
        return _setting(name, asked, str(holds.value), holds.source)
    return _setting(name, asked, None if queue.arguments is None else "none", "queue")


def _setting(name: str, asked: str | None, real: str | None, source: str) -> Setting:
    agrees = None if asked is None or real is None else asked.lower() == real.lower()
    return Setting(name=name, asked=asked, real=real, source=source if real is not None else "", agrees=agrees)
