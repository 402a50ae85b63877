"""`/api/tasks`: the list, one task with everything known of it, retry and cancel."""

from typing import Any

from apiflask import APIBlueprint

from transcode import callback, submit
from transcode.ports import Query
from transcode.states import Status
from transcode.task import ASIDE, Task
from webapp import trail
from webapp.api.schemas import (
    AttemptOut,
    DeliveryOut,
    LiveOut,
    OutputLink,
    OutputOut,
    TaskChanged,
    TaskDetail,
    TaskList,
    TaskOut,
    TaskPath,
    TaskQuery,
)
from webapp.deps import deps

blueprint = APIBlueprint("tasks", __name__, tag="Tasks", url_prefix="/api/tasks")

# Seconds an address of a rendition is good for: enough to start a download, too short to be passed around.
ADDRESS_LIFE = 900


@blueprint.get("")
@blueprint.input(TaskQuery, location="query")
@blueprint.output(TaskList)
@blueprint.doc(responses={400: "A cursor that is none of ours", 503: "The table does not answer"})
def list_tasks(query_data: TaskQuery) -> TaskList:
    """List tasks, newest first.

    Without a filter the list goes back 31 days. A query for `pending` also finds `retrying` tasks of the
    predecessor.
    """
    query = Query(query_data.date or "", query_data.status, query_data.limit, query_data.cursor)
    page = deps().store.page(query)
    tasks = tuple(TaskOut.model_validate(task) for task in page.tasks)
    return TaskList(tasks=tasks, count=len(tasks), limit=query.limit, next_cursor=page.next_cursor or None)


@blueprint.get("/<task_id>")
@blueprint.input(TaskPath, location="path")
@blueprint.output(TaskDetail)
@blueprint.doc(responses={404: "No such task", 503: "The table does not answer"})
def get_task(task_id: str, path_data: TaskPath) -> TaskDetail:  # noqa: ARG001
    """Tell everything known of a task."""
    task = deps().store.read(task_id)
    shown = TaskOut.model_validate(task).model_dump() | {
        "outputs": {name: _link(task, output) for name, output in task.outputs.items()},
        "live": _live(task),
        "history": _history(task_id),
        "callback_delivery": _delivery(task),
    }
    return TaskDetail.model_validate(shown)


@blueprint.post("/<task_id>/retry")
@blueprint.input(TaskPath, location="path")
@blueprint.output(TaskChanged, description="The task is pending again.")
@blueprint.doc(responses={404: "No such task", 409: "Neither failed nor cancelled", 503: "The table does not answer"})
def retry_task(task_id: str, path_data: TaskPath) -> TaskChanged:  # noqa: ARG001
    """Start a failed or cancelled task again. What it has published already is kept and not made again."""
    task = submit.retry(deps().desk, task_id)
    trail.changed("retry", task)
    return _changed("The task will be tried again.", task)


@blueprint.post("/<task_id>/cancel")
@blueprint.input(TaskPath, location="path")
@blueprint.output(TaskChanged, description="The task is cancelled, or will be as soon as its worker hears of it.")
@blueprint.doc(responses={404: "No such task", 409: "Over, or being published", 503: "The table does not answer"})
def cancel_task(task_id: str, path_data: TaskPath) -> TaskChanged:  # noqa: ARG001
    """Cancel a task: at once while it is pending, within seconds while it is processing."""
    task = submit.cancel(deps().desk, task_id)
    trail.changed("cancel", task)
    return _changed("The task was cancelled." if task.over else "The task is being cancelled.", task)


def _changed(message: str, task: Task) -> TaskChanged:
    return TaskChanged(message=message, task_id=task.task_id, task=TaskOut.model_validate(task))


def _link(task: Task, output: Any) -> OutputLink:
    url = deps().storage.address(task.output_bucket, output.key, ADDRESS_LIFE)
    return OutputLink(url=url, **OutputOut.model_validate(output).model_dump())


def _live(task: Task) -> LiveOut | None:
    """What the running attempt says of itself; what an earlier one said is no news."""
    if task.status is not Status.PROCESSING:
        return None
    told = deps().store.read_aside(task.task_id, ASIDE.LIVE)
    return LiveOut.model_validate(told) if told.get("epoch") == task.epoch else None


def _delivery(task: Task) -> DeliveryOut | None:
    found = callback.of(deps().store, task)
    return DeliveryOut.model_validate(found) if found else None


def _history(task_id: str) -> list[AttemptOut]:
    """The attempts, which the history keeps by epoch in fixed width: text order is time order."""
    told = deps().store.read_aside(task_id, ASIDE.HISTORY)
    return [AttemptOut.model_validate(story) for _, story in sorted(told.items()) if isinstance(story, dict)]
