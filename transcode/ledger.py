"""How a step becomes true: read, decide, write if nobody wrote in between, else decide again.

Every change of a record goes through `move`, from whichever process. So it is also here that an end is told of:
its callback's message is sent before the end is written, never after, and never for an end that nobody waits for.
"""

import zlib
from collections.abc import Callable
from typing import Protocol

from transcode import counts, logs
from transcode.clock import Clock
from transcode.errors import ServiceUnavailable, Unknown, VersionMoved
from transcode.ports import Callback, Callbacks, TaskStore
from transcode.task import ASIDE, FARM, Task

log = logs.get(__name__)

# Seconds that the end of a task gets to be written before its callback's message is seen.
AHEAD = 5.0
# Side items among which ends that could not be announced are spread: one item holds 400 KB.
_SHELVES = tuple(f"{ASIDE.UNSENT}-{number}" for number in range(4))
# A step decides anew on what it finds; contention on one task is a person and a worker, never a crowd.
_TRIES = 8


class Books(Protocol):
    """What a change of a record needs; `submit.Desk` is one."""

    @property
    def store(self) -> TaskStore:
        """The records."""

    @property
    def callbacks(self) -> Callbacks:
        """Where ends are told."""

    @property
    def clock(self) -> Clock:
        """Unix seconds."""


def move(books: Books, task: Task, step: Callable[[Task], Task]) -> Task:
    """Apply `step` to the task as it is in the store; `task` is our newest copy of it.

    A write whose answer was lost is neither success nor failure: the record is read again, and if it is
    what we wanted to write, now or in an earlier try that landed late, it was ours.

    Raises:
        Unknown: the store kept silent; the write may have been applied.
        Whatever `step` raises when the record does not allow it.
    """
    store = books.store
    unanswered: list[Task] = []
    for _ in range(_TRIES):
        wanted = step(task)
        if wanted.over and wanted.callback:
            _announce(books, wanted)
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


def _announce(books: Books, task: Task) -> None:
    """Send the message of a task's end; if SQS does not take it, leave word for the reconciler.

    Raises:
        ServiceUnavailable: neither was possible, so the end may not be written now.
    """
    try:
        books.callbacks.send(Callback(task.task_id, task.generation, task.callback, books.clock()), AHEAD)
    except ServiceUnavailable as exc:
        log.warning("Callback not sent, will be", task_id=task.task_id, error=str(exc))
        _leave_word(books.store, task.task_id, task.generation, task.callback)


def _leave_word(store: TaskStore, task_id: str, generation: int, target: str | None) -> None:
    """Note that an end is to be announced to `target`; None: that it was."""
    shelf = _SHELVES[zlib.crc32(task_id.encode()) % len(_SHELVES)]
    store.merge_aside(FARM, shelf, {f"{task_id} {generation}": target})


def unsent(store: TaskStore) -> dict[tuple[str, int], str]:
    """The ends whose messages could not be sent yet, by task and generation; and their targets."""
    found: dict[tuple[str, int], str] = {}
    for owed in store.read_asides(FARM, _SHELVES):
        for words, target in owed.items():
            task_id, generation = words.split()
            found[task_id, int(generation)] = target
    return found


def send_unsent(books: Books) -> int:
    """Send the messages that `unsent` tells of; how many there were.

    Raises:
        ServiceUnavailable: the rest is tried again another time.
    """
    owed = unsent(books.store)
    for (task_id, generation), target in owed.items():
        books.callbacks.send(Callback(task_id, generation, target, books.clock()), 0.0)
        _leave_word(books.store, task_id, generation, None)
    return len(owed)
