"""How a step becomes true: read, decide, write if nobody wrote in between, else decide again.

Every change of a record goes through `move`, from whichever process.
"""

from collections.abc import Callable

from transcode import counts
from transcode.errors import Unknown, VersionMoved
from transcode.ports import TaskStore
from transcode.task import Task

# A step decides anew on what it finds; contention on one task is a person and a worker, never a crowd.
_TRIES = 8


def move(store: TaskStore, task: Task, step: Callable[[Task], Task]) -> Task:
    """Apply `step` to the task as it is in the store; `task` is our newest copy of it.

    A write whose answer was lost is neither success nor failure: the record is read again, and if it is
    what we wanted to write, now or in an earlier try that landed late, it was ours.

    Raises:
        Unknown: the store kept silent; the write may have been applied.
        Whatever `step` raises when the record does not allow it.
    """
    unanswered: list[Task] = []
    for _ in range(_TRIES):
        wanted = step(task)
        try:
            store.save(task, wanted)
        except VersionMoved:
            pass
        except Unknown:
            unanswered.append(wanted)
        else:
            return _moved(store, wanted)
        task = store.read(task.task_id)
        if task in unanswered:
            return _moved(store, task)
    raise Unknown(f"The record of task {task.task_id} could not be written after {_TRIES} tries.")


def _moved(store: TaskStore, task: Task) -> Task:
    if task.over:
        counts.ended(store, task)
    return task
