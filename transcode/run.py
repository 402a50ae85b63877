"""Step two: a task id becomes outputs and a closed record. One attempt, from claim to verdict.

What the message has to do afterwards is told by how `run` ends: it returns (the message is done with) or
raises `Busy` (leave it, it comes back). Whether a task is tried again is decided here, record and message
together, never by Celery.
"""

import errno
import glob
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from transcode import ledger, logs, metrics, publish, retries, steps
from transcode.attempt import Attempt, Tools
from transcode.clock import timestamp
from transcode.errors import (
    Bug,
    Busy,
    Cancelled,
    Conflict,
    DeviceFault,
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
from transcode.ffmpeg import nvml
from transcode.lease import Lease, Message
from transcode.ports import RenderJob, TypeFailure
from transcode.states import Phase, Status
from transcode.submit import deliver
from transcode.task import ASIDE, Task
from transcode.turns import Shared

log = logs.get(__name__)

# The file in an attempt's folder that names its process.
_PID = "pid"
# Bytes of scratch wanted beyond the input and as much again for its renditions.
_SPARE = 200 * 10**6


def run(task_id: str, message: Message, tools: Tools) -> None:
    """Make one attempt at a task.

    Raises:
        Busy: the message came too early, or the task is not ours any more; it must come back later.
        ServiceUnavailable: the store did not answer; the message must come back, the lease decides the rest.
    """
    desk = tools.desk
    try:
        task = _claim(task_id, tools)
    except (Conflict, NotFound) as exc:
        log.info("Message without work", task_id=task_id, reason=str(exc))
        return
    where = {"worker": tools.worker, "gpu": nvml.wanted() or "none"}
    with logs.bound(task_id=task_id, attempt=task.attempts, **where):
        log.info("Task received", input_key=task.input_key, types=list(task.transcode_types))
        lease = Lease(desk, task, message, desk.settings.lease, tools.stopping)
        attempt = Attempt(lease, tools)
        with lease:
            error = _outcome(attempt)
        if error is None:
            _close(attempt)
        else:
            _give_up(attempt, error)


def _claim(task_id: str, tools: Tools) -> Task:
    owner = f"{socket.gethostname()}:{tools.worker}:{uuid.uuid4()}"
    desk = tools.desk
    step = lambda t: steps.claimed(t, owner, tools.worker, desk.clock(), desk.settings.lease)  # noqa: E731
    return ledger.move(desk, desk.store.read(task_id), step)


def _outcome(attempt: Attempt) -> TranscodeError | None:
    """Do the work up to the commit; None when it is committed, else why not."""
    try:
        with _scratch(attempt.tools, attempt.task) as attempt.folder:
            _make(attempt)
        publish.commit(attempt)
    except Exception as exc:
        error = _understood(exc)
        if attempt.committing and isinstance(error, ServiceUnavailable):
            # The commit may have landed: nothing may be thrown away. The lease decides what comes next.
            return LeaseLost(f"The commit got no answer: {error}")
        publish.throw_away(attempt)
        return error
    return None


@contextmanager
def _scratch(tools: Tools, task: Task) -> Iterator[Path]:
    folder = tools.scratch / task.task_id / str(task.epoch)
    shutil.rmtree(folder, ignore_errors=True)
    _clear(tools.scratch)
    folder.mkdir(parents=True)
    (folder / _PID).write_text(str(os.getpid()))
    try:
        yield folder
    finally:
        # Never the task's whole folder: an attempt that took over may be at work in it.
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            folder.parent.rmdir()


def _clear(scratch: Path) -> None:
    """Remove what killed processes of this node have left: films of many gigabytes, for as long as the node lives."""
    for name in glob.glob(f"*/*/{_PID}", root_dir=scratch):  # noqa: PTH207  Path.glob fails where a folder vanishes
        note = scratch / name
        with suppress(OSError, ValueError):
            if not Path("/proc", str(int(note.read_text()))).exists():
                shutil.rmtree(note.parent, ignore_errors=True)
                note.parent.parent.rmdir()


def _understood(exc: Exception) -> TranscodeError:
    """Any exception as one of ours; what we did not foresee is a bug, and its trace must be seen."""
    if isinstance(exc, TranscodeError):
        return exc
    if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("The worker's scratch disk is full.")
    log.exception("Unforeseen error")
    return Bug(f"An unforeseen error ({type(exc).__name__}); the worker's log has its trace.")


def _make(attempt: Attempt) -> None:
    """Fetch, probe, render, send the parts of all renditions."""
    tools, task = attempt.tools, attempt.task
    presets = tools.desk.presets.pick(task.missing_types)
    path = _fetch(attempt)
    with attempt.phase("probe", "transcode"):
        source = tools.encoder.probe(path)
    attempt.source = source.facts()
    folder = attempt.folder / "out"
    folder.mkdir()
    last = task.attempts >= task.max_retries
    job = RenderJob(
        path, folder, source, presets, attempt,
        separately=last, cpu=lambda: attempt.turn(Shared.CPU), phases=attempt.phases,
    )  # fmt: skip
    attempt.lease.tell(percent=0.0)
    attempt.show("encode")
    log.info("Transcode started", **attempt.source)
    made = []
    for one in tools.encoder.render(job):
        if isinstance(one, TypeFailure):
            log.warning("Type failed", type=one.type, error=str(one.error))
            attempt.failures.append(one)
        else:
            made.append(one)
    if attempt.failures and not made:
        raise attempt.failures[0].error
    publish.send(attempt, made)
    log.info("Transcode completed", seconds=attempt.phases)


def _fetch(attempt: Attempt) -> Path:
    task = attempt.task
    size = task.input_version.size
    free = shutil.disk_usage(attempt.folder).free
    if free < 2 * size + _SPARE:
        raise DiskFull(f"{free} bytes of scratch are free; an input of {size} bytes needs {2 * size + _SPARE}.")
    path = attempt.folder / "input"
    with attempt.phase("fetch", "download"), attempt.turn(Shared.DOWN):
        attempt.desk.storage.fetch(
            task.input_bucket, task.input_key, task.input_version, path, lambda _: attempt.check()
        )
    return path


def _close(attempt: Attempt) -> None:
    """Publish what is committed; if that breaks off, a reconciler goes on."""
    desk = attempt.desk
    task = desk.store.read(attempt.task.task_id)
    if task.phase is Phase.PUBLISHING:
        task = publish.roll_forward(desk, task)
    code = task.error_code or "completed"
    _remember(attempt, code, task.error_message)
    metrics.attempt_ended(code, task.status, attempt.phases, attempt.source)
    metrics.made(attempt.plan, (failure.type for failure in attempt.failures))
    log.info("Task failed" if task.error_code else "Task completed", status=task.status, code=task.error_code)


def _give_up(attempt: Attempt, error: TranscodeError) -> None:
    """Write how the attempt ended, if it may still write.

    Raises:
        Busy: it may not; the message is left to whoever holds the task.
    """
    event = "Task stopped" if isinstance(error, Stopped) else "Task failed"
    log.warning(event, code=error.code, error=str(error), stage=attempt.stage, output=error.output[-500:])
    _remember(attempt, error.code, str(error))
    desk = attempt.desk
    try:
        task = ledger.move(desk, attempt.task, lambda t: _ended(attempt, t, error))
    except LeaseLost as lost:
        metrics.attempt_ended(error.code, Status.PROCESSING, attempt.phases, attempt.source)
        raise Busy(str(lost), desk.settings.lease) from error
    metrics.attempt_ended(error.code, task.status, attempt.phases, attempt.source)
    if not task.over:
        deliver(desk, task, max(0.0, task.not_before - desk.clock()))


def _ended(attempt: Attempt, task: Task, error: TranscodeError) -> Task:
    """The step that this error leads to. Only here is it decided whether a task is tried again."""
    owner, now = attempt.task.owner, attempt.desk.clock()
    if isinstance(error, LeaseLost):
        raise error
    if isinstance(error, Cancelled | Superseded):
        return steps.cancelled(task, owner, now, error)
    if isinstance(error, ShuttingDown):
        return steps.handed_back(task, owner, now, 0.0, counted=False, error=error)
    if isinstance(error, DeviceFault):
        return steps.device_failed(task, owner, now, retries.delay(error, task.attempts), error)
    if isinstance(error, Permanent) or task.attempts >= task.max_retries:
        details = tuple(attempt.detail(name, error) for name in task.missing_types)
        return steps.failed(task, owner, now, error, details)
    return steps.handed_back(task, owner, now, retries.delay(error, task.attempts), counted=True, error=error)


def _remember(attempt: Attempt, code: str, sentence: str) -> None:
    """Keep the attempt's story in the history beside the record."""
    task, desk = attempt.task, attempt.desk
    story = {
        "attempt": task.attempts, "worker": task.worker, "started_at": task.started_at,
        "ended_at": timestamp(desk.clock()), "code": code, "error": sentence, "stage": attempt.stage,
        "phases": attempt.phases,
    }  # fmt: skip
    try:
        desk.store.merge_aside(task.task_id, ASIDE.HISTORY, {f"{task.epoch:06d}": story})
    except TranscodeError as exc:
        log.warning("History not written", error=str(exc))
