"""Every attempt by its name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from conformance.scenario.steps import AttemptKind
from conformance.world.attacker import doors, fill, noise, reach
from conformance.world.attacker.page import Page, Tried, Tries

__all__ = ["ATTEMPTS", "tries_of"]

ATTEMPTS: dict[AttemptKind, Callable[[Page], Tries]] = {
    "publish": reach.publish,
    "send-to-queue": reach.send_to_queue,
    "foreign-queue": reach.foreign_queue,
    "guessed-queue": reach.guessed_queue,
    "known-queue": reach.known_queue,
    "learn-names": reach.learn_names,
    "other-keys": reach.other_keys,
    "declare": reach.declare,
    "everlasting-queue": fill.everlasting_queue,
    "connections": fill.connections,
    "queues": fill.queues,
    "guest": doors.guest,
    "other-vhost": doors.other_vhost,
    "management": doors.management,
    "old-tls": doors.old_tls,
    "oversize": noise.oversize,
    "malformed": noise.malformed,
    "silence": noise.silence,
    "heart-beats": noise.heart_beats,
}
"""The function of each; it yields one :class:`Tried` after the other."""


def tries_of(what: AttemptKind, page: Page) -> Tries:
    """What the attempt tries; one ``unmade`` where it finds nothing to try."""
    with contextlib.closing(ATTEMPTS[what](page)) as tries:
        first = next(tries, None)
        yield first or Tried(what=f"make the attempt {what}", outcome="unmade", words="there was nothing to try")
        yield from tries
