"""The event queue -> submit, with the reconciler beside it. Needs no GPU; any number of copies may run."""

import signal
import threading
import time
from collections.abc import Callable
from typing import Protocol

from transcode import events, logs
from transcode.aws.sqs import EventQueue, Queues, Received
from transcode.errors import BadEvent, TranscodeError
from transcode.events import Skipped
from transcode.reconcile import PASSES_PER_LEASE, Reconciler
from transcode.submit import Desk, accept
from workers.dead_letters import DeadLetters, DeadQueue
from workers.tools import desk, read_settings

log = logs.get(__name__)

# Seconds of rest after the queue did not answer.
_REST = 5.0
# Seconds that the handling of one message may take when the bridge is to end.
_PATIENCE = 20.0


class Events(Protocol):
    """Where notifications come from."""

    def receive(self, wait: int) -> list[Received]:
        """Wait up to `wait` seconds for messages."""

    def delete(self, message: Received) -> None:
        """Done with it."""


def handle(found: Desk, queue: Events, message: Received) -> None:
    """Submit every upload of a message, then delete it. What cannot be dealt with stays and comes again.

    A malformed message stays too, until SQS moves it to the dead-letter queue, where people can look at it.
    """
    try:
        for upload in events.read(message.body):
            made = upload if isinstance(upload, Skipped) else accept(found, upload)
            if isinstance(made, Skipped):
                log.info("Upload skipped", why=made.why, key=made.key)
    except BadEvent as exc:
        log.error("Malformed notification left for the dead-letter queue", message_id=message.id, error=str(exc))
    except TranscodeError as exc:
        log.warning("Notification not dealt with, comes again", message_id=message.id, error=str(exc))
    else:
        queue.delete(message)


class Bridge:
    """The two loops, each in a thread of its own. No signal ever interrupts them in the middle of a call."""

    def __init__(self, found: Desk, queue: Events | None, wait: int, dead: Callable[[], DeadQueue | None]) -> None:
        self._desk, self._queue, self._wait, self._dead = found, queue, wait, dead
        self._stopped = threading.Event()
        # Held while messages are being handled: what has begun is finished before the process ends.
        self._handling = threading.Lock()

    def start(self) -> None:
        """Begin to poll and to reconcile."""
        loops = [self._reconcile] if self._queue is None else [self._reconcile, self._poll]
        for loop in loops:
            threading.Thread(target=loop, name=loop.__name__.strip("_"), daemon=True).start()
        log.info("Bridge started", events=self._queue is not None)

    def stop(self) -> None:
        """Finish what is being handled; a poll that runs is left alone, its messages come again."""
        self._stopped.set()
        if self._handling.acquire(timeout=_PATIENCE):
            self._handling.release()
        log.info("Bridge stopped")

    def _poll(self) -> None:
        assert self._queue is not None  # noqa: S101 this loop runs with a queue only
        while not self._stopped.is_set():
            try:
                messages = self._queue.receive(self._wait)
                self._handle(self._queue, messages)
            except TranscodeError as exc:
                log.warning("Event queue did not answer", error=str(exc))
                self._stopped.wait(_REST)
            except Exception:
                # The loop must outlive any bug: a message that causes one ends in the dead-letter queue.
                log.exception("Unforeseen error in the bridge")
                self._stopped.wait(_REST)

    def _handle(self, queue: Events, messages: list[Received]) -> None:
        for message in messages:
            with self._handling, logs.bound(message_id=message.id):
                if self._stopped.is_set():
                    return
                handle(self._desk, queue, message)

    def _reconcile(self) -> None:
        reconciler = Reconciler(self._desk)
        dead = DeadLetters(self._dead, reconciler.dead_letter)
        while not self._stopped.wait(self._desk.settings.lease / PASSES_PER_LEASE):
            began = time.monotonic()
            try:
                mended = reconciler.sweep() + dead.sweep()
            except TranscodeError as exc:
                log.warning("Reconciler pass failed", error=str(exc))
            except Exception:
                # It must outlive any bug: nobody else puts things right.
                log.exception("Unforeseen error in the reconciler")
            else:
                log.debug("Reconciler pass", mended=mended, seconds=round(time.monotonic() - began, 3))


def main() -> None:
    """Run the bridge of this machine until SIGTERM or SIGINT."""
    found = read_settings()
    logs.configure(found.log_level, found.log_format, "bridge")
    queue = EventQueue(found) if found.event_queue_url else None
    bridge = Bridge(desk(), queue, found.wait_seconds, Queues(found).dead_letters)
    # Waited for, not handled: a handler would run in the middle of anything.
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    bridge.start()
    signal.sigwait(signals)
    bridge.stop()
