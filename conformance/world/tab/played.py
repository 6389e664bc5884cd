"""What all tabs that are played by a client in this process have in common."""

from __future__ import annotations

import itertools
import threading
import time
from typing import ClassVar

from conformance.errors import HarnessError, UsageError
from conformance.history.events import TabClosed, TabOpened
from conformance.history.recorder import Recorder
from conformance.stomp.errors import InvalidFrame
from conformance.stomp.frames import Frame
from conformance.world.tab.base import TabBehaviour, TabSettings
from conformance.world.tab.dial import ws_address
from conformance.world.tab.link import Link
from conformance.world.tab.page import OnHandled, Page

__all__ = ["PlayedTab"]

_LEAVE_S = 2.0  # for DISCONNECT and its receipt


class PlayedTab:
    """A tab as :class:`conformance.world.tab.base.Tab` has it; a subclass names the client.

    Args:
        settings: all that the tab needs to know.
        recorder: where its events go.
        on_handled: called with each :class:`~conformance.world.tab.message.TabMessage` when it is handled.

    Raises:
        UsageError: the URL is no WebSocket URL, or something can't be said in STOMP.
    """

    client: str
    link_class: ClassVar[type[Link]]

    def __init__(self, settings: TabSettings, recorder: Recorder, on_handled: OnHandled | None = None) -> None:
        _check(settings)
        self._settings = settings
        self._recorder = recorder
        self._on_handled = on_handled
        self._behaviour = settings.behaviour
        self._changed = threading.Condition()
        self._pages: tuple[Page, ...] = ()  # replaced, never changed
        self._page_numbers = itertools.count(1)
        self._session_numbers = itertools.count(1)
        self._opened = False
        self._closed = False

    @property
    def id(self) -> str:
        """The page's id."""
        return self._settings.tab

    @property
    def subscribed(self) -> bool:
        """Whether a session is subscribed now. Takes no lock, so that it may be asked while the recorder's is held."""
        return any(page.subscribed for page in self._pages)

    def wait_subscribed(self, timeout_s: float) -> bool:
        """Wait until a session is subscribed now; False after the timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: self.subscribed, timeout_s)

    def open(self) -> None:
        """Begin to connect; does nothing where a page is open. After ``leave`` the same page id comes back.

        Raises:
            HarnessError: the tab was closed for good.
        """
        with self._changed:
            if not self._pages:
                self._add_page()

    def duplicate(self) -> None:
        """Open a second page with the same id; raises as ``open``."""
        with self._changed:
            self._add_page()

    def behave(self, behaviour: TabBehaviour) -> None:
        """Change how every page treats messages from now on."""
        with self._changed:
            self._behaviour = behaviour
            for page in self._pages:
                page.behave(behaviour)

    def reload(self) -> None:
        """Reload every page of the tab; none is subscribed any more when this returns."""
        for page in self._pages:
            page.reload()

    def leave(self) -> None:
        """End every page with an orderly DISCONNECT where the link allows; all threads are gone when this returns."""
        pages = self._take_pages()
        deadline = time.monotonic() + _LEAVE_S
        for page in [page for page in pages if page.begin_leaving(_LEAVE_S)]:
            page.await_over(deadline - time.monotonic())
        for page in pages:
            page.stop("left")

    def close(self) -> None:
        """Close the tab for good: TabClosed, then every socket is closed; all threads are gone when this returns."""
        with self._changed:
            if self._opened and not self._closed:
                self._recorder.record(TabClosed, tab=self.id)
            self._closed = True
        for page in self._take_pages():
            page.stop("closed")

    def _take_pages(self) -> tuple[Page, ...]:
        with self._changed:
            pages, self._pages = self._pages, ()
            return pages

    def _add_page(self) -> None:
        if self._closed:
            raise HarnessError(f"the tab {self.id} was closed for good")
        if not self._opened:
            self._opened = True
            self._recorder.record(TabOpened, tab=self.id, client=self.client)
        page = Page(
            name=f"tab {self.id} page {next(self._page_numbers)}",
            settings=self._settings,
            behaviour=self._behaviour,
            recorder=self._recorder,
            make_link=self.link_class,
            next_session=lambda: next(self._session_numbers),
            changed=self._changed,
            on_handled=self._on_handled,
        )
        self._pages = (*self._pages, page)
        page.start()


def _check(settings: TabSettings) -> None:
    """Refuse what would fail at every attempt to connect."""
    ws_address(settings.url)
    credentials = (("login", settings.login), ("passcode", settings.passcode), ("host", settings.vhost))
    for field, command, headers in (
        ("tab.login", "CONNECT", credentials),
        ("tab.destination", "SUBSCRIBE", (("destination", settings.destination), ("id", settings.tab))),
        ("tab.headers", "SUBSCRIBE", tuple(settings.subscribe_headers.items())),
    ):
        try:
            Frame(command, headers).serialize()
        except InvalidFrame as exc:
            raise UsageError(field, str(exc), "Leave out what STOMP 1.2 can't say.") from exc
