"""The event queue -> submit, with the reconciler and the courier of callbacks beside it.

Needs no GPU; any number of copies may run.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from transcode import events, logs, metrics, targets
from transcode.aws.callback_queue import CallbackQueue
from transcode.aws.sqs import EventQueue, Queues, Received
from transcode.clock import timestamp
from transcode.errors import BadEvent, TranscodeError
from transcode.events import Skipped
from transcode.reconcile import PASSES_PER_LEASE, Reconciler
from transcode.submit import Desk, accept
from transcode.task import ASIDE, FARM
from workers.courier import Courier, Letters, Post, Rest
from workers.dead_letters import DeadLetters, DeadQueue
from workers.tools import desk, read_settings

log = logs.get(__name__)

# Seconds between looks at the dead letters, and between signs of life: neither is urgent, and each asks AWS.
_SELDOM = 55.0
# Seconds of rest after the queue did not answer.
_REST = 5.0
# Seconds that the messages of one receive may take when the bridge is to end.
_PATIENCE = 20.0
# Messages dealt with at once: a receive brings no more, and each waits for AWS nearly all its time.
_AT_ONCE = 10


class Source(Protocol):
    """What can be polled."""

    def receive(self, wait: int) -> list[Received]:
        """Wait up to `wait` seconds for messages."""


class Events(Source, Protocol):
    """Where notifications come from."""

    def delete_all(self, messages: Sequence[Received]) -> None:
        """Done with what a receive has brought, or with a part of it."""


def deal(found: Desk, queue: Events, messages: Sequence[Received]) -> None:
    """Submit the uploads of all messages at the same time, then delete what is done. The rest stays and comes again."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="events") as pool:
        done = list(pool.map(lambda message: handle(found, message), messages))
    if any(done):
        queue.delete_all([message for message, well in zip(messages, done, strict=True) if well])


def handle(found: Desk, message: Received) -> bool:
    """Submit every upload of a message; whether it is done with, and may be deleted.

    A malformed one stays, until SQS moves it to the dead-letter queue, where people can look at it.
    """
    with logs.bound(message_id=message.id):
        try:
            _submit(found, message)
        except BadEvent as exc:
            log.error("Malformed notification left for the dead-letter queue", error=str(exc))
        except TranscodeError as exc:
            log.warning("Notification not dealt with, comes again", error=str(exc))
        except Exception:
            # It must not take the others of its receive along; one that causes a bug ends in the dead-letter queue.
            log.exception("Unforeseen error with a notification")
        else:
            return True
    return False


def _submit(found: Desk, message: Received) -> None:
    for upload in events.read(message.body):
        made = upload if isinstance(upload, Skipped) else accept(found, upload)
        if isinstance(made, Skipped):
            log.info("Upload skipped", why=made.why, key=made.key)


class Poller:
    """A queue, read in a thread of its own. No signal ever interrupts it in the middle of a call.

    Args:
        name: of the thread.
        queue: what is read.
        wait: seconds of one poll.
        deal: deals with what came.
    """

    def __init__(self, name: str, queue: Source, wait: int, deal: Callable[[list[Received]], None]) -> None:
        self._name, self._queue, self._wait, self._deal = name, queue, wait, deal
        self._stopped = threading.Event()
        # Held while messages are being dealt with: what has begun is finished before the process ends.
        self._dealing = threading.Lock()

    def start(self) -> None:
        """Begin to poll."""
        threading.Thread(target=self._poll, name=self._name, daemon=True).start()

    def stop(self) -> None:
        """Take nothing new; a poll that runs is left alone, its messages come again."""
        self._stopped.set()

    def finish(self, deadline: float) -> None:
        """Wait for what is being dealt with, until then by the monotonic clock."""
        if self._dealing.acquire(timeout=max(0.0, deadline - time.monotonic())):
            self._dealing.release()

    def _poll(self) -> None:
        while not self._stopped.is_set():
            try:
                messages = self._queue.receive(self._wait)
                with self._dealing:
                    if not self._stopped.is_set():
                        self._deal(messages)
            except TranscodeError as exc:
                log.warning("Queue did not answer", queue=self._name, error=str(exc))
                self._stopped.wait(_REST)
            except Exception:
                # The loop must outlive any bug: nobody else reads for this process.
                log.exception("Unforeseen error in the bridge")
                self._stopped.wait(_REST)


class Bridge:
    """The queues that are read, and the reconciler, each in a thread of its own."""

    def __init__(self, found: Desk, pollers: Sequence[Poller], dead: Callable[[], DeadQueue | None]) -> None:
        self._desk, self._pollers, self._dead = found, pollers, dead
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to poll and to reconcile."""
        threading.Thread(target=self._reconcile, name="reconcile", daemon=True).start()
        for poller in self._pollers:
            poller.start()
        log.info("Bridge started", queues=len(self._pollers))

    def stop(self) -> None:
        """Finish what is being dealt with; all pollers together have the patience of one."""
        self._stopped.set()
        deadline = time.monotonic() + _PATIENCE
        for poller in self._pollers:
            poller.stop()
        for poller in self._pollers:
            poller.finish(deadline)
        log.info("Bridge stopped")

    def _reconcile(self) -> None:
        reconciler = Reconciler(self._desk)
        dead = DeadLetters(self._dead, reconciler.dead_letter)
        seldom, done = min(_SELDOM, self._desk.settings.lease), float("-inf")
        while not self._stopped.wait(self._desk.settings.lease / PASSES_PER_LEASE):
            began = time.monotonic()
            try:
                mended = reconciler.sweep()
                if began - done >= seldom:
                    mended, done = mended + dead.sweep(), began
                    # Afterwards, so that a bridge which puts nothing right is missed like one that is gone.
                    self._desk.store.merge_aside(FARM, ASIDE.BRIDGE, {"seen_at": timestamp(self._desk.clock())})
            except TranscodeError as exc:
                log.warning("Reconciler pass failed", error=str(exc))
            except Exception:
                # It must outlive any bug: nobody else puts things right.
                log.exception("Unforeseen error in the reconciler")
            else:
                log.debug("Reconciler pass", mended=mended, seconds=round(time.monotonic() - began, 3))


def callbacks_poller(found: Desk, queue: Letters, wait: int) -> Poller:
    """What delivers the callbacks of a queue."""
    known = targets.read(found.settings.callback_targets, found.settings.callback_secrets)
    courier, rest = Courier(found.store, queue, known, found.clock, Post()), Rest()
    return Poller("callbacks", queue, wait, lambda messages: courier.deal(messages, rest))


def pollers(found: Desk) -> Iterator[Poller]:
    """The pollers that the settings ask for."""
    settings = found.settings
    if settings.event_queue_url:
        queue = EventQueue(settings)
        yield Poller("events", queue, settings.wait_seconds, lambda messages: deal(found, queue, messages))
    if settings.callback_queue_url:
        yield callbacks_poller(found, CallbackQueue(settings), settings.wait_seconds)


def main() -> None:
    """Run the bridge of this machine until SIGTERM or SIGINT."""
    # Waited for, not handled: a handler would run in the middle of anything. First of all, as threads take it over.
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    found = read_settings()
    logs.configure(found.log_level, found.log_format, "bridge")
    if found.metrics_port:
        metrics.serve(found.metrics_port + 1)
    bridge = Bridge(desk(), list(pollers(desk())), Queues(found).dead_letters)
    bridge.start()
    signal.sigwait(signals)
    bridge.stop()
    # Returning would wait for every thread of a pool, also one whose call of AWS hangs beyond all patience.
    os._exit(0)
