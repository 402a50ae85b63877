"""A loopback proxy between the product and its AWS that answers wrongly on demand and counts every call.

    with FaultProxy(upstream) as proxy:
        proxy.add(Rule("ReceiveMessage", Fault.status(503), times=2))

An operation is named as AWS names it (`ReceiveMessage`, `UpdateItem`, `Publish`), for S3 as method and path
(`PUT /bucket/key`). The first rule that fits and has answers left decides; without one the call passes.

Two things are mended on the way, because moto lacks them: DynamoDB calls pass one at a time (its
conditional writes are not atomic between threads), and a long poll is passed on in slices, so that a caller
who hangs up does not leave a poll behind that takes a message.

No pytest here: soak runs and tools use it too.
"""

import contextlib
import http.client
import json
import random
import select
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

# Seconds of one slice of a long poll. moto's own wait is one second too coarse to be sliced finer by it.
_SLICE = 0.1
# Seconds an unanswered request is held at most, so that no thread outlives its test by much.
_HOLD = 120.0
# Seconds moto may take for one call.
_UPSTREAM_TIMEOUT = 60.0
# Headers that belong to one connection, not to the message.
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"})


class Kind(Enum):
    """What is done to a call."""

    ANSWER = auto()  # answered by the proxy, never passed on
    DROP = auto()  # the connection is closed without an answer
    DROP_AFTER = auto()  # passed on and carried out, then closed without an answer
    HANG = auto()  # neither passed on nor answered
    DELAY = auto()  # passed on after a while


@dataclass(frozen=True)
class Fault:
    """One way to go wrong."""

    kind: Kind
    code: int = 0
    body: bytes = b""
    seconds: float = 0.0

    @classmethod
    def status(cls, code: int, error: str = "", text: str | None = None) -> Self:
        """An answer with this HTTP status, in AWS's JSON with an error code, or with `text` as it is."""
        body = json.dumps({"__type": error or f"Error{code}", "message": "by the fault proxy"})
        return cls(Kind.ANSWER, code=code, body=(body if text is None else text).encode())

    @classmethod
    def drop(cls, *, after: bool = False) -> Self:
        """The connection breaks; `after`: only when the call has taken effect."""
        return cls(Kind.DROP_AFTER if after else Kind.DROP)

    @classmethod
    def hang(cls) -> Self:
        """No answer, until the caller gives up."""
        return cls(Kind.HANG)

    @classmethod
    def delay(cls, seconds: float) -> Self:
        """A late answer."""
        return cls(Kind.DELAY, seconds=seconds)


@dataclass
class Rule:
    """Which calls go wrong how, and how often.

    Args:
        operation: its name, or the beginning of one that ends with `*`.
        fault: what happens.
        times: how many calls; None: until the rule is removed.
        about: a text the body or path must hold, like a queue's name or a task id.
        chance: of each call, by the proxy's seeded dice.
        skip: how many calls that fit pass first.
    """

    operation: str
    fault: Fault
    times: int | None = 1
    about: str = ""
    chance: float = 1.0
    skip: int = 0
    used: int = field(default=0, init=False)

    @property
    def left(self) -> bool:
        """Whether it has answers left."""
        return self.times is None or self.used < self.times

    def fits(self, call: "Call") -> bool:
        """Whether it speaks of this call."""
        name = self.operation
        named = call.operation.startswith(name[:-1]) if name.endswith("*") else call.operation == name
        return named and self.about in call.text


@dataclass(frozen=True)
class Call:
    """One request on its way."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        """What AWS calls it."""
        target = self.headers.get("x-amz-target", "")
        if target:
            return target.rsplit(".", 1)[-1]
        if self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return parse_qs(self.body.decode(errors="replace")).get("Action", [""])[0]
        return f"{self.method} {urlsplit(self.path).path}"

    @property
    def text(self) -> str:
        """Everything a rule may ask about."""
        return f"{self.path} {self.body.decode(errors='replace')}"

    @property
    def is_dynamodb(self) -> bool:
        """Whether it goes to a table."""
        return self.headers.get("x-amz-target", "").startswith("DynamoDB")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    code: int
    headers: list[tuple[str, str]]
    body: bytes


class FaultProxy:
    """The proxy. Every method may be called from any thread."""

    def __init__(self, upstream: str, seed: int = 0) -> None:
        parts = urlsplit(upstream)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._dice = random.Random(seed)
        self._lock, self._dynamodb = threading.Lock(), threading.Lock()
        self._rules: list[Rule] = []
        self.calls: Counter[str] = Counter()
        self.stopping = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def endpoint(self) -> str:
        """Its address, in place of the upstream's."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, *rules: Rule) -> None:
        """Let calls go wrong from now on."""
        with self._lock:
            self._rules.extend(rules)

    def clear(self) -> None:
        """Let every call pass from now on."""
        with self._lock:
            self._rules.clear()

    def open_rules(self) -> list[Rule]:
        """The rules that have answers left."""
        with self._lock:
            return [rule for rule in self._rules if rule.left]

    def judge(self, call: Call) -> Fault | None:
        """Count a call, and say what happens to it; None: it passes."""
        with self._lock:
            self.calls[call.operation] += 1
            for rule in self._rules:
                if rule.left and rule.fits(call) and self._dice.random() < rule.chance:
                    rule.skip -= 1
                    if rule.skip < 0:
                        rule.used += 1
                        return rule.fault
        return None

    def forward(self, call: Call, caller: socket.socket) -> Answer | None:
        """Pass a call on; None when the caller hung up before there was an answer."""
        if call.operation == "ReceiveMessage":
            return self._receive(call, caller)
        if call.is_dynamodb:
            with self._dynamodb:
                return self._ask(call)
        return self._ask(call)

    def _receive(self, call: Call, caller: socket.socket) -> Answer | None:
        asked = json.loads(call.body)
        end = time.monotonic() + float(asked.get("WaitTimeSeconds") or 0)
        asked["WaitTimeSeconds"] = 0
        short = Call(call.method, call.path, call.headers, json.dumps(asked).encode())
        while not self.stopping.is_set():
            answer = self._ask(short)
            if answer.code != 200 or b'"Messages"' in answer.body or time.monotonic() >= end:
                return answer
            if hung_up(caller, _SLICE):
                return None
        return None

    def _ask(self, call: Call) -> Answer:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_UPSTREAM_TIMEOUT)
        try:
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            headers = {k: v for k, v in call.headers.items() if k not in _HOP}
            connection.request(call.method, call.path, call.body, headers)
            found = connection.getresponse()
            kept = [(k, v) for k, v in found.getheaders() if k.lower() not in _HOP]
            return Answer(found.status, kept, found.read())
        finally:
            connection.close()

    def start(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End; calls in a long poll or a hang end too."""
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


def hung_up(caller: socket.socket, seconds: float) -> bool:
    """Whether the other side closes within `seconds`."""
    readable, _, _ = select.select([caller], [], [], seconds)
    if not readable:
        return False
    try:
        return not caller.recv(1, socket.MSG_PEEK)
    except OSError:
        return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    proxy: FaultProxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hangs up is what we are for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Two writes an answer would cost 40 ms each with Nagle (measured: a third of the throughput).
    disable_nagle_algorithm = True
    server: _Server

    def _handle(self) -> None:
        call = Call(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, self._body())
        proxy, fault = self.server.proxy, self.server.proxy.judge(call)
        kind = fault.kind if fault else None
        if fault and kind is Kind.ANSWER:
            return self._answer(Answer(fault.code, [("Content-Type", "application/x-amz-json-1.0")], fault.body))
        if fault and kind is Kind.DELAY:
            proxy.stopping.wait(fault.seconds)
        if kind is Kind.HANG:
            self._hang()
        answer = None if kind in (Kind.DROP, Kind.HANG) else proxy.forward(call, self.connection)
        if answer is None or kind is Kind.DROP_AFTER:
            return self._drop()
        return self._answer(answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _handle

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(parts)

    def _hang(self) -> None:
        end = time.monotonic() + _HOLD
        while time.monotonic() < end and not self.server.proxy.stopping.is_set():
            if hung_up(self.connection, 0.1):
                return

    def _drop(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, answer: Answer) -> None:
        self.send_response_only(answer.code)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: every call would be a line."""
