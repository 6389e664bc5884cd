"""Which binding takes which routing key: RabbitMQ's exchange types as pure functions.

Source: https://www.rabbitmq.com/docs/exchanges and https://www.rabbitmq.com/tutorials/tutorial-five-python#topic-exchange
(words are separated by dots, ``*`` stands for exactly one word, ``#`` for none or more).
"""

from __future__ import annotations

__all__ = ["binding_matches", "topic_matches"]


def binding_matches(exchange_type: str, binding_key: str, routing_key: str) -> bool:
    """Whether an exchange of this type passes a message with ``routing_key`` on to a queue bound with ``binding_key``.

    Raises:
        ValueError: ``exchange_type`` is not ``direct``, ``fanout`` or ``topic``.
    """
    match exchange_type:
        case "direct":
            return binding_key == routing_key
        case "fanout":
            return True
        case "topic":
            return topic_matches(binding_key, routing_key)
    raise ValueError(f"no rule for exchanges of type {exchange_type!r}")


def topic_matches(pattern: str, routing_key: str) -> bool:
    """Whether a topic exchange's binding ``pattern`` matches ``routing_key``.

    An empty key has no word at all, so ``#`` matches it and ``*`` does not; words may be empty (``a..b`` has three).
    Takes time in proportion to the product of the two lengths at most, whatever the pattern.
    """
    words = routing_key.split(".") if routing_key else []
    # reach[i]: the pattern read so far can match the first i words
    reach = [True] + [False] * len(words)
    for part in pattern.split(".") if pattern else []:
        if part == "#":
            for i in range(1, len(reach)):
                reach[i] = reach[i] or reach[i - 1]
        else:
            reach = [False] + [reached and part in ("*", word) for reached, word in zip(reach, words, strict=False)]
    return reach[-1]
