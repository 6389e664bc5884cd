"""A shop that announces its orders: the order and its message are written in one transaction, or neither is.

    python shop.py sqlite:///shop.db tea coffee

A message that is published *in* a transaction may be out while the transaction is rolled back; one that is published
*after* it is lost when the process dies in between. So the message is a row, too, in the table ``outbox``, and
``relay.py`` publishes what it finds there.
"""

from __future__ import annotations

import json
import sys
import uuid

from sqlalchemy import Engine, String, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    """The tables."""


class Order(Base):
    """What the shop lives on."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str]


class Outbox(Base):
    """A message that is to be published; the row goes when the broker has confirmed it."""

    __tablename__ = "outbox"

    position: Mapped[int] = mapped_column(primary_key=True)  # in this order
    id: Mapped[str] = mapped_column(String(36), unique=True, default=lambda: str(uuid.uuid4()))  # the message id
    routing_key: Mapped[str]
    payload: Mapped[str]


def open_database(url: str) -> Engine:
    """The engine, with the tables made; SQLite waits for other writers instead of failing at once."""
    engine = create_engine(url, connect_args={"timeout": 60} if url.startswith("sqlite") else {})
    Base.metadata.create_all(engine)
    return engine


def place_order(session: Session, item: str) -> Order:
    """Add an order and its message to the session's transaction; the caller commits both or neither."""
    order = Order(item=item)
    session.add(order)
    session.flush()  # for its id
    session.add(Outbox(routing_key="orders.placed", payload=json.dumps({"order": order.id, "item": item})))
    return order


def main(database: str, *items: str) -> None:
    """Place an order for each item, each in a transaction of its own."""
    engine = open_database(database)
    for item in items:
        with Session(engine) as session, session.begin():
            place_order(session, item)
    engine.dispose()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.stderr.write("usage: python shop.py DATABASE_URL ITEM …\n")
        sys.exit(2)
    main(*sys.argv[1:])
