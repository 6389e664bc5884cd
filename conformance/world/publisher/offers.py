"""What a publisher offers beyond publishing and closing, as far as that can be seen without making one.

Only what is offered is asked of it: a publisher that takes no properties is not held to passing them on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

from conformance.contract.model import Offer

__all__ = ["DURABLE_WS_OFFERS", "names", "offers_of"]

DURABLE_WS_OFFERS: tuple[Offer, ...] = ("properties", "timeout", "failover")


def offers_of(factory: Callable[..., Any]) -> list[Offer]:
    """What the publishers that a factory makes offer, by the names of arguments.

    ``failover`` is an argument of the factory; ``properties`` and ``timeout`` are arguments of ``publish``, which can
    be seen where the factory is a class or is annotated with the class that it returns.
    """
    publish = getattr(_made_by(factory), "publish", None)
    return [offer for offer in get_args(Offer) if names(factory if offer == "failover" else publish, offer)]


def names(call: Any, argument: str) -> bool:
    """Whether it can be called with an argument of this name; one that takes just any (``**options``) does not tell."""
    try:
        parameter = inspect.signature(call).parameters.get(argument)
    except (TypeError, ValueError):  # it can't be called, or is one in C that does not tell
        return False
    return parameter is not None and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)


def _made_by(factory: Callable[..., Any]) -> Any:
    """The class of what the factory makes, if it can be seen."""
    if inspect.isclass(factory):
        return factory
    try:
        return get_type_hints(factory).get("return")
    except Exception:  # noqa: BLE001 - an annotation may name what can't be found, or be no annotation at all
        return None
