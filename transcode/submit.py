"""Step one: an upload or a request becomes a record, then a message. Also retry and cancel.

Record first, message second. The record says from the start that its message is sent, which saves a write for each
task; if that fails, it is put right, and what a crash in between leaves unsent, `reconcile` takes for a lost message
and sends it minutes later. Telling of the same upload twice makes one task.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from transcode import events, ledger, logs, outputs, steps, targets
from transcode import task as records
from transcode.clock import Clock, timestamp
from transcode.errors import (
    BucketNotAllowed,
    Conflict,
    IdempotencyKeyReused,
    InputEmpty,
    InputTooLarge,
    KeyUnusable,
    NotFound,
    ServiceUnavailable,
    UnknownCallback,
)
from transcode.events import Skipped, Upload
from transcode.ports import Callbacks, ObjectFacts, ObjectStorage, TaskQueue, TaskStore
from transcode.presets import Presets
from transcode.settings import Settings
from transcode.states import Priority
from transcode.task import ASIDE, FARM, InputVersion, Task

log = logs.get(__name__)


@dataclass(frozen=True)
class Wishes:
    """What a caller may want beside the types.

    `task_id` comes from the caller's idempotency key, where there is one: then the same request again, also
    after a lost answer or in another process, finds the task that it made.
    """

    output_prefix: str = ""
    priority: Priority = Priority.NORMAL
    metadata: Mapping[str, str] = field(default_factory=dict)
    callback: str = ""
    task_id: str = ""


NO_WISHES = Wishes()


@dataclass(frozen=True)
class Desk:
    """What a submitter works with."""

    store: TaskStore
    storage: ObjectStorage
    queue: TaskQueue
    callbacks: Callbacks
    presets: Presets
    settings: Settings
    clock: Clock


def accept(desk: Desk, upload: Upload) -> Task | Skipped:
    """Make the task of an uploaded object, or say why it gets none. Twice the same upload is one task.

    Raises:
        ServiceUnavailable: nothing is lost, the event must come again.
    """
    reason = _not_ours(desk.settings, upload)
    if reason:
        return Skipped(reason, upload.key)
    now = desk.clock()
    version = upload.version or timestamp(now)
    task = _new(
        desk, records.upload_id(upload.bucket, upload.key, version), now, upload.bucket, upload.key,
        desk.settings.default_transcode_types,
        InputVersion(version_id=upload.version_id, etag=upload.etag, size=upload.size or 0), upload.order,
    )  # fmt: skip
    return _file(desk, task)


def _not_ours(settings: Settings, upload: Upload) -> str:
    if upload.bucket not in settings.input_bucket:
        return f"bucket {upload.bucket} is not an input bucket"
    if outputs.is_own(settings, upload.bucket, upload.key):
        return "one of our own outputs"
    if not events.is_video(upload.key):
        return "no video by its extension"
    if upload.size == 0:
        return "an empty object"
    if upload.size is not None and upload.size > settings.max_input_bytes:
        return f"an object of {upload.size} bytes; at most {settings.max_input_bytes} are taken"
    return ""


def add(desk: Desk, bucket: str, key: str, types: Sequence[str] | None = None, wishes: Wishes = NO_WISHES) -> Task:
    """Make a task on request, for the object as it is now, with the types of the caller's choice.

    Raises:
        BucketNotAllowed, KeyUnusable, PrefixUnusable, UnknownType, UnknownCallback, InputNotFound, InputEmpty,
            InputTooLarge: as they say.
        IdempotencyKeyReused: the key that gave `wishes.task_id` came before, with another request.
        ServiceUnavailable: no record was made.
    """
    asked = _digest(bucket, key, types, wishes) if wishes.task_id else ""
    known = _known(desk.store, wishes.task_id, asked) if asked else None
    return known or _same(_file(desk, _requested(desk, bucket, key, types, wishes, asked)), asked)


def _digest(bucket: str, key: str, types: Sequence[str] | None, wishes: Wishes) -> str:
    """What was asked for, as it was asked: defaults may be others by the time it comes again."""
    asked = [
        bucket, key, list(types or ()), wishes.output_prefix, wishes.priority, sorted(wishes.metadata.items()),
        *((wishes.callback,) if wishes.callback else ()),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _known(store: TaskStore, task_id: str, asked: str) -> Task | None:
    """The task that this request made before, whatever has become of its object since."""
    try:
        return _same(store.read(task_id), asked)
    except NotFound:
        return None


def _same(task: Task, asked: str) -> Task:
    if asked and task.request_hash != asked:
        raise IdempotencyKeyReused(
            "This idempotency key came before with another request; a new request needs its own."
        )
    return task


def _requested(desk: Desk, bucket: str, key: str, types: Sequence[str] | None, wishes: Wishes, asked: str) -> Task:
    _check_request(desk.settings, bucket, key)
    check_callback(desk.settings, wishes.callback)
    wanted = tuple(dict.fromkeys(types or desk.settings.default_transcode_types))
    presets = desk.presets.pick(wanted)
    found = _usable(desk, bucket, key)
    now = desk.clock()
    version = InputVersion(version_id=found.version_id, etag=found.etag, size=found.size)
    task_id = wishes.task_id or records.new_id(now)
    # A request means the object as it is now: it is newer than every upload so far.
    task = _new(desk, task_id, now, bucket, key, wanted, version, f"{timestamp(now)}#")
    brought = {
        "output_prefix": wishes.output_prefix, "priority": wishes.priority, "metadata": dict(wishes.metadata),
        "callback": wishes.callback or desk.settings.default_callback, "request_hash": asked,
    }  # fmt: skip
    task = task.model_copy(update=brought)
    outputs.check_prefix(desk.settings, task, presets)
    return task


def _usable(desk: Desk, bucket: str, key: str) -> ObjectFacts:
    found = desk.storage.head(bucket, key)
    if found.size == 0:
        raise InputEmpty(f"{bucket}/{key} has no bytes.")
    if found.size > desk.settings.max_input_bytes:
        raise InputTooLarge(
            f"{bucket}/{key} has {found.size} bytes; at most {desk.settings.max_input_bytes} are taken."
        )
    return found


def check_bucket(settings: Settings, bucket: str) -> None:
    """Refuse a bucket that is not an input bucket.

    Raises:
        BucketNotAllowed: it names those that are.
    """
    if bucket not in settings.input_bucket:
        known = ", ".join(settings.input_bucket)
        raise BucketNotAllowed(f"The bucket {bucket!r} is not an input bucket; these are: {known}.")


def check_callback(settings: Settings, name: str) -> None:
    """Refuse a target that the operator has not named; no name is none wanted.

    Raises:
        UnknownCallback: it names those that are.
    """
    known = targets.read(settings.callback_targets, settings.callback_secrets)
    if name and name not in known:
        names = f"these are: {', '.join(known)}" if known else "CALLBACK_TARGETS names none"
        raise UnknownCallback(f"No target of callbacks is called {name!r}; {names}.")


def _check_request(settings: Settings, bucket: str, key: str) -> None:
    check_bucket(settings, bucket)
    reason = events.unusable(bucket, key)
    if reason:
        raise KeyUnusable(f"The input key is {reason}.")
    if outputs.is_own(settings, bucket, key):
        raise KeyUnusable(f"{key!r} lies where the renditions go; it is an output, not an input.")


def _new(
    desk: Desk, task_id: str, now: float, bucket: str, key: str, types: Sequence[str], version: InputVersion, order: str
) -> Task:
    days = desk.settings.record_retention_days
    return records.made(
        task_id, now, sent_at=timestamp(now), send_count=1, input_bucket=bucket, input_key=key,
        output_bucket=desk.settings.output_bucket,
        transcode_types=tuple(types), input_version=version, output_order=order or f"{timestamp(now)}#",
        expires_at=int(now) + days * 86400 if days else 0, callback=desk.settings.default_callback,
    )  # fmt: skip


def _file(desk: Desk, task: Task) -> Task:
    if not desk.store.create(task):
        log.info("Task known already", task_id=task.task_id, input_key=task.input_key)
        return desk.store.read(task.task_id)
    log.info("Task created", task_id=task.task_id, input_key=task.input_key, types=list(task.transcode_types))
    return deliver(desk, task)


def deliver(desk: Desk, task: Task, delay: float = 0.0) -> Task:
    """Send the message of a task that has just begun to wait. What goes wrong here, `reconcile` puts right."""
    try:
        send(desk, task, delay)
    except ServiceUnavailable as exc:
        log.warning("Message not sent, will be", task_id=task.task_id, error=str(exc))
        # A worker that has the task got the message after all; a record that cannot be reached now is left as it is.
        with suppress(Conflict, ServiceUnavailable):
            return ledger.move(desk, task, lambda t: steps.unsent(t, desk.clock()))
    return task


def send(desk: Desk, task: Task, delay: float) -> None:
    """Send a task's message, seen by workers after `delay` seconds.

    Raises:
        ServiceUnavailable: it was not sent, or the answer was lost.
    """
    # By bucket: SQS lets no bucket's flood hold up the others.
    desk.queue.send(task.task_id, delay, urgent=task.priority is Priority.URGENT, group=task.input_bucket)


def retry(desk: Desk, task_id: str) -> Task:
    """Start a new series of attempts for a failed or cancelled task; only what is missing is made.

    Raises:
        NotFound, Conflict: there is no such task, or it is neither failed nor cancelled.
    """
    task = ledger.move(desk, desk.store.read(task_id), lambda t: steps.retried(t, desk.clock()))
    log.info("Task retried", task_id=task_id)
    return deliver(desk, task)


def purge(desk: Desk, *, emptied: bool = False) -> None:
    """Ask for all tasks that wait now to be cancelled. The reconciler does it, however many there are.

    Their messages find no work when they come; nothing else in the queue is touched. `emptied` says that
    the queue itself was emptied too, by `celery purge`: then messages of other tasks may have gone with it.
    """
    now = timestamp(desk.clock())
    desk.store.merge_aside(FARM, ASIDE.PURGE, {"before": now} | ({"emptied": now} if emptied else {}))
    log.info("Purge asked for", before=now)


def cancel(desk: Desk, task_id: str) -> Task:
    """Cancel a task: at once while pending; a processing one ends as soon as its worker hears of it.

    Raises:
        NotFound, Conflict: there is no such task, or it is over or being published.
    """
    task = ledger.move(desk, desk.store.read(task_id), lambda t: steps.cancel_asked(t, desk.clock()))
    if task.cancel_requested:
        # The worker reads this with each progress it writes, long before its next heartbeat.
        # It names the attempt it is meant for, so that one which comes late stops no other.
        desk.store.merge_aside(task_id, ASIDE.LIVE, {"cancel": task.epoch})
    log.info("Task cancelled", task_id=task_id, status=task.status)
    return task
