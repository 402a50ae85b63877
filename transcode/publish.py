"""The publishing of a committed task: a roll-forward that its worker or any reconciler may do and repeat.

Before the commit, outputs are unfinished multipart uploads that no reader sees. The commit names the
winning attempt; its plan, kept beside the record, names the uploads. From there only this module acts:
it completes the uploads, then closes the record.
"""

from typing import Any

from transcode import ledger, logs
from transcode import task as steps
from transcode.clock import Clock
from transcode.errors import Conflict
from transcode.ports import ObjectStorage, TaskStore
from transcode.states import Phase
from transcode.task import ASIDE, Output, Task

log = logs.get(__name__)


def plan_name(epoch: int) -> str:
    """The side item with the plan of the attempt of that epoch."""
    return f"{ASIDE.PLAN}{epoch}"


def planned(upload_id: str, tags: list[str], output: Output) -> dict[str, Any]:
    """One type's entry of a plan. Without an upload id there is nothing to complete."""
    return {"upload_id": upload_id, "tags": tags, "output": output.model_dump()}


def roll_forward(store: TaskStore, storage: ObjectStorage, task: Task, clock: Clock) -> Task:
    """Make what a committed task has planned visible, then close its record. Harmless when repeated.

    Raises:
        ServiceUnavailable: a part is left; whoever comes next goes on.
    """
    plan = store.read_aside(task.task_id, plan_name(task.epoch))
    outputs = {}
    for name, entry in plan["types"].items():
        outputs[name] = Output.model_validate(entry["output"])
        if entry["upload_id"]:
            _show(store, storage, task, outputs[name].key, entry)
    try:
        return ledger.move(store, task, lambda t: steps.published(_same(t, task), clock(), outputs))
    except Conflict:
        # Another one was faster with the same plan.
        return store.read(task.task_id)


def _same(found: Task, task: Task) -> Task:
    if found.phase is not Phase.PUBLISHING or found.winner != task.winner:
        raise Conflict("The task has been published.")
    return found


def _show(store: TaskStore, storage: ObjectStorage, task: Task, key: str, entry: dict[str, Any]) -> None:
    if store.own_key(task.output_bucket, key, task.task_id, task.output_order):
        storage.complete(task.output_bucket, key, entry["upload_id"], entry["tags"])
        log.info("Upload completed", task_id=task.task_id, key=key)
    else:
        storage.abort(task.output_bucket, key, entry["upload_id"])
        log.info("Output left to a newer task", task_id=task.task_id, key=key)
