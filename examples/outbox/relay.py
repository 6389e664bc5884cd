"""The relay: publishes the rows of the outbox in their order, and deletes each after the broker's confirm.

    RABBITMQ_URL=amqp://guest:guest@localhost:5672/%2F python relay.py sqlite:///shop.db

It may die at any point. Before the confirm the row is still there, and after the confirm it is until it is deleted;
then the next relay publishes it again *under the same message id*, by which who receives it can tell. So each
committed row is published at least once, and none that was not committed ever is.

One message at a time keeps the order whatever happens; run one relay. Should two overlap, as one takes over from the
other, a message may be published by both, and none is lost. (A row is found by being there, not by a highest position
seen, so one of a transaction that commits late is not passed over; and it is deleted by its id, as SQLite gives the
position of a deleted row to another one.)
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

from shop import Outbox, open_database
from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from durable_ws import ConfigError, Exchange, Publisher, PublishError

logger = logging.getLogger("relay")

EXCHANGE = os.environ.get("OUTBOX_EXCHANGE", "shop")
POLL_S = 0.2
RETRY_S = 1.0
AT_ONCE = 100


def publish_waiting(engine: Engine, publisher: Publisher, stop: threading.Event) -> int:
    """Publish what waits, up to so many; how many were.

    Raises:
        PublishError: the one at hand could not be; it and all behind it stay.
    """
    with Session(engine) as session:
        waiting = session.scalars(select(Outbox).order_by(Outbox.position).limit(AT_ONCE)).all()
    done = 0
    for row in waiting:
        if stop.is_set():
            break
        body = row.payload.encode()
        publisher.publish(  # returns after the confirm
            body,
            routing_key=row.routing_key,
            message_id=row.id,
            content_type="application/json",
            require_route=True,  # a message that no queue took would be gone with its row; leave it out if that is fine
        )
        with engine.begin() as connection:
            connection.execute(delete(Outbox).where(Outbox.id == row.id))
        done += 1
    return done


def main(database: str, *, until_empty: bool = False) -> None:
    """Publish until SIGTERM or Ctrl-C, or until nothing waits."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    engine = open_database(database)
    with Publisher(exchanges={"pubsub": Exchange(EXCHANGE)}) as publisher:
        while not stop.is_set():
            try:
                done = publish_waiting(engine, publisher, stop)
            except ConfigError:
                raise  # also Refused: to try the same again would not help, someone must look
            except PublishError as exc:
                logger.warning("%s; trying again", exc)  # the broker is away, or did not answer, or no queue is bound
                stop.wait(RETRY_S)
                continue
            if not done:
                if until_empty:
                    break
                stop.wait(POLL_S)
    engine.dispose()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    words = [word for word in sys.argv[1:] if word != "--until-empty"]
    if len(words) != 1:
        sys.stderr.write("usage: python relay.py [--until-empty] DATABASE_URL\n")
        sys.exit(2)
    try:
        main(words[0], until_empty="--until-empty" in sys.argv)
    except ConfigError as exc:
        sys.stderr.write(f"relay: {exc}\n")
        sys.exit(2)
