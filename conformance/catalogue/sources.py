"""Where the catalogue's rules come from."""

from __future__ import annotations

__all__ = [
    "AMQP_MANDATORY",
    "AMQP_SHORT_STRINGS",
    "CONFIRMS",
    "CONSUMERS",
    "CONSUMER_ACKS",
    "DELIVERY_MODE",
    "EXCHANGES",
    "HEART_BEATS",
    "MAX_LENGTH",
    "MESSAGE_ORDER",
    "MESSAGE_PROPERTIES",
    "NACKS",
    "POLICIES",
    "PREFETCH",
    "PUBLISHER_RECOVERY",
    "QUEUE_DURABILITY",
    "QUEUE_TTL",
    "RECEIPTS",
    "STOMP_ACK",
    "STOMP_BODY",
    "STOMP_CONTENT_LENGTH",
    "STOMP_DESTINATIONS",
    "STOMP_ESCAPES",
]

CONFIRMS = "https://www.rabbitmq.com/docs/confirms#publisher-confirms"
CONSUMER_ACKS = "https://www.rabbitmq.com/docs/confirms#automatic-requeueing"
PREFETCH = "https://www.rabbitmq.com/docs/consumer-prefetch"
QUEUE_DURABILITY = "https://www.rabbitmq.com/docs/queues#durability"
QUEUE_TTL = "https://www.rabbitmq.com/docs/ttl#queue-ttl"
EXCHANGES = "https://www.rabbitmq.com/docs/exchanges"
STOMP_DESTINATIONS = "https://www.rabbitmq.com/docs/stomp#d.exchange"
STOMP_ACK = "https://stomp.github.io/stomp-specification-1.2.html#ACK"
RECEIPTS = "https://stomp.github.io/stomp-specification-1.2.html#RECEIPT"
HEART_BEATS = "https://stomp.github.io/stomp-specification-1.2.html#Heart-beating"
POLICIES = "https://www.rabbitmq.com/docs/policies"
AMQP_MANDATORY = "https://www.rabbitmq.com/docs/publishers#unroutable"
AMQP_SHORT_STRINGS = "https://www.rabbitmq.com/amqp-0-9-1-reference#domain.shortstr"
CONSUMERS = "https://www.rabbitmq.com/docs/consumers"
MAX_LENGTH = "https://www.rabbitmq.com/docs/maxlength"
MESSAGE_ORDER = "https://www.rabbitmq.com/docs/queues#message-ordering"
STOMP_BODY = "https://stomp.github.io/stomp-specification-1.2.html#Body"
STOMP_CONTENT_LENGTH = "https://stomp.github.io/stomp-specification-1.2.html#Header_content-length"
STOMP_ESCAPES = "https://stomp.github.io/stomp-specification-1.2.html#Value_Encoding"
DELIVERY_MODE = "https://www.rabbitmq.com/docs/queues#durability"
MESSAGE_PROPERTIES = "https://www.rabbitmq.com/docs/publishers#message-properties"
NACKS = "https://www.rabbitmq.com/docs/confirms#server-sent-nacks"
PUBLISHER_RECOVERY = "https://www.rabbitmq.com/docs/publishers#connection-recovery"
