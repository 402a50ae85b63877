"""The hold of one attempt on its task: heartbeat, live progress, and the reasons to stop.

One daemon thread in the task's own process extends the record's lease and the message's visibility
together, so that they live and die together: a dead process stops both, a lost lease stops both.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from transcode import ledger, logs, steps
from transcode.errors import Cancelled, LeaseLost, ServiceUnavailable, ShuttingDown, Stopped
from transcode.ledger import Books
from transcode.ports import Progress
from transcode.task import ASIDE, Task

log = logs.get(__name__)

# Seconds between writes of the live item; a person watching wants movement, a table wants rest.
LIVE_EVERY = 2.0
# SQS lets a message be held for 12 hours in all; an hour earlier it is deleted and the lease alone holds.
_LONGEST_HOLD = 11 * 3600.0
# Seconds a live item outlives its last write.
_LIVE_KEPT = 86400


class Message(Protocol):
    """The message that brought the task."""

    def extend(self, seconds: float) -> None:
        """Keep it from other workers for `seconds` from now. What goes wrong is logged, never raised."""

    def delete(self) -> None:
        """Give it up for good; the record alone keeps the task."""


class Lease:
    """A held task. Use as a context; `check` raises once the hold is gone or the work is not wanted."""

    def __init__(
        self, books: Books, task: Task, message: Message, seconds: float, stopping: Callable[[], bool]
    ) -> None:
        self.task, self._owner = task, task.owner
        self._books, self._message = books, message
        self._seconds, self._stopping = seconds, stopping
        self._reason: Stopped | None = None
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._began = self._renewed = time.monotonic()
        # What the live item is to show, and when it was last written.
        self._news: dict[str, object] = {"done": [], "percent": 0.0}
        self._told, self._telling = float("-inf"), threading.Lock()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._message.extend(self._seconds * 1.5)
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._closed.set()
        self._thread.join()

    def check(self) -> None:
        """Raise the reason to stop, if there is one.

        Raises:
            Cancelled, LeaseLost, ShuttingDown: as they say.
        """
        if self._reason is None and self._stopping():
            self._reason = ShuttingDown("The worker stops; the task goes to another one.")
        if self._reason is None:
            self._show()
        if self._reason:
            raise self._reason

    def move(self, step: Callable[[Task], Task]) -> Task:
        """Apply a step to the held record; the heartbeat keeps out of the way."""
        with self._lock:
            self.task = ledger.move(self._books, self.task, step)
            return self.task

    def progress(self, progress: Progress) -> None:
        """Show how far the encode is."""
        self.tell(percent=progress.percent, fps=progress.fps, speed=progress.speed, eta=progress.eta)

    def tell(self, **values: object) -> None:
        """Have the live item show this; within `LIVE_EVERY`, as each write costs."""
        with self._telling:
            self._news |= values
        self._show()

    def _show(self) -> None:
        """Write the live item if it is time; the same write brings back whether somebody wants the task cancelled."""
        with self._telling:
            if time.monotonic() - self._told < LIVE_EVERY:
                return
            self._told, news, self._news = time.monotonic(), self._news, {}
        live = {**news, "epoch": self.task.epoch, "expires_at": int(self._books.clock()) + _LIVE_KEPT}
        try:
            found = self._books.store.merge_aside(self.task.task_id, ASIDE.LIVE, live)
        except ServiceUnavailable as exc:
            log.debug("Progress not written", error=str(exc))
            return
        if found.get("cancel") == self.task.epoch:
            self._reason = self._reason or Cancelled("The task was cancelled.")

    def beat(self) -> None:
        """One heartbeat: extend the lease, and with it the message; or learn why the work must end."""
        began = time.monotonic()
        try:
            self.move(lambda t: steps.kept(t, self._owner, self._books.clock(), self._seconds))
        except Stopped as reason:
            self._reason = self._reason or reason
        except ServiceUnavailable as exc:
            log.warning("Heartbeat failed", error=str(exc))
            if began - self._renewed > self._seconds:
                self._reason = LeaseLost("The record could not be reached for longer than the lease.")
        else:
            self._renewed = began
            self._hold_message(began)

    def _run(self) -> None:
        while not self._closed.wait(self._seconds / 3) and not isinstance(self._reason, LeaseLost):
            self.beat()

    def _hold_message(self, now: float) -> None:
        if now - self._began > _LONGEST_HOLD:
            self._message.delete()
        else:
            self._message.extend(self._seconds * 1.5)
