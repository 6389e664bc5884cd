"""Tabs through TLS."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conformance.history.events import TabAcked, TabDisconnected, TabRefused, TabSubscribed

if TYPE_CHECKING:
    from tests.world.tab.conftest import FakeBroker, MakeTab, MemoryRecorder, Peer

PEM = Path(__file__).with_name("localhost.pem")


def over_tls(peer: Peer) -> None:
    """Do TLS, accept the tab and send a message."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    try:
        peer.socket = context.wrap_socket(peer.socket, server_side=True)
    except (ssl.SSLError, OSError) as exc:
        raise EOFError from exc
    peer.subscribe()
    peer.message(b"\xff\x00", ack="m1", message_id="m1")
    peer.until_gone()


def test_a_verified_broker(
    fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``wss://`` with a certificate that the system trusts works as ``ws://`` does, to the end of the session."""
    monkeypatch.setenv("SSL_CERT_FILE", str(PEM))
    fake.scripts = [over_tls]
    tab = make_tab(url=fake.url.replace("ws:", "wss:"))
    tab.open()
    recorder.wait(TabAcked)
    tab.reload()
    recorder.wait(TabSubscribed, 1, session=2)
    recorder.wait(TabAcked, 1, session=2)
    tab.leave()
    assert [event.reason for event in recorder.of(TabDisconnected)] == ["reload", "left"]
    assert fake.peers[1].frames[-1].command == "DISCONNECT"


def test_a_broker_that_is_not_trusted(fake: FakeBroker, make_tab: MakeTab, recorder: MemoryRecorder) -> None:
    """A certificate that nobody vouches for is refused, and the refusal says so."""
    fake.scripts = [over_tls]
    make_tab(url=fake.url.replace("ws:", "wss:")).open()
    assert "CERTIFICATE_VERIFY_FAILED" in recorder.wait(TabRefused)[0].detail
