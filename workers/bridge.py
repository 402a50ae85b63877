"""The event queue -> submit, with the reconciler beside it. Needs no GPU; any number of copies may run."""

import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from transcode import events, logs
from transcode.aws.sqs import EventQueue, Received
from transcode.errors import BadEvent, TranscodeError
from transcode.events import Skipped
from transcode.reconcile import EVERY, Reconciler
from transcode.submit import Desk, accept
from workers.tools import desk, read_settings

log = logs.get(__name__)

# Seconds of rest after the queue did not answer.
_REST = 5.0


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


class Interrupted(BaseException):
    """Ends a long poll that has brought nothing yet; no broad handler may swallow it."""


@dataclass
class Bridge:
    """The two loops and what stops them."""

    desk: Desk
    queue: Events | None
    wait: int
    stopped: threading.Event = field(default_factory=threading.Event)
    polling: bool = False

    def run(self) -> None:
        """Run until `stop`."""
        reconciler = threading.Thread(target=self._reconcile, name="reconciler", daemon=True)
        reconciler.start()
        log.info("Bridge started", events=self.queue is not None)
        with suppress(Interrupted):
            while not self.stopped.is_set():
                if self.queue is None:
                    self.stopped.wait(1.0)
                else:
                    self._poll(self.queue)
        reconciler.join(timeout=_REST)
        log.info("Bridge stopped")

    def stop(self, *_: Any) -> None:
        """End, after what is being handled; also a signal handler."""
        self.stopped.set()
        if self.polling:
            raise Interrupted

    def _poll(self, queue: Events) -> None:
        self.polling = True
        try:
            messages = queue.receive(self.wait)
        except TranscodeError as exc:
            log.warning("Event queue did not answer", error=str(exc))
            self.stopped.wait(_REST)
            return
        finally:
            self.polling = False
        for message in messages:
            with logs.bound(message_id=message.id):
                handle(self.desk, queue, message)

    def _reconcile(self) -> None:
        reconciler = Reconciler(self.desk)
        while not self.stopped.wait(EVERY):
            began = time.monotonic()
            try:
                mended = reconciler.sweep()
            except TranscodeError as exc:
                log.warning("Reconciler pass failed", error=str(exc))
            except Exception:
                # It must outlive any bug: nobody else puts things right.
                log.exception("Reconciler pass failed")
            else:
                log.debug("Reconciler pass", mended=mended, seconds=round(time.monotonic() - began, 3))


def main() -> None:
    """Run the bridge of this machine until SIGTERM or SIGINT."""
    found = read_settings()
    logs.configure(found.log_level, found.log_format, "bridge")
    queue = EventQueue(found) if found.event_queue_url else None
    bridge = Bridge(desk(), queue, found.wait_seconds)
    signal.signal(signal.SIGTERM, bridge.stop)
    signal.signal(signal.SIGINT, bridge.stop)
    bridge.run()
