"""`/api/queue`: what waits, and adding to it. What may be added is in `adding`, many at once in `bulk`."""

from collections.abc import Sequence

from apiflask import APIBlueprint
from flask import Response, g, jsonify, url_for

from transcode import browse, submit
from transcode.errors import (
    BucketNotAllowed,
    IdempotencyKeyReused,
    InputEmpty,
    InputNotFound,
    InputTooLarge,
    KeyUnusable,
    PrefixUnusable,
    TranscodeError,
    UnknownCallback,
    UnknownType,
)
from transcode.events import unusable
from transcode.presets import Presets
from transcode.task import Task
from webapp import trail
from webapp.api import bulk
from webapp.api.adding import MOST_KEYS, Added, AddHeaders, AddIn, AddItems, AddOne, AddPrefix
from webapp.api.bulk import Order
from webapp.api.schemas import Purged, QueueStatus, TaskChanged, TaskOut
from webapp.deps import deps
from webapp.errors import BadField, Refused, problem

blueprint = APIBlueprint("queue", __name__, tag="Queue", url_prefix="/api/queue")

# What an error of `submit.add` is about.
_FIELDS: dict[type[TranscodeError], tuple[str, str]] = {
    BucketNotAllowed: ("body", "input_bucket"),
    KeyUnusable: ("body", "input_key"),
    InputNotFound: ("body", "input_key"),
    InputEmpty: ("body", "input_key"),
    InputTooLarge: ("body", "input_key"),
    PrefixUnusable: ("body", "output_prefix"),
    UnknownCallback: ("body", "callback"),
    IdempotencyKeyReused: ("header", "Idempotency-Key"),
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
@blueprint.input(AddHeaders, location="headers")
@blueprint.input(AddIn, location="json")
@blueprint.output(Added, description="The task was made; or, for several objects, what became of each.")
@blueprint.doc(responses={404: "No such object", 502: "The object may not be read", 503: "A dependency is down"})
def add_task(json_data: AddIn, headers_data: AddHeaders) -> Response | Added:
    """Make a task for an object of an input bucket, for several, or for all videos under a prefix.

    The object must be there; it is looked at before the task is made. Answers 200 and not 201 or 202:
    existing clients compare with 200. `Location` has the task's address. Several objects are answered one by
    one, also with 200: one that is refused leaves the others alone.
    """
    words = (g.caller, headers_data.idempotency_key) if headers_data.idempotency_key else ()
    if isinstance(json_data.root, AddItems):
        asked = json_data.root.items
        return _add_many([Order(ask, words and (*words, f"item {n}")) for n, ask in enumerate(asked)])
    if isinstance(json_data.root, AddPrefix):
        return _add_prefix(json_data.root, words)
    return _add_one(Order(json_data.root, words))


def _add_one(order: Order) -> Response:
    _check_types(order.ask.transcode_types, deps().presets)
    try:
        task = order.make(deps().desk)
    except tuple(_FIELDS) as error:
        raise Refused(problem(error, (_bad_field(error),))) from error
    trail.changed("add", task)
    answer = TaskChanged(message="The task was added.", task_id=task.task_id, task=TaskOut.model_validate(task))
    response = jsonify(answer.model_dump(mode="json"))
    response.headers["Location"] = url_for("tasks.get_task", task_id=task.task_id)
    return response


def _add_prefix(ask: AddPrefix, words: tuple[str, ...]) -> Added:
    _check_types(ask.transcode_types, deps().presets)
    found, wishes = deps(), ask.model_dump(exclude={"input_prefix", "after"}, exclude_unset=True)
    try:
        submit.check_bucket(found.settings, ask.input_bucket)
    except BucketNotAllowed as error:
        raise Refused(problem(error, (_bad_field(error),))) from error
    keys, next_after = browse.videos(
        found.storage, found.settings, ask.input_bucket, ask.input_prefix, ask.after, MOST_KEYS
    )
    # Under one idempotency key an object is told by its key: a new upload between two calls shifts nothing.
    asked = [AddOne.model_validate(wishes | {"input_key": key}) for key in keys if not unusable(ask.input_bucket, key)]
    return _add_many([Order(one, words and (*words, f"key {one.input_key}")) for one in asked], next_after)


def _add_many(orders: Sequence[Order], next_after: str = "") -> Added:
    made = bulk.make(deps().desk, orders)
    for one in made:
        if isinstance(one, Task):
            trail.changed("add", one)
    return Added(bulk.told(orders, made, next_after))


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
    return BadField(_FIELDS[type(error)], str(error), error.code)
