"""A task record as a DynamoDB item, and back. Only here do numbers become `Decimal`.

Optional attributes without a value are left out of the item. Reading is lenient: records of the predecessor
lack attributes, or hold numbers where we have text; what cannot be understood is left at its default.
"""

import math
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from pydantic import ValidationError

from transcode import logs
from transcode.clock import day
from transcode.task import Task

log = logs.get(__name__)

Item = dict[str, Any]

_TO_ITEM, _FROM_ITEM = TypeSerializer(), TypeDeserializer()
_TEXTS = frozenset(n for n, f in Task.model_fields.items() if f.annotation is str)
# What a record must say for itself: guessing a status could start a task, or hide one.
_ESSENTIAL = frozenset({"task_id", "status"})
_DETAIL = {"transcode_type": "", "stage": "", "error": "", "timestamp": ""}


class Unreadable(ValueError):
    """An item that is no task record."""


def attributes(task: Task) -> Item:
    """The record's attributes, as DynamoDB takes them."""
    plain = task.model_dump(mode="json")
    if not task.expires_at:
        # TTL would take 0 for a time long past.
        del plain["expires_at"]
    return {name: attribute(value) for name, value in plain.items() if value is not None and value != ""}


def attribute(value: Any) -> dict[str, Any]:
    """One value as DynamoDB takes it."""
    return dict(_TO_ITEM.serialize(_storable(value)))


def _storable(value: Any) -> Any:
    if isinstance(value, float):
        # DynamoDB has no infinity and no NaN. The shortest text of a float reads back as the same float.
        return Decimal(repr(value)) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): _storable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(v) for v in value]
    return value


def plain(item: Item) -> dict[str, Any]:
    """An item's values as ordinary Python values."""
    return {name: _ordinary(_FROM_ITEM.deserialize(value)) for name, value in item.items()}


def _ordinary(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {k: _ordinary(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_ordinary(v) for v in value]
    if isinstance(value, set | frozenset):
        return [_ordinary(v) for v in sorted(value)]
    return value


def task(item: Item) -> Task:
    """The record that an item holds.

    Raises:
        Unreadable: it has no id, or a status that we do not know.
    """
    found = {n: _understood(n, v) for n, v in plain(item).items() if n in Task.model_fields and v is not None}
    try:
        return Task.model_validate(_blank(found) | found)
    except ValidationError as exc:
        bad = {str(error["loc"][0]) for error in exc.errors()}
    if bad & _ESSENTIAL:
        raise Unreadable(f"its {' and '.join(sorted(bad & _ESSENTIAL))} cannot be read")
    log.warning("Attributes not understood", task_id=found["task_id"], attributes=sorted(bad))
    found = {n: v for n, v in found.items() if n not in bad}
    return Task.model_validate(_blank(found) | found)


def _understood(name: str, value: Any) -> Any:
    if name in _TEXTS and isinstance(value, int | float):
        return str(value)
    if name == "error_details" and isinstance(value, list):
        return [_DETAIL | {k: str(v) for k, v in d.items() if v is not None} for d in value if isinstance(d, dict)]
    return value


def _blank(found: dict[str, Any]) -> dict[str, Any]:
    """What stands for attributes that our records always have and old ones may lack."""
    texts = {"created_at": "", "input_bucket": "", "input_key": "", "output_bucket": ""}
    return {**texts, "date_partition": day(str(found.get("created_at", ""))), "transcode_types": ()}
