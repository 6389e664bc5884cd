"""``durable_ws.Publisher``."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future

from common import BODY, QUEUE, URL, WINDOW, WORK, callers, one_at_a_time, turns

from durable_ws import Exchange, Publisher, Receipt

with Publisher(URL, {"queue": Exchange("", "direct")}, window=WINDOW) as publisher:

    def publish() -> None:
        """Publish one and wait."""
        assert publisher.publish(BODY, "queue", QUEUE).routed  # noqa: S101

    if WORK == "a":
        one_at_a_time(publish)
    elif WORK == "c":
        callers(lambda: publish)
    else:
        for clock in turns():
            count = 0
            under_way: deque[Future[Receipt]] = deque()
            while clock.goes_on(count):
                under_way.append(publisher.submit(BODY, "queue", QUEUE))  # waits while the window is full
                while under_way and under_way[0].done():
                    under_way.popleft().result()
                    count += 1
            for future in under_way:
                future.result()
                count += 1
            clock.tell(count)
