"""The wire of the soak: `tests.faults.proxy` with a history, outages, doubled and held messages.

Chances are per call; botocore tries a call up to five times, so single faults show in the product only where
the first try took effect. What the product itself has to survive are the outages, which last.
"""

import contextlib
import http.client
import json
import random
import socket
import time
from collections import Counter
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from tests.faults.proxy import Answer, Call, Fault, FaultProxy, Rule, hung_up
from tests.soak.history import History

_THROTTLE = Fault.status(400, "ProvisionedThroughputExceededException")
# S3 speaks XML; the code is all that botocore reads.
_SLOW_DOWN = Fault.status(503, text="<Error><Code>SlowDown</Code><Message>by the fault proxy</Message></Error>")
_LOST = Fault.drop(after=True)
# What goes wrong all the time: operation, fault, chance per call.
EVERYDAY: tuple[tuple[str, Fault, float], ...] = (
    ("UpdateItem", _THROTTLE, 0.02), ("UpdateItem", Fault.status(500), 0.01), ("UpdateItem", _LOST, 0.02),
    ("PutItem", _THROTTLE, 0.02), ("PutItem", _LOST, 0.02), ("PutItem", Fault.drop(), 0.01),
    ("GetItem", Fault.status(500), 0.01), ("Query", _THROTTLE, 0.01),
    ("SendMessage", Fault.status(500), 0.02), ("SendMessage", _LOST, 0.03), ("SendMessage", Fault.drop(), 0.01),
    ("ReceiveMessage", Fault.status(503), 0.02), ("ReceiveMessage", _LOST, 0.02),
    ("DeleteMessage", Fault.status(500), 0.03), ("DeleteMessage", Fault.drop(), 0.03),
    ("DeleteMessageBatch", Fault.status(500), 0.03), ("DeleteMessageBatch", Fault.drop(), 0.03),
    ("ChangeMessageVisibility", Fault.status(503), 0.03), ("ChangeMessageVisibility", Fault.drop(), 0.02),
    ("POST /flow-output*", Fault.status(500), 0.01), ("POST /flow-output*", _LOST, 0.03),
    ("PUT /flow-output*", _SLOW_DOWN, 0.02), ("PUT /flow-output*", Fault.drop(), 0.01),
    ("GET /flow-input*", _SLOW_DOWN, 0.02), ("DELETE /flow-output*", Fault.drop(), 0.03),
    ("*", Fault.delay(0.7), 0.01),
)  # fmt: skip
# What may fail for seconds: what it is called, the operations, the faults it may show.
_TABLE = ("UpdateItem", "PutItem", "GetItem", "Query")
_QUEUE = (
    "SendMessage", "ReceiveMessage", "DeleteMessage", "DeleteMessageBatch", "ChangeMessageVisibility",
    "GetQueueAttributes",
)  # fmt: skip
_BUCKET = (
    "POST /flow-output",
    "PUT /flow-output",
    "GET /flow-input",
    "HEAD /flow-input",
    "HEAD /flow-output",
    "DELETE /flow-output",
)
OUTAGES: dict[str, tuple[tuple[str, ...], tuple[Fault, ...]]] = {
    "table": (_TABLE, (_THROTTLE, Fault.status(500), Fault.drop(), Fault.delay(1.5))),
    "answers of the table": (("UpdateItem", "PutItem"), (_LOST,)),
    "queue": (_QUEUE, (Fault.status(503), Fault.drop(), Fault.status(403, "ExpiredToken"))),
    "sending": (("SendMessage",), (Fault.status(500), _LOST)),
    "buckets": (_BUCKET, (_SLOW_DOWN, Fault.drop(), Fault.status(500, text=""))),
    "answers of the output bucket": (("POST /flow-output", "PUT /flow-output"), (_LOST,)),
}
# Headers that belong to one connection.
_CONNECTION = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"})
# Seconds of one slice of a long poll.
_SLICE = 0.4
# Chances per call. A message comes twice, comes late (seconds), or is handed to two workers at once.
_TWICE, _LATE, _LATE_SECONDS, _SHARED = 0.05, 0.05, (1, 6), 0.04


@dataclass(frozen=True)
class Outage:
    """One kind of call fails, until it is over (monotonic seconds)."""

    name: str
    fault: Fault
    until: float

    def hits(self, call: Call) -> bool:
        """Whether it is about this call."""
        return call.operation.startswith(OUTAGES[self.name][0]) and time.monotonic() < self.until


class SoakProxy(FaultProxy):
    """The proxy of one round. `injected` counts what it did, by kind."""

    def __init__(self, upstream: str, seed: int, history: History) -> None:
        super().__init__(upstream, seed)
        self._wild = random.Random(seed + 1)
        self.history = history
        self.injected: Counter[str] = Counter()
        self.calm = True
        self._outage: Outage | None = None

    def lead_to(self, upstream: str) -> None:
        """From now on, pass calls on to another AWS."""
        parts = urlsplit(upstream)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80

    def rage(self) -> None:
        """Begin with the everyday faults."""
        self.calm = False
        self.add(*(Rule(operation, fault, None, chance=chance) for operation, fault, chance in EVERYDAY))

    def rest(self) -> None:
        """From now on all calls pass."""
        self.calm, self._outage = True, None
        self.clear()

    def fail(self, name: str, dice: random.Random, seconds: float) -> None:
        """Begin an outage."""
        self._outage = Outage(name, dice.choice(OUTAGES[name][1]), time.monotonic() + seconds)
        self.injected[f"outage of the {name}"] += 1

    def judge(self, call: Call) -> Fault | None:
        """As the base; an outage comes first."""
        fault, outage = super().judge(call), self._outage
        if outage and outage.hits(call):
            fault = outage.fault
        if fault:
            self.injected[f"wire: {fault.kind.name.lower()}"] += 1
        return fault

    def _chance(self, chance: float) -> bool:
        return not self.calm and self._wild.random() < chance

    def forward(self, call: Call, caller: socket.socket) -> Answer | None:
        """As the base; a message may be sent twice or late. Half a request of a killed process goes nowhere."""
        if len(call.body) < int(call.headers.get("content-length") or 0):
            return None
        if call.operation == "SendMessage" and b"flow-tasks" in call.body:
            if self._chance(_LATE):
                call = self._late(call)
            if self._chance(_TWICE):
                self.injected["message doubled"] += 1
                self._ask(call)
        return super().forward(call, caller)

    def _late(self, call: Call) -> Call:
        self.injected["message held back"] += 1
        body = json.loads(call.body) | {"DelaySeconds": self._wild.randint(*_LATE_SECONDS)}
        return Call(call.method, call.path, call.headers, json.dumps(body).encode())

    def _receive(self, call: Call, caller: socket.socket) -> Answer | None:
        answer = self._poll(call, caller)
        if answer and b'"Messages"' in answer.body and self._chance(_SHARED):
            self.injected["message handed out twice"] += 1
            self._share(call, answer)
        return answer

    def _poll(self, call: Call, caller: socket.socket) -> Answer | None:
        """As the base, asking moto less often: ten times a second for eight pollers is half of what moto can do."""
        asked = json.loads(call.body)
        end = time.monotonic() + float(asked.get("WaitTimeSeconds") or 0)
        short = Call(call.method, call.path, call.headers, json.dumps(asked | {"WaitTimeSeconds": 0}).encode())
        while not self.stopping.is_set():
            answer = self._ask(short)
            if answer.code != 200 or b'"Messages"' in answer.body or time.monotonic() >= end:
                return answer
            if hung_up(caller, _SLICE):
                return None
        return None

    def _share(self, call: Call, answer: Answer) -> None:
        """Make what was just handed out visible again."""
        url = json.loads(call.body)["QueueUrl"]
        target = call.headers.get("x-amz-target", "AmazonSQS.").split(".")[0]
        for message in json.loads(answer.body)["Messages"]:
            body = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
            headers = call.headers | {
                "x-amz-target": f"{target}.ChangeMessageVisibility", "content-type": "application/x-amz-json-1.0",
            }  # fmt: skip
            self._ask(Call("POST", "/", headers, json.dumps(body).encode()))

    def _ask(self, call: Call) -> Answer:
        answer = self._head(call) if call.method == "HEAD" else super()._ask(call)
        if answer.code == 200:
            self._note(call)
        return answer

    def _head(self, call: Call) -> Answer:
        """The answer to a HEAD tells the length of a body that it does not have; the base would say 0."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=60.0)
        with contextlib.closing(connection):
            connection.request(call.method, call.path, headers={k: v for k, v in call.headers.items() if k != "host"})
            found = connection.getresponse()
            kept = [(k, v) for k, v in found.getheaders() if k.lower() not in _CONNECTION]
            # Never sent: only its length is.
            return Answer(found.status, kept, b" " * int(found.getheader("Content-Length") or 0))

    def _note(self, call: Call) -> None:
        """Keep what took effect. DynamoDB's come here one at a time."""
        if call.operation == "PutItem":
            self.history.put(_writer(call), json.loads(call.body)["Item"])
        elif call.operation == "UpdateItem":
            body = json.loads(call.body)
            self.history.update(_writer(call), body["Key"]["task_id"]["S"], body)
        elif call.method == "POST" and "uploadId=" in call.path:
            parts = urlsplit(call.path)
            self.history.completing(parts.path, parse_qs(parts.query)["uploadId"][0])


def _writer(call: Call) -> str:
    """The process that wrote, as AWS_SDK_UA_APP_ID named it to botocore."""
    return call.headers.get("user-agent", "").rpartition("app/")[2].split(" ")[0]
