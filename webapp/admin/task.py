"""The page of one task: how far it is, what was tried, what came out, what went wrong."""

import json
import shlex
from typing import Any

from flask import Blueprint, Response, request

from transcode import callback
from transcode.states import Priority, Status
from transcode.task import ASIDE, Task
from webapp import auth
from webapp.admin import skin
from webapp.deps import deps

blueprint = Blueprint("task", __name__, url_prefix="/tasks")


@blueprint.get("/<uuid:task_id>")
def show(task_id: object) -> Response:
    """Show everything known of a task."""
    task = deps().store.read(str(task_id))
    errors = sorted(task.error_details, key=lambda one: one.timestamp, reverse=True)
    return skin.page(
        "task", task=task, live=_live(task), history=_history(task), errors=errors,
        delivery=callback.of(deps().store, task), curl=curl(task),
    )  # fmt: skip


def _live(task: Task) -> dict[str, Any]:
    """What the running attempt says of itself; what an earlier one said is no news."""
    if task.status is not Status.PROCESSING:
        return {}
    told = deps().store.read_aside(task.task_id, ASIDE.LIVE)
    return told if told.get("epoch") == task.epoch else {}


def _history(task: Task) -> list[dict[str, Any]]:
    """The attempts that have ended, oldest first: their names have fixed width."""
    told = deps().store.read_aside(task.task_id, ASIDE.HISTORY)
    return [story for _, story in sorted(told.items()) if isinstance(story, dict)]


def curl(task: Task) -> str:
    """The command that asks for the same again."""
    body: dict[str, Any] = {
        "input_bucket": task.input_bucket, "input_key": task.input_key, "transcode_types": list(task.transcode_types),
    }  # fmt: skip
    wishes = {"output_prefix": task.output_prefix, "metadata": task.metadata, "callback": task.callback}
    body |= {name: value for name, value in wishes.items() if value}
    if task.priority is not Priority.NORMAL:
        body["priority"] = task.priority
    words = ["curl", f"{request.host_url}api/queue/add", "-H", "Content-Type: application/json"]
    if not auth.is_open(deps().settings):
        words += ["-H", f"{auth.HEADER}: YOUR_KEY"]
    return shlex.join((*words, "-d", json.dumps(body, ensure_ascii=False)))
