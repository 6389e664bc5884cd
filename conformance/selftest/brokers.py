"""The two brokers that worlds are made on: one with the recommended settings, one that holds nobody back."""

from __future__ import annotations

from dataclasses import replace

from conformance.contract.recommended import recommended_contract
from conformance.world.broker.hardened import GUEST, Hardened, hardened_for

__all__ = ["CARELESS_BROKER", "SOUND_BROKER"]

SOUND_BROKER = replace(hardened_for(recommended_contract("unused")), definitions=None, administrator=GUEST)
"""As recommended, but for the definitions, which each world has of its own; many worlds' tabs are guest."""

CARELESS_BROKER = Hardened(
    settings={
        "loopback_users": "none",
        "web_stomp.ws_opts.idle_timeout": "600000",
        "web_stomp.ssl.versions.1": "tlsv1.2",
        "web_stomp.ssl.versions.2": "tlsv1.1",
        # Newer Erlang offers none that TLS 1.1 has unless it is named.
        "web_stomp.ssl.ciphers.1": "ECDHE-ECDSA-AES256-GCM-SHA384",
        "web_stomp.ssl.ciphers.2": "ECDHE-ECDSA-AES256-SHA",
    },
    tls=True,
)
"""guest from anywhere, silence for ten minutes, frames of any size, TLS 1.1."""
