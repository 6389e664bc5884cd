"""The clients that can play a tab, by name; each is imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from conformance.world.tab.played import PlayedTab

__all__ = ["TAB_CLIENTS"]

_PLACES = {
    "websocket-client": ("conformance.world.tab.websocket", "WebSocketTab"),
    "stomp.py": ("conformance.world.tab.stompy", "StompPyTab"),
}


class _Clients(Mapping[str, type[PlayedTab]]):
    def __getitem__(self, name: str) -> type[PlayedTab]:
        module, cls = _PLACES[name]
        tab: type[PlayedTab] = getattr(import_module(module), cls)
        return tab

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


TAB_CLIENTS: Mapping[str, type[PlayedTab]] = _Clients()
"""Name of the client to the class of its tabs, made as ``cls(settings, recorder)``."""
