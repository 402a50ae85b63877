"""Every step a task can take: claimed, kept, committed, published, handed back, ended, retried.

Each is a pure function `(task, ...) -> task` that raises when the record does not allow it. A step becomes
true through `ledger.move`, which writes only when nobody wrote in between (`ver`); so what a step has
checked still holds at the moment of its write. `states.NEXT` says which status may follow which.
"""

from typing import Any

from transcode.clock import timestamp
from transcode.errors import Busy, Cancelled, Conflict, DeviceFault, LeaseLost, Purged, TranscodeError
from transcode.states import OVER, Phase, Status, TypeState, check
from transcode.task import ErrorDetail, Output, Task

# Seconds an attempt may go without a heartbeat before another worker takes over (setting LEASE).
LEASE = 60.0
# Seconds a rescuer waits beyond the lease, for clocks that differ.
MARGIN = 5.0
# What cards may fail, by their errors' weights, before an attempt is counted: three faults, or thirty times no room.
_FAULTS_OF_AN_ATTEMPT = 3 * DeviceFault.weight


def _moved(task: Task, status: Status, now: float, **changes: Any) -> Task:
    """The one way a status changes."""
    check(task.status, status)
    if status is not Status.PROCESSING:
        changes = {"phase": None, "owner": "", "lease_until": 0.0} | changes
    if status in OVER:
        changes = {"completed_at": timestamp(now)} | changes
    return _written(task, now, status=status, **changes)


def _written(task: Task, now: float, **changes: Any) -> Task:
    return task.model_copy(update={"updated_at": timestamp(now), "ver": task.ver + 1, **changes})


def sent(task: Task, now: float) -> Task:
    """One more message for a waiting task has been sent. It waits since the same moment as before: a purge asks for it.

    Raises:
        Conflict: it waits no more.
    """
    return _noted(task, now, timestamp(now), task.send_count + 1)


def unsent(task: Task, now: float) -> Task:
    """The message that the record of a waiting task speaks of was not sent after all.

    Raises:
        Conflict: it waits no more.
    """
    return _noted(task, now, "", task.send_count - 1)


def _noted(task: Task, now: float, sent_at: str, count: int) -> Task:
    if task.status is not Status.PENDING:
        raise Conflict(f"The task is {task.status}.")
    return _written(task, now, sent_at=sent_at, send_count=max(0, count), updated_at=task.updated_at)


def lease_over(task: Task, now: float) -> bool:
    """Whether the holder has been silent so long that others may act."""
    return now > task.lease_until + MARGIN


def claimed(task: Task, owner: str, worker: str, now: float, lease: float = LEASE) -> Task:
    """The task taken for one attempt.

    Raises:
        Conflict: it is over; the message speaks of something that has happened.
        Busy: another worker holds it, or it is not due yet.
    """
    if task.over:
        raise Conflict(f"The task is {task.status} already.")
    if task.status is Status.PENDING and now < task.not_before:
        raise Busy("The task waits for its next attempt.", task.not_before - now)
    if task.status is Status.PROCESSING:
        _check_takeover(task, now)
    attempts = task.attempts + 1
    return _moved(
        task, Status.PROCESSING, now, phase=Phase.WORKING, owner=owner, epoch=task.epoch + 1, worker=worker,
        lease_until=now + lease, attempts=attempts, retry_count=max(task.retry_count, attempts - 1),
        started_at=timestamp(now), progress=_set_progress(task, TypeState.PROCESSING),
    )  # fmt: skip


def _check_takeover(task: Task, now: float) -> None:
    if not lease_over(task, now):
        raise Busy("Another worker holds the task.", task.lease_until + MARGIN - now)
    if task.phase is Phase.PUBLISHING:
        raise Busy("The outcome is decided; the reconciler publishes it.", MARGIN)
    if task.cancel_requested or task.attempts >= task.max_retries:
        raise Busy("The reconciler ends this task.", MARGIN)


def _set_progress(task: Task, state: TypeState) -> dict[str, TypeState]:
    return {t: TypeState.COMPLETED if t in task.outputs else state for t in task.transcode_types}


def _check_holder(task: Task, owner: str) -> None:
    if task.status is not Status.PROCESSING or task.phase is not Phase.WORKING or task.owner != owner:
        raise LeaseLost("Another worker or a person has taken this task over.")


def kept(task: Task, owner: str, now: float, lease: float = LEASE) -> Task:
    """The lease, extended by its holder.

    Raises:
        LeaseLost: the holder is another.
        Cancelled: somebody wants the task stopped.
    """
    _check_holder(task, owner)
    if task.cancel_requested:
        raise Cancelled("The task was cancelled.")
    return _written(task, now, lease_until=now + lease)


def committed(task: Task, owner: str, now: float, lease: float = LEASE, **facts: Any) -> Task:
    """The decision: this attempt's outputs are the task's. From here there is only forward.

    Raises:
        LeaseLost, Cancelled: as for `kept`.
    """
    kept(task, owner, now)
    return _written(task, now, phase=Phase.PUBLISHING, winner=owner, lease_until=now + lease, **facts)


def published(task: Task, now: float, outputs: dict[str, Output]) -> Task:
    """The end of a committed task: completed, or failed when types of it failed for good.

    Raises:
        Conflict: somebody else has finished it.
    """
    if task.phase is not Phase.PUBLISHING:
        raise Conflict(f"The task is {task.status}, not being published.")
    all_outputs = task.outputs | outputs
    failed = [t for t in task.transcode_types if t not in all_outputs]
    progress = {t: TypeState.FAILED if t in failed else TypeState.COMPLETED for t in task.transcode_types}
    return _moved(
        task, Status.FAILED if failed else Status.COMPLETED, now, progress=progress, outputs=all_outputs,
        output_files={t: o.key for t, o in all_outputs.items()},
    )  # fmt: skip


def handed_back(task: Task, owner: str, now: float, delay: float, *, counted: bool, error: TranscodeError) -> Task:
    """The attempt given up by its holder: pending again after `delay` seconds, or cancelled if that was asked.

    A stop of the worker is not the file's fault: then the attempt is not `counted`.
    """
    _check_holder(task, owner)
    if task.cancel_requested:
        return ended_cancelled(task, now)
    if counted and task.attempts >= task.max_retries:
        return _failed(task, now, error)
    return _pending_again(task, now, delay, task.attempts if counted else task.attempts - 1, error)


def device_failed(task: Task, owner: str, now: float, delay: float, error: DeviceFault) -> Task:
    """The attempt given up for its card's sake, which is not the file's fault; another card takes the task.

    A file that no card bears must end, too: faults of three cards count as an attempt.
    """
    faults = task.device_faults + error.weight
    counted = faults >= _FAULTS_OF_AN_ATTEMPT
    task = task.model_copy(update={"device_faults": 0 if counted else faults})
    return handed_back(task, owner, now, delay, counted=counted, error=error)


def _pending_again(task: Task, now: float, delay: float, attempts: int, error: TranscodeError) -> Task:
    return _moved(
        task, Status.PENDING, now, attempts=attempts, not_before=now + delay, sent_at=timestamp(now), send_count=1,
        progress=_set_progress(task, TypeState.PENDING), error_code=error.code, error_message=str(error),
    )  # fmt: skip


def failed(task: Task, owner: str, now: float, error: TranscodeError, details: tuple[ErrorDetail, ...]) -> Task:
    """The end of a task whose holder gives up for good, or cancelled if that was asked."""
    _check_holder(task, owner)
    if task.cancel_requested:
        return ended_cancelled(task, now)
    return _failed(task, now, error, details)


def _failed(task: Task, now: float, error: TranscodeError, details: tuple[ErrorDetail, ...] = ()) -> Task:
    return _moved(
        task, Status.FAILED, now, error_code=error.code, error_message=str(error),
        error_details=(*task.error_details, *details), progress=_set_progress(task, TypeState.FAILED),
    )  # fmt: skip


def rescued(task: Task, now: float, error: TranscodeError, delay: float) -> Task:
    """What becomes of a task whose worker went silent: again, failed when attempts are used up, or cancelled.

    Raises:
        Conflict: its lease still runs, or its outcome is decided.
    """
    if task.status is not Status.PROCESSING or task.phase is Phase.PUBLISHING or not lease_over(task, now):
        raise Conflict("The task needs no rescue.")
    if task.cancel_requested:
        return ended_cancelled(task, now)
    if task.attempts >= task.max_retries:
        return _failed(task, now, error)
    return _pending_again(task, now, delay, task.attempts, error)


def cancelled(task: Task, owner: str, now: float, error: TranscodeError) -> Task:
    """The end of a task whose holder was told to stop, or found that a newer task owns all its outputs."""
    _check_holder(task, owner)
    return ended_cancelled(task, now, error)


def ended_cancelled(task: Task, now: float, error: TranscodeError | None = None) -> Task:
    """Cancelled for good; `error` says why when it was not a person's wish."""
    error = error or Cancelled("The task was cancelled.")
    return _moved(
        task, Status.CANCELLED, now, cancel_requested=False, error_code=error.code, error_message=str(error),
        progress=_set_progress(task, TypeState.PENDING),
    )  # fmt: skip


def cancel_asked(task: Task, now: float) -> Task:
    """A person's wish to cancel: at once while pending, noted for the worker while processing.

    Raises:
        Conflict: it is over, or already being published.
    """
    if task.status is Status.PENDING:
        return ended_cancelled(task, now)
    if task.status is not Status.PROCESSING:
        raise Conflict(f"The task is {task.status}; only a pending or processing task can be cancelled.")
    if task.phase is Phase.PUBLISHING:
        raise Conflict("The task is already being published; it can no longer be cancelled.")
    return _written(task, now, cancel_requested=True)


def purged(task: Task, before: str, now: float) -> Task:
    """The end of a task that waited in the queue when it was purged; `before` is that moment's timestamp.

    Raises:
        Conflict: it does not wait, or has begun to wait since.
    """
    if task.status is not Status.PENDING or (task.updated_at or task.created_at) > before:
        raise Conflict(f"The task is {task.status} and was not in the queue when it was purged.")
    return ended_cancelled(task, now, Purged("The queue was purged while the task waited in it."))


def retried(task: Task, now: float) -> Task:
    """A new series of attempts for a failed or cancelled task; what is published already is kept.

    Raises:
        Conflict: the task is neither failed nor cancelled.
    """
    if task.status not in (Status.FAILED, Status.CANCELLED):
        raise Conflict(f"The task is {task.status}; only a failed or cancelled task can be retried.")
    return _moved(
        task, Status.PENDING, now, generation=task.generation + 1, attempts=0, retry_count=0, cancel_requested=False,
        not_before=now, sent_at=timestamp(now), send_count=1, completed_at="", winner="", device_faults=0,
        error_code="", error_message="", error_details=(),
        progress=_set_progress(task, TypeState.PENDING),
    )  # fmt: skip
