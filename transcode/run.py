"""Step two: a task id becomes outputs and a closed record. One attempt, from claim to verdict.

What the message has to do afterwards is told by how `run` ends: it returns (the message is done with) or
raises `Busy` (leave it, it comes back). Whether a task is tried again is decided here and in `task`,
record and message together, never by Celery.
"""

import errno
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transcode import ledger, logs, publish, retries
from transcode import task as steps
from transcode.clock import seconds, timestamp
from transcode.errors import (
    Bug,
    Busy,
    Cancelled,
    Conflict,
    DiskFull,
    LeaseLost,
    NotFound,
    Permanent,
    ServiceUnavailable,
    ShuttingDown,
    Stopped,
    Superseded,
    TranscodeError,
)
from transcode.lease import Lease, Message
from transcode.ports import Encoder, RenderJob, Rendition, TypeFailure
from transcode.states import Phase
from transcode.submit import Desk, deliver
from transcode.task import ASIDE, ErrorDetail, Output, Task

log = logs.get(__name__)

# Bytes of scratch wanted beyond the input and as much again for its renditions.
_SPARE = 200 * 10**6


@dataclass(frozen=True)
class Tools:
    """What a worker works with."""

    desk: Desk
    encoder: Encoder
    worker: str  # node name, as `celery inspect` shows it
    scratch: Path  # this node's own folder
    stopping: Callable[[], bool]  # whether the node hands its tasks back


@dataclass
class Attempt:
    """What one attempt has done so far: its only mutable state, gone when it ends."""

    lease: Lease
    tools: Tools
    folder: Path = Path()
    committing: bool = False
    stage: str = "download"
    phases: dict[str, float] = field(default_factory=dict)
    plan: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[TypeFailure] = field(default_factory=list)
    source: dict[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        """The record as this attempt knows it."""
        return self.lease.task

    @contextmanager
    def phase(self, name: str, stage: str) -> Iterator[None]:
        """Time a part of the work and remember where we are, for the error details."""
        self.stage, began = stage, time.monotonic()
        self.lease.tell(phase=name, percent=0.0)
        try:
            yield
        finally:
            self.phases[name] = round(self.phases.get(name, 0.0) + time.monotonic() - began, 3)


def run(task_id: str, message: Message, tools: Tools) -> None:
    """Make one attempt at a task.

    Raises:
        Busy: the message came too early, or the task is not ours any more; it must come back later.
    """
    desk = tools.desk
    try:
        task = _claim(task_id, tools)
    except (Conflict, NotFound) as exc:
        log.info("Message without work", task_id=task_id, reason=str(exc))
        return
    with logs.bound(task_id=task_id, attempt=task.attempts):
        log.info("Task received", input_key=task.input_key, types=list(task.transcode_types))
        lease = Lease(desk.store, task, message, desk.clock, desk.settings.lease, tools.stopping)
        attempt = Attempt(lease, tools)
        with lease:
            error = _outcome(attempt)
        if error is None:
            _publish(attempt)
        else:
            _end(attempt, error)


def _claim(task_id: str, tools: Tools) -> Task:
    owner = f"{socket.gethostname()}:{tools.worker}:{uuid.uuid4()}"
    desk = tools.desk
    step = lambda t: steps.claimed(t, owner, tools.worker, desk.clock(), desk.settings.lease)  # noqa: E731
    return ledger.move(desk.store, desk.store.read(task_id), step)


@contextmanager
def _scratch(tools: Tools, task: Task) -> Iterator[Path]:
    folder = tools.scratch / task.task_id / str(task.epoch)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder.parent, ignore_errors=True)


def _outcome(attempt: Attempt) -> TranscodeError | None:
    """Do the work up to the commit; None when it is committed, else why not."""
    try:
        with _scratch(attempt.tools, attempt.task) as attempt.folder:
            _make(attempt)
        _commit(attempt)
    except Exception as exc:
        error = _understood(exc)
        if attempt.committing and isinstance(error, ServiceUnavailable):
            # The commit may have landed: nothing may be thrown away. The lease decides what comes next.
            return LeaseLost(f"The commit got no answer: {error}")
        _throw_away(attempt)
        return error
    return None


def _understood(exc: Exception) -> TranscodeError:
    """Any exception as one of ours; what we did not foresee is a bug, and its trace must be seen."""
    if isinstance(exc, TranscodeError):
        return exc
    if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("The worker's scratch disk is full.")
    return _bug(exc)


def _bug(exc: Exception) -> Bug:
    log.exception("Unforeseen error")
    return Bug(f"An unforeseen error ({type(exc).__name__}); the worker's log has its trace.")


def _make(attempt: Attempt) -> None:
    """Fetch, probe, render; each rendition's parts are sent as soon as it is verified."""
    tools, task = attempt.tools, attempt.task
    presets = tools.desk.presets.pick(task.missing_types)
    path = _fetch(attempt)
    with attempt.phase("probe", "transcode"):
        source = tools.encoder.probe(path)
    attempt.source = source.facts()
    folder = attempt.folder / "out"
    folder.mkdir()
    last = task.attempts >= task.max_retries
    job = RenderJob(path, folder, source, presets, attempt.lease, separately=last, phases=attempt.phases)
    attempt.stage = "transcode"
    attempt.lease.tell(phase="encode", percent=0.0)
    log.info("Transcode started", **attempt.source)
    for made in tools.encoder.render(job):
        if isinstance(made, TypeFailure):
            log.warning("Type failed", type=made.type, error=str(made.error))
            attempt.failures.append(made)
        else:
            _send(attempt, made)
    log.info("Transcode completed", seconds=attempt.phases)
    if attempt.failures and not attempt.plan:
        raise attempt.failures[0].error


def _fetch(attempt: Attempt) -> Path:
    task, desk = attempt.task, attempt.tools.desk
    size = task.input_version.size
    free = shutil.disk_usage(attempt.folder).free
    if free < 2 * size + _SPARE:
        raise DiskFull(f"{free} bytes of scratch are free; an input of {size} bytes needs {2 * size + _SPARE}.")
    path = attempt.folder / "input"
    with attempt.phase("fetch", "download"):
        desk.storage.fetch(
            task.input_bucket, task.input_key, task.input_version, path, lambda _: attempt.lease.check()
        )  # fmt: skip
    return path


def _send(attempt: Attempt, made: Rendition) -> None:
    task, desk = attempt.task, attempt.tools.desk
    key = desk.settings.key_template.key(
        input_bucket=task.input_bucket, input_key=task.input_key, type=made.type, ext=made.path.suffix[1:],
        task_id=task.task_id, date=task.date_partition,
    )  # fmt: skip
    with attempt.phase("upload", "upload"):
        upload_id, tags = desk.storage.send_parts(
            task.output_bucket, key, made.path, made.content_type, lambda _: attempt.lease.check()
        )
    attempt.stage = "transcode"
    made.path.unlink()
    output = Output(
        key=key, bytes=made.bytes, codec=made.codec, width=made.width, height=made.height, duration=made.duration,
        bitrate=made.bitrate, audio_codec=made.audio_codec, warning=made.warning,
    )  # fmt: skip
    attempt.plan[made.type] = publish.planned(upload_id, tags, output)
    attempt.lease.tell(done=sorted(attempt.plan))


def _commit(attempt: Attempt) -> None:
    """The one write that decides: this attempt's outputs are the task's."""
    attempt.lease.check()
    attempt.stage = "upload"
    task, desk = attempt.task, attempt.tools.desk
    _leave_to_newer(attempt)
    attempt.committing = True
    plan = {"types": attempt.plan, "failed": [f.type for f in attempt.failures]}
    desk.store.merge_aside(task.task_id, publish.plan_name(task.epoch), plan)
    facts = {"source": attempt.source, "phases": attempt.phases | {"waiting": _waited(task)}} | _failed_types(attempt)
    try:
        attempt.lease.move(lambda t: steps.committed(t, task.owner, desk.clock(), desk.settings.lease, **facts))
    except LeaseLost:
        # Perhaps our own commit landed, its answer was lost, and the reconciler has moved on already.
        if desk.store.read(task.task_id).winner != task.owner:
            raise


def _waited(task: Task) -> float:
    return round(max(0.0, seconds(task.started_at) - seconds(task.created_at)), 3)


def _leave_to_newer(attempt: Attempt) -> None:
    """Claim the output keys; what a newer task of the same keys owns is left to it."""
    task, desk = attempt.task, attempt.tools.desk
    lost = [
        name for name, entry in attempt.plan.items()
        if not desk.store.own_key(task.output_bucket, entry["output"]["key"], task.task_id, task.output_order)
    ]  # fmt: skip
    if lost and len(lost) == len(attempt.plan):
        raise Superseded("A newer upload or task of the same key has taken its outputs over.")
    for name in lost:
        entry = attempt.plan[name]
        desk.storage.abort(task.output_bucket, entry["output"]["key"], entry["upload_id"])
        entry |= {"upload_id": "", "tags": []}
        entry["output"]["warning"] = "A newer task owns this key; its rendition stands."


def _failed_types(attempt: Attempt) -> dict[str, Any]:
    if not attempt.failures:
        return {"error_code": "", "error_message": ""}
    names = ", ".join(f.type for f in attempt.failures)
    first = attempt.failures[0].error
    details = [_detail(attempt, f.type, f.error) for f in attempt.failures]
    return {
        "error_code": first.code,
        "error_message": f"These types could not be made: {names}. {first}",
        "error_details": (*attempt.task.error_details, *details),
    }


def _detail(attempt: Attempt, name: str, error: TranscodeError) -> ErrorDetail:
    return ErrorDetail(
        transcode_type=name, stage=attempt.stage, error=str(error), code=error.code,
        command=error.command[: steps.OUTPUT_KEPT], output=error.output[-steps.OUTPUT_KEPT :],
        timestamp=timestamp(attempt.tools.desk.clock()),
    )  # fmt: skip


def _throw_away(attempt: Attempt) -> None:
    """Abort the uploads of an attempt that will not publish."""
    for entry in attempt.plan.values():
        try:
            attempt.tools.desk.storage.abort(attempt.task.output_bucket, entry["output"]["key"], entry["upload_id"])
        except TranscodeError as exc:
            log.warning("Upload left behind; the bucket's lifecycle rule removes it", error=str(exc))


def _publish(attempt: Attempt) -> None:
    desk = attempt.tools.desk
    task = desk.store.read(attempt.task.task_id)
    if task.phase is Phase.PUBLISHING:
        task = publish.roll_forward(desk.store, desk.storage, task, desk.clock)
    _remember(attempt, task.error_code or "completed", task.error_message)
    log.info("Task failed" if task.error_code else "Task completed", status=task.status, code=task.error_code)


def _end(attempt: Attempt, error: TranscodeError) -> None:
    """Write how the attempt ended, if it may still write.

    Raises:
        Busy: it may not; the message is left to whoever holds the task.
    """
    event = "Task stopped" if isinstance(error, Stopped) else "Task failed"
    log.warning(event, code=error.code, error=str(error), stage=attempt.stage, output=error.output[-500:])
    _remember(attempt, error.code, str(error))
    desk = attempt.tools.desk
    try:
        task = ledger.move(desk.store, attempt.task, lambda t: _ended(attempt, t, error))
    except LeaseLost as lost:
        raise Busy(str(lost), desk.settings.lease) from error
    if not task.over:
        deliver(desk, task, max(0.0, task.not_before - desk.clock()))


def _ended(attempt: Attempt, task: Task, error: TranscodeError) -> Task:
    """The step that this error leads to. Only here is it decided whether a task is tried again."""
    owner, now = attempt.task.owner, attempt.tools.desk.clock()
    if isinstance(error, LeaseLost):
        raise error
    if isinstance(error, Cancelled | Superseded):
        return steps.cancelled(task, owner, now, error)
    if isinstance(error, ShuttingDown):
        return steps.handed_back(task, owner, now, 0.0, counted=False, error=error)
    if isinstance(error, Permanent | Stopped) or task.attempts >= task.max_retries:
        details = tuple(_detail(attempt, name, error) for name in task.missing_types)
        return steps.failed(task, owner, now, error, details)
    return steps.handed_back(task, owner, now, retries.delay(error, task.attempts), counted=True, error=error)


def _remember(attempt: Attempt, code: str, sentence: str) -> None:
    """Keep the attempt's story in the history beside the record."""
    task, desk = attempt.task, attempt.tools.desk
    story = {
        "attempt": task.attempts, "worker": task.worker, "started_at": task.started_at,
        "ended_at": timestamp(desk.clock()), "code": code, "error": sentence, "stage": attempt.stage,
        "phases": attempt.phases,
    }  # fmt: skip
    try:
        desk.store.merge_aside(task.task_id, ASIDE.HISTORY, {f"{task.epoch:06d}": story})
    except TranscodeError as exc:
        log.warning("History not written", error=str(exc))
