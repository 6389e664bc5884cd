"""Other doors: guest, other vhosts, the management API, old versions of TLS."""

from __future__ import annotations

import re
import secrets
import socket
import ssl
import struct
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from conformance.errors import HarnessError, NotFound
from conformance.world.attacker.page import Outcome, Page, Tried, Tries, judged

__all__ = ["guest", "management", "old_tls", "other_vhost"]

_TIMEOUT_S = 10.0
_PAGES = ("whoami", "overview", "queues", "users", "definitions")
_OLD = {"TLS 1.0": 1, "TLS 1.1": 2}
_HANDSHAKE, _ALERT = 0x16, 0x15
_PROTOCOL_VERSION = 70
"""The alert that says so (RFC 8446, 6.2); any other may be about ciphers or the ClientHello itself."""


def guest(page: Page) -> Tries:
    """CONNECT as guest; where that works from this host, the node's own setting says whether it does from elsewhere."""
    what = "log in as guest from elsewhere"
    with page.silent_wire() as wire:
        tried = judged(what, wire.connect("guest", "guest", page.vhost))
    told = page.broker.ctl("eval", "application:get_env(rabbit, loopback_users).").strip()
    at_home_alone = "guest" in re.findall(r'<<"([^"]*)">>', told)
    if tried.outcome == "allowed":
        outcome: Outcome = "refused" if at_home_alone else "allowed"
        where = "the host itself alone" if at_home_alone else "anywhere"
        yield replace(tried, outcome=outcome, effect=f"let in from {where}: loopback_users {told}")
    elif tried.outcome == "refused" and not _there_is_a_guest(page):
        # A broker of the suite's own has none: what is certified with it may.
        if at_home_alone or not _opens_to_guest(_own_conf(page)):
            yield replace(tried, effect=f"the suite itself started this broker without guest; loopback_users {told}")
        else:
            effect = f"the suite itself took guest away, but your rabbitmq.conf lets it in: loopback_users {told}"
            yield replace(tried, outcome="allowed", effect=effect)
    else:
        yield tried


def _there_is_a_guest(page: Page) -> bool:
    try:
        page.broker.ask("GET", "/users/guest")
    except NotFound:
        return False
    return True


def _own_conf(page: Page) -> str:
    """The text of the user's own ``rabbitmq.conf``; empty: there is none."""
    path = Path(str(page.broker.describe()["settings"]["conf"] or ""))
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _opens_to_guest(conf: str) -> bool:
    """Whether the file itself takes guest off ``loopback_users``."""
    return re.search(r"^\s*loopback_users(\s*=\s*none|\.guest\s*=\s*false)\s*(#.*)?$", conf, re.MULTILINE) is not None


def other_vhost(page: Page) -> Tries:
    """CONNECT to every other vhost that there is, and to one that was just made."""
    tab, made = page.naming.contract.tab, f"durable-ws-{page.naming.namespace}"
    page.broker.ask("PUT", f"/vhosts/{made}")
    try:
        for vhost in (told["name"] for told in page.broker.ask("GET", "/vhosts")):
            if vhost == page.vhost:
                continue
            if vhost.startswith("durable-ws-n") and vhost != made:
                continue  # another play's, which may go at any moment
            with page.silent_wire() as wire:
                reply = wire.connect(tab.login, tab.passcode, vhost)
            yield judged(f"enter the vhost {vhost}", reply)
    finally:
        page.broker.ask("DELETE", f"/vhosts/{made}")


def management(page: Page) -> Tries:
    """Ask the management API with the tab's credentials."""
    parts = urlsplit(page.broker.addresses.management or "")
    netloc = parts.netloc.rpartition("@")[2]
    if not netloc:
        raise HarnessError("this broker has no management API in reach")
    tab = page.naming.contract.tab
    with httpx.Client(auth=httpx.BasicAuth(tab.login, tab.passcode), timeout=_TIMEOUT_S, trust_env=False) as client:
        for name in _PAGES:
            try:
                answer = client.get(f"{parts.scheme}://{netloc}/api/{name}")
            except httpx.HTTPError as exc:
                yield Tried(what=f"read /api/{name}", outcome="unmade", words=str(exc) or type(exc).__name__)
                continue
            refused = answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
            yield Tried(
                what=f"read /api/{name} of the management API",
                outcome="allowed" if answer.is_success else "refused" if refused else "unmade",
                words=f"{answer.status_code} {answer.text[:100]}".strip(),
            )


def old_tls(page: Page) -> Tries:
    """Offer only an old version of TLS; a ServerHello takes it, an alert refuses it (RFC 8446, 4.1 and 6)."""
    address = urlsplit(page.broker.addresses.secure_web_stomp or "")
    if address.hostname is None or address.port is None:
        raise HarnessError("this broker has no wss:// address in reach")
    where = (address.hostname, address.port)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(where, _TIMEOUT_S) as plain, context.wrap_socket(plain) as secure:
            spoken = secure.version()
    except OSError as exc:
        raise HarnessError(f"not even today's TLS is spoken at {where[0]}:{where[1]}: {exc}") from exc
    for name, minor in _OLD.items():
        what = f"speak {name} to the wss:// listener"
        try:
            with socket.create_connection(where, _TIMEOUT_S) as plain:
                plain.sendall(_client_hello(minor))
                answer = _first_bytes(plain, 7)
        except ConnectionError as exc:
            yield Tried(what=what, outcome="refused", words=str(exc), effect=f"{spoken} is spoken")
            continue
        except OSError as exc:
            yield Tried(what=what, outcome="unmade", words=str(exc) or type(exc).__name__)
            continue
        yield _of_tls(what, answer, spoken)


def _of_tls(what: str, answer: bytes, spoken: str | None) -> Tried:
    """What the first seven bytes of an answer come to: a record's header (RFC 8446, 5.1), and what it begins with."""
    effect = f"{spoken} is spoken"
    if answer[:1] == bytes([_HANDSHAKE]):
        return Tried(what=what, outcome="allowed", words="ServerHello")
    if not answer:
        return Tried(what=what, outcome="refused", words="closed", effect=effect)
    if len(answer) == 7 and answer[0] == _ALERT:
        outcome: Outcome = "refused" if answer[6] == _PROTOCOL_VERSION else "unmade"
        return Tried(what=what, outcome=outcome, words=f"alert {answer[6]}", effect=effect)
    return Tried(what=what, outcome="unmade", words=f"the bytes {answer.hex()}", effect=effect)


def _first_bytes(plain: socket.socket, count: int) -> bytes:
    """So many, or those that came before the end."""
    answer = b""
    while len(answer) < count and (more := plain.recv(count - len(answer))):
        answer += more
    return answer


def _client_hello(minor: int) -> bytes:
    """A ClientHello of TLS 1.0 or 1.1 (RFC 4346, 7.4.1.2): local libraries refuse to say it.

    ECDHE and RSA with AES-CBC and SHA-1, and the curves P-256, P-384 and P-521 (RFC 8422, 5.1).
    """
    suites = struct.pack("!6H", 0xC009, 0xC00A, 0xC013, 0xC014, 0x002F, 0x0035)
    groups = struct.pack("!HH3H", 8, 6, 23, 24, 25)
    points = b"\x00\x02\x01\x00"
    extensions = struct.pack("!H", 10) + groups + struct.pack("!H", 11) + points
    body = bytes([3, minor]) + secrets.token_bytes(32) + b"\x00"
    body += struct.pack("!H", len(suites)) + suites + b"\x01\x00" + struct.pack("!H", len(extensions)) + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return bytes([_HANDSHAKE, 3, 1]) + struct.pack("!H", len(message)) + message
