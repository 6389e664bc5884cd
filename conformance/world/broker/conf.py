"""A node's ``rabbitmq.conf``: the user's own, with what the run itself needs on top."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["container_settings", "merged_conf", "needed_settings"]

_RUNS_OWN = (
    "listeners.",
    "stomp.listeners.",
    "web_stomp.tcp.",
    "web_stomp.ssl.",
    "management.tcp.",
    "management.ssl.",
    "load_definitions",
)
"""Keys that belong to the run whatever the user's file says: addresses, and when definitions are imported."""
_TLS_IS_SPOKEN = ("web_stomp.ssl.versions.", "web_stomp.ssl.ciphers.", "web_stomp.ssl.honor_")


def needed_settings(*, amqp: int, stomp: int, web_stomp: int, management: int) -> dict[str, str]:
    """What each run needs: every listener on 127.0.0.1 and its port, fresh statistics, no waiting for disk space.

    Source: https://www.rabbitmq.com/docs/configure
    """
    return {
        "listeners.tcp.default": f"127.0.0.1:{amqp}",
        "stomp.listeners.tcp.1": f"127.0.0.1:{stomp}",
        "web_stomp.tcp.ip": "127.0.0.1",
        "web_stomp.tcp.port": str(web_stomp),
        "management.tcp.ip": "127.0.0.1",
        "management.tcp.port": str(management),
        "collect_statistics_interval": "500",
    }


def container_settings(*, amqp: int, web_stomp: int, management: int, guest: bool = True) -> dict[str, str]:
    """What a node in a container needs: listeners on every address of the container's own network (the host publishes
    them on its 127.0.0.1), ``guest`` let in from there where the suite logs in so, and its log on standard output.
    """
    return {
        "listeners.tcp.default": str(amqp),
        "web_stomp.tcp.ip": "0.0.0.0",  # noqa: S104 - of the container
        "web_stomp.tcp.port": str(web_stomp),
        "management.tcp.ip": "0.0.0.0",  # noqa: S104
        "management.tcp.port": str(management),
        **({"loopback_users": "none"} if guest else {}),
        "log.console": "true",
        "collect_statistics_interval": "500",
    }


def merged_conf(own: str, needed: Mapping[str, str], recommended: Mapping[str, str] | None = None) -> str:
    """The user's settings without those that belong to the run, then the run's.

    How TLS is spoken (``web_stomp.ssl.versions…``) is the user's where the run has a TLS listener.

    Args:
        own: the text of the user's ``rabbitmq.conf``; may be empty.
        needed: key to value.
        recommended: key to value, where the user's own says nothing.
    """
    tls = any(key.startswith("web_stomp.ssl.") for key in needed)

    def is_kept(key: str) -> bool:
        if key.startswith(_TLS_IS_SPOKEN):
            return tls
        return not key.startswith(_RUNS_OWN) and key not in needed

    kept = [line for line in own.splitlines() if is_kept(line.partition("=")[0].strip())]
    said = {line.partition("=")[0].strip() for line in kept}
    families = {key.rpartition(".versions.")[0] for key in said if ".versions." in key}
    besides = {
        key: value
        for key, value in (recommended or {}).items()
        if is_kept(key)
        and key not in said
        and not (".versions." in key and key.rpartition(".versions.")[0] in families)
    }
    return "\n".join([*kept, *(f"{key} = {value}" for key, value in {**besides, **needed}.items())]) + "\n"
