"""Delivers callbacks: the callback queue -> signed POSTs to the operator's targets. Runs with the bridge.

What is told and when it is tried again is decided in `transcode.callback`; here it is sent. The queue keeps what waits
for its next try, so that a restart forgets nothing and any number of couriers may run.
"""

import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from transcode import callback, logs
from transcode.aws.sqs import Received
from transcode.callback import Delivery, Drop, Tell, Wait
from transcode.clock import Clock
from transcode.errors import TranscodeError
from transcode.ports import Callback, TaskStore
from transcode.targets import Target
from transcode.task import ASIDE

log = logs.get(__name__)

# Requests at once: a batch of messages has ten, and receivers are slower than we are.
_AT_ONCE = 10
# Seconds to connect or for a piece of an answer, and for all of it: less than the queue's visibility timeout.
_PIECE, _IN_ALL = 5.0, 15.0
# Seconds for which a target that did not answer, or slowly, is left alone: it must not hold up others. Doubled each
# time, up to the second number.
_REST, _LONGEST_REST = 30.0, 600.0
# Seconds beyond which an answer is slow.
_SLOW = 5.0
# Seconds by which a message of a target that rests is held longer with each look: SQS counts looks, up to 1,000.
_PATIENCE, _LONGEST_PATIENCE = 10.0, 3600.0
# Seconds: SQS holds a message for 12 hours at most.
_LONGEST_HOLD = 11 * 3600.0


class Letters(Protocol):
    """The callback queue, as it is read."""

    def receive(self, wait: int) -> list[Received]:
        """Wait up to `wait` seconds for messages."""

    def delete(self, message: Received) -> None:
        """Done with it."""

    def extend(self, message: Received, seconds: float) -> object:
        """Bring it again after `seconds`."""


Send = Callable[[Target, bytes, Mapping[str, str]], tuple[int, str]]


@dataclass(frozen=True)
class Courier:
    """One reader of the queue. `send` posts a body with headers to a target: status (0: none) and what went wrong."""

    store: TaskStore
    queue: Letters
    targets: Mapping[str, Target]
    clock: Clock
    send: Send

    def deal(self, messages: Sequence[Received], rest: "Rest") -> None:
        """Deal with a batch, its messages at the same time; what fails here comes again."""
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="courier") as pool:
            list(pool.map(lambda message: self._one(message, rest), messages))

    def _one(self, message: Received, rest: "Rest") -> None:
        try:
            self._deal(message, callback.read(message.body), rest)
        except ValueError as exc:
            log.error("Unreadable callback left for the dead-letter queue", message_id=message.id, error=str(exc))
        except TranscodeError as exc:
            log.warning("Callback not dealt with, comes again", message_id=message.id, error=str(exc))
        except Exception:
            # It must not take the others of its batch along.
            log.exception("Unforeseen error with a callback")

    def _deal(self, message: Received, asked: Callback, rest: "Rest") -> None:
        found, left = callback.judge(self.store, asked, self.clock()), rest.left(asked.target)
        if isinstance(found, Wait):
            self.queue.extend(message, min(_LONGEST_HOLD, found.seconds))
        elif isinstance(found, Drop):
            log.info("Callback dropped", task_id=asked.task_id, why=found.why)
            self.queue.delete(message)
        elif left and not callback.overdue(found, self.clock()):
            # A second more: SQS counts whole ones.
            self.queue.extend(message, max(left + 1.0, min(_LONGEST_PATIENCE, _PATIENCE * message.receive_count)))
        else:
            self._settle(message, asked, *self._tell(found, asked.target, rest))

    def _tell(self, tell: Tell, name: str, rest: "Rest") -> tuple[Delivery, float]:
        target = self.targets.get(name)
        if target is None:
            return callback.after(tell, 0, f"CALLBACK_TARGETS names no {name!r} (any more).", self.clock())
        content = callback.body(tell.task)
        began = time.monotonic()
        status, error = self.send(target, content, callback.headers(target, tell.task, content, self.clock()))
        rest.note(name, well=bool(status) and time.monotonic() - began < _SLOW)
        return callback.after(tell, status, error, self.clock())

    def _settle(self, message: Received, asked: Callback, delivery: Delivery, pause: float) -> None:
        # Written first: a copy of the message then finds what was done.
        self.store.merge_aside(asked.task_id, ASIDE.CALLBACK, delivery.model_dump(mode="json"))
        told = {"task_id": asked.task_id, "target": asked.target, "status": delivery.status, "error": delivery.error}
        if pause:
            log.warning("Callback not delivered, is tried again", seconds=round(pause), **told)
            self.queue.extend(message, pause)
        else:
            log.info("Callback ended", state=delivery.state, attempts=delivery.attempts, **told)
            self.queue.delete(message)


class Rest:
    """Which targets are left alone for a while, the longer the longer they are away."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._lock = now, threading.Lock()
        # Until when, and how long.
        self._rests: dict[str, tuple[float, float]] = {}

    def note(self, target: str, *, well: bool) -> None:
        """It has answered as it should, or not. Those that fail together count as one."""
        with self._lock:
            until, length = self._rests.get(target, (0.0, 0.0))
            if well:
                self._rests.pop(target, None)
            elif self._now() >= until:
                length = min(_LONGEST_REST, max(_REST, 2 * length))
                self._rests[target] = (self._now() + length, length)

    def left(self, target: str) -> float:
        """Seconds for which it is left alone still; 0 when it is not."""
        with self._lock:
            return max(0.0, self._rests.get(target, (0.0, 0.0))[0] - self._now())


class Post:
    """`Send` over HTTP: TLS checked, no redirects, no proxies, no second try, an end to it however slow the target."""

    def __call__(self, target: Target, content: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        """Post; 0 and a sentence when no answer came."""
        parts = urlsplit(target.url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        line = kind(parts.hostname or "", parts.port, timeout=_PIECE)
        end = threading.Timer(_IN_ALL, _cut, (line,))
        end.daemon = True
        end.start()
        try:
            line.request("POST", urlunsplit(("", "", parts.path or "/", parts.query, "")), content, dict(headers))
            # What it says is of no interest, and may have any length.
            status = line.getresponse().status
        except (OSError, HTTPException) as exc:
            # Without the address: it may hold a secret of the receiver.
            return 0, f"The target {target.name} did not answer: {type(exc).__name__}."
        finally:
            end.cancel()
            line.close()
        return status, "" if 200 <= status < 300 else f"The target {target.name} answered {status}."


def _cut(line: HTTPConnection) -> None:
    """End a conversation from another thread."""
    with suppress(OSError, AttributeError):
        line.sock.shutdown(socket.SHUT_RDWR)
