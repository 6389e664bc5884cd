"""Celery: a task publishes to the tabs; one Publisher for each worker process.

Run it with ``RABBITMQ_URL=… celery --app celery_app worker --pool prefork``: made before the fork, the publisher
connects in each worker process by itself, with the first message there.
"""

import os

from celery import Celery
from celery.signals import worker_process_shutdown

from durable_ws import NotSent, Publisher

app = Celery("ticks", broker=os.environ["RABBITMQ_URL"])
app.conf.task_default_queue = os.environ.get("TASK_QUEUE", "ticks")
publisher = Publisher(timeout=10)


@app.task(autoretry_for=(NotSent,), max_retries=5, acks_late=True)
def tick(symbol: str, price: float) -> None:
    """Done once RabbitMQ has confirmed it. NotSent is safe to try again: the broker certainly does not have it."""
    publisher.publish({"symbol": symbol, "price": price}, routing_key=symbol)


@worker_process_shutdown.connect
def close(**_: object) -> None:
    """Wait for what is under way."""
    publisher.close()
