"""The record of a task, and every step it can take: claimed, leased, fenced, handed back, ended.

Each step is a pure function `(task, ...) -> task` that raises when the record does not allow it. A step
becomes true when `TaskStore.save(old, new)` accepts it, which it does only when nobody wrote in between
(`ver`); so what a step has checked still holds at the moment of its write. `states.NEXT` says which
status may follow which. Only `submit`, `run` and `reconcile` save.

What is large or changes often lives beside the record in side items (`ASIDE`), which are in no index.
"""

import uuid
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from transcode.clock import day, timestamp
from transcode.errors import Busy, Cancelled, Conflict, LeaseLost, TranscodeError
from transcode.states import LEGACY_PENDING, OVER, Phase, Status, TypeState, check

# Seconds an attempt may go without a heartbeat before another worker takes over (setting LEASE).
LEASE = 60.0
# Seconds a rescuer waits beyond the lease, for clocks that differ.
MARGIN = 5.0
MAX_ATTEMPTS = 3
# Characters of ffmpeg's last words kept per error; a DynamoDB item holds 400 KB in all.
OUTPUT_KEPT = 2000


class ASIDE:
    """Names of side items; the item's key is `<task id>#<name>`."""

    LIVE = "live"  # percent, fps, speed, ETA, the cancel wish: written every 2 s while encoding
    PLAN = "plan"  # what the winning attempt publishes: upload ids and part tags
    HISTORY = "history"  # the attempts: when, where, how each ended


class Frozen(BaseModel):
    """A value as the record keeps it; attributes that we do not know are left alone in the table."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ErrorDetail(Frozen):
    """One thing that went wrong, in the shape that existing clients read."""

    transcode_type: str
    stage: str  # download, transcode or upload
    error: str
    command: str = ""
    output: str = ""
    timestamp: str
    code: str = ""


class Output(Frozen):
    """One published rendition. Sizes in bytes and pixels, times in seconds, rates in bits per second."""

    key: str
    bytes: int
    codec: str = ""
    width: int = 0
    height: int = 0
    duration: float = 0.0
    bitrate: int = 0
    audio_codec: str = ""
    warning: str = ""


class InputVersion(Frozen):
    """Exactly which bytes are transcoded; a replaced object is another upload and another task."""

    version_id: str = ""
    etag: str = ""
    size: int = 0


class Task(Frozen):
    """The record. Names of attributes are the contract with existing tables and clients."""

    task_id: str
    date_partition: str
    input_bucket: str
    input_key: str
    output_bucket: str
    transcode_types: tuple[str, ...]
    status: Status = Status.PENDING
    created_at: str
    updated_at: str = ""
    started_at: str = ""
    completed_at: str = ""
    error_message: str = ""
    error_code: str = ""
    error_details: tuple[ErrorDetail, ...] = ()
    retry_count: int = 0
    max_retries: int = MAX_ATTEMPTS
    progress: dict[str, TypeState] = Field(default_factory=dict)
    output_files: dict[str, str] = Field(default_factory=dict)
    outputs: dict[str, Output] = Field(default_factory=dict)

    # Who may write: `epoch` grows by one with each claim and never falls (the fencing token), `owner`
    # is unique per claim, `ver` grows with every write.
    ver: int = 0
    epoch: int = 0
    owner: str = ""
    phase: Phase | None = None
    lease_until: float = 0.0
    attempts: int = 0
    generation: int = 0
    cancel_requested: bool = False
    # Delivery: when a message may run (Unix seconds), when the last one was sent, how many were.
    not_before: float = 0.0
    sent_at: str = ""
    send_count: int = 0
    # What is transcoded, and its place among all tasks that write the same output key.
    input_version: InputVersion = InputVersion()
    output_order: str = ""
    # Who published, what the source is, how long each phase took (seconds), where it ran.
    winner: str = ""
    source: dict[str, Any] = Field(default_factory=dict)
    phases: dict[str, float] = Field(default_factory=dict)
    worker: str = ""
    expires_at: int = 0

    @field_validator("status", mode="before")
    @classmethod
    def read_legacy_status(cls, value: object) -> object:
        """The predecessor's `retrying` is pending."""
        return Status.PENDING if value == LEGACY_PENDING else value

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to the task by itself."""
        return self.status in OVER

    @property
    def missing_types(self) -> tuple[str, ...]:
        """The types that no earlier attempt has published."""
        return tuple(t for t in self.transcode_types if t not in self.outputs)


def new_id(now: float) -> str:
    """A fresh task id whose text order is its time order (the layout of UUID version 7)."""
    stamp = int(now * 1000) << 80
    random = uuid.uuid4().int & ((1 << 76) - 1)
    value = stamp | (0x7 << 76) | random
    return str(uuid.UUID(int=value & ~(0x3 << 62) | (0x2 << 62)))


# Names the identity of an upload; a constant of this project, never to be changed.
_UPLOADS = uuid.UUID("5f0c8a3e-2b77-4d0e-9c55-7a1d1f3b6e21")


def upload_id(bucket: str, key: str, version: str) -> str:
    """The task id of an upload: the same for every copy of its event, another for another version."""
    return str(uuid.uuid5(_UPLOADS, "\n".join((bucket, key, version))))


def made(task_id: str, now: float, **fields: Any) -> Task:
    """A new pending task."""
    stamp = timestamp(now)
    types: tuple[str, ...] = tuple(fields["transcode_types"])
    return Task(
        task_id=task_id,
        created_at=stamp,
        updated_at=stamp,
        date_partition=day(stamp),
        progress=dict.fromkeys(types, TypeState.PENDING),
        **fields,
    )


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
    """A message for this task has been sent."""
    return _written(task, now, sent_at=timestamp(now), send_count=task.send_count + 1)


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
    return _pending_again(task, now, delay, task.attempts if counted else task.attempts - 1, error)


def _pending_again(task: Task, now: float, delay: float, attempts: int, error: TranscodeError) -> Task:
    return _moved(
        task, Status.PENDING, now, attempts=attempts, not_before=now + delay, sent_at="",
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


def retried(task: Task, now: float) -> Task:
    """A new series of attempts for a failed or cancelled task; what is published already is kept.

    Raises:
        Conflict: the task is neither failed nor cancelled.
    """
    if task.status not in (Status.FAILED, Status.CANCELLED):
        raise Conflict(f"The task is {task.status}; only a failed or cancelled task can be retried.")
    return _moved(
        task, Status.PENDING, now, generation=task.generation + 1, attempts=0, retry_count=0, cancel_requested=False,
        not_before=now, sent_at="", completed_at="", error_code="", error_message="", error_details=(), winner="",
        progress=_set_progress(task, TypeState.PENDING),
    )  # fmt: skip
