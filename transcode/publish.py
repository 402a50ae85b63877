"""How renditions become visible, all or nothing: parts first, then one deciding write, then a roll-forward.

Before the commit, outputs are unfinished multipart uploads that no reader sees. The commit names the
winning attempt; its plan, kept beside the record, names the uploads. From there a worker or any
reconciler completes the uploads and closes the record, as often as it takes.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from transcode import ledger, logs, outputs, steps
from transcode.attempt import Attempt
from transcode.clock import seconds
from transcode.errors import Conflict, LeaseLost, Superseded, TranscodeError
from transcode.ports import ObjectStorage, Rendition
from transcode.states import Phase
from transcode.submit import Desk
from transcode.task import ASIDE, Output, Task
from transcode.turns import Shared

log = logs.get(__name__)

# Renditions that are sent, looked up or completed at once: mostly it is the answers of S3 that take time.
_AT_ONCE = 4


def plan_name(epoch: int) -> str:
    """The side item with the plan of the attempt of that epoch."""
    return f"{ASIDE.PLAN}{epoch}"


def send(attempt: Attempt, made: Sequence[Rendition]) -> None:
    """Send the renditions' parts, several at once, and note them in the plan; their files are done with.

    Raises:
        ServiceUnavailable, Stopped: one could not be sent; the others are noted, so that they can be thrown away.
    """
    with attempt.phase("upload", "upload"), attempt.turn(Shared.UP), ThreadPoolExecutor(_AT_ONCE, "send") as pool:
        sent = {pool.submit(_sent, attempt, one): one.type for one in made}
        # In their order, which is the one that people see them in.
        for future, type_ in sent.items():
            if not future.exception():
                attempt.plan[type_] = future.result()
                attempt.lease.tell(done=sorted(attempt.plan))
        for future in sent:
            future.result()


def _sent(attempt: Attempt, made: Rendition) -> dict[str, Any]:
    """What the plan says of a rendition whose parts are there."""
    task, desk = attempt.task, attempt.desk
    key = outputs.key(desk.settings, task, made.type, made.path.suffix[1:])
    upload_id, tags = desk.storage.send_parts(
        task.output_bucket, key, made.path, made.content_type, lambda _: attempt.lease.check(), task.output_order
    )
    made.path.unlink()
    output = Output(
        key=key, bytes=made.bytes, codec=made.codec, width=made.width, height=made.height, duration=made.duration,
        bitrate=made.bitrate, audio_codec=made.audio_codec, lane=made.lane, warning=made.warning,
    )  # fmt: skip
    return {"upload_id": upload_id, "tags": tags, "output": output.model_dump()}


def throw_away(attempt: Attempt) -> None:
    """Abort the uploads of an attempt that will not publish."""
    for entry in attempt.plan.values():
        try:
            _abort(attempt.desk.storage, attempt.task, entry)
        except TranscodeError as exc:
            log.warning("Upload left behind; the bucket's lifecycle rule removes it", error=str(exc))


def _abort(storage: ObjectStorage, task: Task, entry: dict[str, Any]) -> None:
    # Without an id there is none: S3 might take the call for the deletion of the object itself.
    if entry["upload_id"]:
        storage.abort(task.output_bucket, entry["output"]["key"], entry["upload_id"])


def commit(attempt: Attempt) -> None:
    """The one write that decides: this attempt's outputs are the task's.

    Raises:
        Superseded: newer tasks own all the keys.
        Cancelled, LeaseLost: the attempt may not commit. (A worker that stops may: all is made.)
        ServiceUnavailable: when `attempt.committing` is set, the write may have been applied.
    """
    attempt.stage = "upload"
    task, desk = attempt.task, attempt.desk
    _leave_to_newer(attempt)
    desk.store.merge_aside(task.task_id, plan_name(task.epoch), {"types": attempt.plan})
    attempt.committing = True
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
    """What a newer task has published under the same key is left to it, before anything is decided.

    What is published later than this look is found by `_show`, which cannot be overtaken.
    """
    task, storage = attempt.task, attempt.desk.storage
    look = lambda entry: storage.order(task.output_bucket, entry["output"]["key"])  # noqa: E731
    with ThreadPoolExecutor(_AT_ONCE, "look") as pool:
        standing = dict(zip(attempt.plan, pool.map(look, attempt.plan.values()), strict=True))
    lost = [name for name, order in standing.items() if order > task.output_order]
    if lost and len(lost) == len(attempt.plan):
        raise Superseded("A newer upload or task of the same key has published its outputs already.")
    for name in lost:
        entry = attempt.plan[name]
        _abort(storage, task, entry)
        entry |= {"upload_id": "", "tags": []}
        entry["output"]["warning"] = "A newer task's rendition stands under this key."


def _failed_types(attempt: Attempt) -> dict[str, Any]:
    if not attempt.failures:
        return {"error_code": "", "error_message": ""}
    names = ", ".join(f.type for f in attempt.failures)
    first = attempt.failures[0].error
    details = [attempt.detail(f.type, f.error) for f in attempt.failures]
    return {
        "error_code": first.code,
        "error_message": f"These types could not be made: {names}. {first}",
        "error_details": (*attempt.task.error_details, *details),
    }


def roll_forward(desk: Desk, task: Task) -> Task:
    """Make what a committed task has planned visible, then close its record. Harmless when repeated.

    Raises:
        ServiceUnavailable: a part is left; whoever comes next goes on.
    """
    planned = desk.store.read_aside(task.task_id, plan_name(task.epoch))["types"]
    with ThreadPoolExecutor(_AT_ONCE, "show") as pool:
        shown = pool.map(lambda entry: _show(desk.storage, task, entry), planned.values())
        for entry, word in zip(planned.values(), shown, strict=True):
            log.info(word, task_id=task.task_id, key=entry["output"]["key"])
    outputs = {name: Output.model_validate(entry["output"]) for name, entry in planned.items()}
    try:
        return ledger.move(desk, task, lambda t: steps.published(_same(t, task), desk.clock(), outputs))
    except Conflict:
        # Another one was faster with the same plan.
        return desk.store.read(task.task_id)


def _same(found: Task, task: Task) -> Task:
    if found.phase is not Phase.PUBLISHING or found.winner != task.winner:
        raise Conflict("The task has been published.")
    return found


def _show(storage: ObjectStorage, task: Task, entry: dict[str, Any]) -> str:
    """Complete an upload, as far as it is still to be; what has become of it."""
    left = "Output left to a newer task"
    if not entry["upload_id"]:
        return left
    if storage.complete(
        task.output_bucket, entry["output"]["key"], entry["upload_id"], entry["tags"], task.output_order
    ):
        return "Upload completed"
    _abort(storage, task, entry)
    return left
