"""What puts right what a crash left behind: unsent messages, silent workers, half-finished publishing.

It also carries out purges, which may concern more tasks than a request can wait for.

Any number of copies may run: every write is a step that the record must allow. Nothing here is needed
while all goes well.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from transcode import counts, ledger, logs, metrics, publish, steps, submit
from transcode.clock import day, seconds, timestamp
from transcode.errors import Conflict, NotFound, TranscodeError, WorkerLost
from transcode.ports import Query
from transcode.states import Phase, Status
from transcode.submit import Desk, deliver
from transcode.task import ASIDE, FARM, Frozen, Task

log = logs.get(__name__)

# Passes per lease: every 15 s for a lease of 60.
PASSES_PER_LEASE = 4
# Seconds that a submitter gets to send its own message before we do.
_GRACE = 5.0
# Leases until a sent message of a waiting task is sent again, doubled each time; in seconds, at most an hour.
_RESEND, _RESEND_MOST = 4, 3600.0
# Seconds until the next attempt after a worker was lost.
_RESCUE_DELAY = 1.0
_PAGE = 100
# Seconds for which PurgeQueue also deletes what is sent after it.
_PURGE_LASTS = 60.0


class Purge(Frozen):
    """The last purge, as timestamps: what waited `before` is cancelled, what was asked is `done` up to there.

    `emptied` is when SQS was told to delete the queue's messages, too.
    """

    before: str = ""
    done: str = ""
    emptied: str = ""


@dataclass
class Reconciler:
    """One loop's memory: how far it has walked through the older pending tasks, and the purge of this pass."""

    desk: Desk
    cursor: str = ""
    purge: Purge = field(default_factory=Purge)
    recounted: str = ""

    def sweep(self) -> int:
        """One pass; how many tasks it put right."""
        self.purge = Purge.model_validate(self.desk.store.read_aside(FARM, ASIDE.PURGE))
        mended = self._purged() + self._processing() + self._pending()
        self._recount()
        return mended + self._announce()

    def _announce(self) -> int:
        """Send the messages of ends that could not be sent; a callback queue that is away hinders nothing else."""
        try:
            return ledger.send_unsent(self.desk)
        except TranscodeError as exc:
            log.warning("Callbacks not sent, will be", error=str(exc))
            return 0

    def _recount(self) -> None:
        """Once an hour, set the counters of the day to what the records say; after midnight, the day before's."""
        now = self.desk.clock()
        hour = timestamp(now)[:13]
        if hour != self.recounted:
            counts.recount(self.desk.store, day(timestamp(now - 3600)))
            counts.recount(self.desk.store, day(hour))
            self.recounted = hour

    def _purged(self) -> int:
        """Cancel what waited when the queue was purged; however often this is cut short, the wish stays."""
        if self.purge.before <= self.purge.done:
            return 0
        # What fails here breaks the pass off: `done` is true only when none was left out.
        cancelled = sum(self._cancel_purged(task) for task in self._all(Status.PENDING))
        self.desk.store.merge_aside(FARM, ASIDE.PURGE, {"done": self.purge.before})
        log.info("Queue purged", cancelled=cancelled)
        return cancelled

    def _cancel_purged(self, listed: Task) -> bool:
        with suppress(Conflict, NotFound):
            task = self.desk.store.read(listed.task_id)
            ledger.move(self.desk, task, lambda t: steps.purged(t, self.purge.before, self.desk.clock()))
            return True
        return False

    def _all(self, status: Status) -> Iterator[Task]:
        page = self.desk.store.page(Query(status=status, limit=_PAGE))
        while True:
            yield from page.tasks
            if not page.next_cursor:
                return
            page = self.desk.store.page(Query(status=status, limit=_PAGE, cursor=page.next_cursor))

    def _processing(self) -> int:
        return sum(self._mend(task, self._silent, self._rescue) for task in self._all(Status.PROCESSING))

    def _pending(self) -> int:
        """The newest pending tasks each time, and one page more of the older ones."""
        store = self.desk.store
        newest = store.page(Query(status=Status.PENDING, limit=_PAGE))
        pages = [newest]
        if newest.next_cursor:
            older = store.page(Query(status=Status.PENDING, limit=_PAGE, cursor=self.cursor or newest.next_cursor))
            self.cursor = older.next_cursor
            pages.append(older)
        return sum(self._mend(task, self._wants_message, self._send) for page in pages for task in page.tasks)

    def _mend(self, listed: Task, wanted: Callable[[Task], bool], act: Callable[[Task], bool]) -> int:
        """Act on the record itself: what the index says may be old, but what it hides it shows in a later pass."""
        try:
            return int(wanted(listed) and act(self.desk.store.read(listed.task_id)))
        except Conflict:
            return 0
        except TranscodeError as exc:
            log.warning("Task not put right, will be", task_id=listed.task_id, error=str(exc))
            return 0
        except Exception:
            # One odd record, of another version perhaps, must not keep the others waiting.
            log.exception("Task not put right", task_id=listed.task_id)
            return 0

    def _silent(self, task: Task) -> bool:
        return task.status is Status.PROCESSING and steps.lease_over(task, self.desk.clock())

    def _rescue(self, task: Task) -> bool:
        desk = self.desk
        if not self._silent(task):
            return False
        if task.phase is Phase.PUBLISHING:
            publish.roll_forward(desk, task)
            return True
        lost = WorkerLost(f"Worker {task.worker or 'unknown'} went silent during attempt {task.attempts}.")
        moved = ledger.move(desk, task, lambda t: steps.rescued(t, desk.clock(), lost, _RESCUE_DELAY))
        metrics.attempt_ended(lost.code, moved.status, {}, {})
        log.warning("Task rescued", task_id=task.task_id, status=moved.status, worker=task.worker)
        if not moved.over:
            deliver(desk, moved, _RESCUE_DELAY)
        return True

    def _send(self, task: Task) -> bool:
        if not self._wants_message(task):
            return False
        self._send_again(task, 0.0)
        return True

    def _send_again(self, task: Task, delay: float) -> None:
        submit.send(self.desk, task, delay)
        log.info("Message sent again", task_id=task.task_id, sent_before=task.send_count)
        ledger.move(self.desk, task, lambda t: steps.sent(t, self.desk.clock()))

    def _eaten(self, task: Task, now: float) -> bool:
        """Whether the task's message may have gone with a purge: SQS deletes for a minute on."""
        if not self.purge.emptied or not task.sent_at:
            return False
        until = seconds(self.purge.emptied) + _PURGE_LASTS
        return bool(seconds(task.sent_at) < until < now)

    def _wants_message(self, task: Task) -> bool:
        now = self.desk.clock()
        if task.status is not Status.PENDING or now < task.not_before:
            return False
        if self._eaten(task, now):
            return True
        if not task.sent_at:
            return now - seconds(task.updated_at or task.created_at) > _GRACE
        wait = min(_RESEND_MOST, _RESEND * self.desk.settings.lease * 2 ** max(0, task.send_count - 1))
        return bool(now - max(seconds(task.sent_at), task.not_before) > wait)

    def dead_letter(self, task_id: str) -> bool:
        """A task's message ended in the dead-letter queue; whether it is dealt with and can be deleted there.

        A task that still waits gets a new one. A processing one has its lease, and needs none.
        """
        try:
            task = self.desk.store.read(task_id)
        except NotFound:
            return True
        if task.status is Status.PENDING:
            log.warning("Dead-lettered task sent again", task_id=task_id, attempts=task.attempts)
            with suppress(Conflict):
                self._send_again(task, max(0.0, task.not_before - self.desk.clock()))
        return True
