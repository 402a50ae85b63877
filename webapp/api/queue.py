"""`/api/queue`: what waits, and adding to it."""

from apiflask import APIBlueprint
from flask import Response, jsonify, url_for

from transcode import submit
from transcode.errors import (
    BucketNotAllowed,
    InputEmpty,
    InputNotFound,
    InputTooLarge,
    KeyUnusable,
    TranscodeError,
    UnknownType,
)
from transcode.presets import Presets
from webapp import trail
from webapp.api.schemas import AddIn, Purged, QueueStatus, TaskChanged, TaskOut
from webapp.deps import deps
from webapp.errors import BadField, Refused, problem

blueprint = APIBlueprint("queue", __name__, tag="Queue", url_prefix="/api/queue")

# Which field of the body an error of `submit.add` is about.
_FIELDS: dict[type[TranscodeError], str] = {
    BucketNotAllowed: "input_bucket",
    KeyUnusable: "input_key",
    InputNotFound: "input_key",
    InputEmpty: "input_key",
    InputTooLarge: "input_key",
}


@blueprint.get("/status")
@blueprint.output(QueueStatus)
@blueprint.doc(responses={503: "The queue does not answer"})
def get_status() -> QueueStatus:
    """Tell how many messages wait, are in flight, delayed, or in the dead-letter queue."""
    counts = deps().counts()
    return QueueStatus(
        available_messages=counts.waiting,
        in_flight_messages=counts.in_flight,
        queue_url=deps().settings.sqs_queue_url,
        waiting=counts.waiting,
        in_flight=counts.in_flight,
        delayed=counts.delayed,
        dead_letter=counts.dead,
    )


@blueprint.post("/purge")
@blueprint.output(Purged, status_code=202, description="The waiting tasks are being cancelled.")
@blueprint.doc(responses={503: "The table does not answer"})
def purge_queue() -> tuple[Purged, int]:
    """Cancel every task that waits now, however many there are; running ones go on.

    Answers at once: the tasks become `cancelled` within moments, and their messages find no work.
    """
    submit.purge(deps().desk)
    trail.changed("purge")
    return Purged(message="The waiting tasks are being cancelled."), 202


@blueprint.post("/add")
@blueprint.input(AddIn, location="json")
@blueprint.output(TaskChanged, description="The task was made.")
@blueprint.doc(responses={404: "No such object", 502: "The object may not be read", 503: "A dependency is down"})
def add_task(json_data: AddIn) -> Response:
    """Make a task for an object of an input bucket.

    The object must be there; it is looked at before the task is made. Answers 200 and not 201 or 202:
    existing clients compare with 200. `Location` has the task's address.
    """
    _check_types(json_data.transcode_types, deps().presets)
    try:
        task = submit.add(deps().desk, json_data.input_bucket, json_data.input_key, json_data.transcode_types)
    except tuple(_FIELDS) as error:
        raise Refused(problem(error, (_bad_field(error),))) from error
    trail.changed("add", task)
    answer = TaskChanged(message="The task was added.", task_id=task.task_id, task=TaskOut.model_validate(task))
    response = jsonify(answer.model_dump(mode="json"))
    response.headers["Location"] = url_for("tasks.get_task", task_id=task.task_id)
    return response


def _check_types(types: tuple[str, ...], presets: Presets) -> None:
    """Refuse unknown types, every one of them named at its place."""
    try:
        presets.pick(types)
    except UnknownType as error:
        places = [place for place, name in enumerate(types) if name not in presets.names]
        fields = (
            BadField(("body", "transcode_types", p), "No transcode type has this name.", error.code) for p in places
        )
        raise Refused(problem(error, tuple(fields))) from error


def _bad_field(error: TranscodeError) -> BadField:
    return BadField(("body", _FIELDS[type(error)]), str(error), error.code)
