"""HTTP: RabbitMQ's management API, one message at a time, published again under its id until a deadline.

The API publishes with the mandatory flag on a channel with confirms, and answers once the broker has: `routed` says
whether a queue took it. So an answer is as good as a confirm, if the message is persistent (`rabbitmqadmin publish` and
most examples leave `delivery_mode` out). Contract: `[publisher] via = "management"`.
"""

import http.client
import json
import os
import sys
import time
from base64 import b64encode
from urllib.parse import quote, unquote, urlsplit

DEADLINE_S = 20
PERSISTENT = 2
ANSWER_S = 10  # for one try


class Publisher:
    def __init__(self, url):
        self.url, self.connection = urlsplit(url), None
        login = f"{unquote(self.url.username)}:{unquote(self.url.password)}"
        self.headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"}

    def publish(self, request):
        """The outcome, and what there is to be said of it."""
        vhost, exchange = self.url.path.removeprefix("/"), quote(request["exchange"], safe="")
        message = {
            "routing_key": request["routing_key"],
            "payload": request["body"],
            "payload_encoding": "string",
            "properties": {"message_id": request["id"], "delivery_mode": PERSISTENT},
        }
        deadline, outcome = time.monotonic() + DEADLINE_S, "failed"
        while True:
            try:
                connection = self.open()
                outcome = "unknown"  # from the first byte on, until the broker has answered
                body = json.dumps(message).encode()
                connection.request("POST", f"/api/exchanges/{vhost}/{exchange}/publish", body, self.headers)
                answer = connection.getresponse()
                told = json.loads(answer.read())
                if answer.status == http.client.OK:
                    return ("confirmed", "") if told["routed"] else ("returned", "no queue is bound")
                if str(told.get("reason")).startswith("rejected"):
                    return "nacked", told["reason"]
                trouble = f"{answer.status}: {told}"
            except (http.client.HTTPException, OSError, ValueError) as exc:
                trouble = repr(exc)
            self.close()
            if time.monotonic() > deadline:
                return outcome, trouble
            time.sleep(0.05)

    def open(self):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=ANSWER_S)
            self.connection.connect()
        return self.connection

    def close(self):
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()


publisher = Publisher(os.environ["RABBITMQ_URL"])
for line in sys.stdin:
    request = json.loads(line)
    if request["op"] == "close":
        break
    outcome, detail = publisher.publish(request)
    print(json.dumps({"id": request["id"], "outcome": outcome, "detail": detail}), flush=True)
publisher.close()
