"""What puts right what a crash left behind: unsent messages, silent workers, half-finished publishing.

Any number of copies may run: every write is a step that the record must allow. Nothing here is needed
while all goes well.
"""

from collections.abc import Callable
from dataclasses import dataclass

from transcode import ledger, logs, publish, steps
from transcode.clock import seconds
from transcode.errors import Conflict, TranscodeError, WorkerLost
from transcode.ports import Query
from transcode.states import Phase, Status
from transcode.submit import Desk, deliver
from transcode.task import Task

log = logs.get(__name__)

# Seconds between passes.
EVERY = 15.0
# Seconds that a submitter gets to send its own message before we do.
_GRACE = 5.0
# Seconds until a sent message of a waiting task is sent again; doubled each time, at most an hour.
_RESEND, _RESEND_MOST = 240.0, 3600.0
# Seconds until the next attempt after a worker was lost.
_RESCUE_DELAY = 1.0
_PAGE = 100


@dataclass
class Reconciler:
    """One loop's memory: how far it has walked through the older pending tasks."""

    desk: Desk
    cursor: str = ""

    def sweep(self) -> int:
        """One pass; how many tasks it put right."""
        return self._processing() + self._pending()

    def _processing(self) -> int:
        mended, cursor = 0, ""
        while True:
            page = self.desk.store.page(Query(status=Status.PROCESSING, limit=_PAGE, cursor=cursor))
            mended += sum(self._mend(task, self._rescue) for task in page.tasks)
            cursor = page.next_cursor
            if not cursor:
                return mended

    def _pending(self) -> int:
        """The newest pending tasks each time, and one page more of the older ones."""
        store = self.desk.store
        newest = store.page(Query(status=Status.PENDING, limit=_PAGE))
        pages = [newest]
        if newest.next_cursor:
            older = store.page(Query(status=Status.PENDING, limit=_PAGE, cursor=self.cursor or newest.next_cursor))
            self.cursor = older.next_cursor
            pages.append(older)
        return sum(self._mend(task, self._send) for page in pages for task in page.tasks)

    def _mend(self, listed: Task, act: Callable[[Task], bool]) -> int:
        """Act on the record itself; what the index says may be old."""
        try:
            return int(act(self.desk.store.read(listed.task_id)))
        except Conflict:
            return 0
        except TranscodeError as exc:
            log.warning("Task not put right, will be", task_id=listed.task_id, error=str(exc))
            return 0

    def _rescue(self, task: Task) -> bool:
        now, desk = self.desk.clock(), self.desk
        if task.status is not Status.PROCESSING or not steps.lease_over(task, now):
            return False
        if task.phase is Phase.PUBLISHING:
            publish.roll_forward(desk.store, desk.storage, task, desk.clock)
            return True
        lost = WorkerLost(f"Worker {task.worker or 'unknown'} went silent during attempt {task.attempts}.")
        moved = ledger.move(desk.store, task, lambda t: steps.rescued(t, desk.clock(), lost, _RESCUE_DELAY))
        log.warning("Task rescued", task_id=task.task_id, status=moved.status, worker=task.worker)
        if not moved.over:
            deliver(desk, moved, _RESCUE_DELAY)
        return True

    def _send(self, task: Task) -> bool:
        if task.status is not Status.PENDING or not self._wants_message(task):
            return False
        log.info("Message sent again", task_id=task.task_id, sent_before=task.send_count)
        deliver(self.desk, task)
        return True

    def _wants_message(self, task: Task) -> bool:
        now = self.desk.clock()
        if now < task.not_before:
            return False
        if not task.sent_at:
            return now - seconds(task.updated_at or task.created_at) > _GRACE
        wait = min(_RESEND_MOST, _RESEND * 2 ** max(0, task.send_count - 1))
        return bool(now - max(seconds(task.sent_at), task.not_before) > wait)
