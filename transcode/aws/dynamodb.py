"""`ports.TaskStore` in DynamoDB: conditional writes of records and side items. Lists are in `listing`.

Beside a record `<id>` lie its side items `<id>#<name>`. They have none of the attributes of an index, so no
list ever shows or pays for them.
"""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from botocore.exceptions import ClientError

from transcode.aws import clients, faults, listing, records
from transcode.aws.records import Item
from transcode.clock import Clock, timestamp
from transcode.errors import NotFound, ServiceUnavailable, Unknown, VersionMoved
from transcode.ports import Page, Query
from transcode.settings import Settings
from transcode.task import ASIDE, Task

_DAY = 86400
# Requests for one batch of items: a throttled table answers a part each time.
_BATCHES = 5
# The attribute by which DynamoDB deletes items that nobody needs any more.
_TTL = "expires_at"


class DynamoTasks:
    """The records in one table. Made in the process that uses it: connections do not survive a fork."""

    def __init__(self, settings: Settings, clock: Clock = time.time) -> None:
        self._client = clients.dynamodb(settings)
        self._table = settings.dynamodb_table
        self._signing_key = settings.signing_key("cursors")
        self._retention = settings.record_retention_days
        self._clock = clock

    def create(self, task: Task) -> bool:
        """As the port says.

        Raises:
            Unknown: the answer was lost, and the record is not there (yet).
        """
        item = records.attributes(task)
        try:
            return self._put_new(item)
        except Unknown:
            if self._item(task.task_id) == records.plain(item):
                return True
            raise

    def _put_new(self, item: Item) -> bool:
        with self._told("PutItem", write=True):
            try:
                self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression="attribute_not_exists(task_id)",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as exc:
                # botocore tries again by itself: then the record in the way may be our own.
                return faults.retries(exc) > 0 and records.plain(_in_the_way(exc)) == records.plain(item)
        return True

    def read(self, task_id: str) -> Task:
        """As the port says. A record that cannot be read at all counts as none."""
        item = self._get(task_id)
        if not item:
            raise NotFound(f"No task has the id {task_id}.")
        try:
            return records.task(item)
        except records.Unreadable as exc:
            raise NotFound(f"The record of task {task_id} is unusable: {exc}.") from exc

    def save(self, old: Task, new: Task) -> None:
        """As the port says. The same write twice is no conflict: the first answer may have been lost."""
        update = _Update.between(records.attributes(old), records.attributes(new))
        update.values[":old_ver"] = records.attribute(old.ver)
        # Records of the predecessor have no `ver`.
        condition = "ver = :old_ver" + (" OR attribute_not_exists(ver)" if old.ver == 0 else "")
        with self._told("UpdateItem", write=True):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=_key(old.task_id),
                    ConditionExpression=f"attribute_exists(task_id) AND ({condition})",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **update.arguments(),
                )
            except ClientError as exc:
                _check_own_write(_in_the_way(exc), new)

    def page(self, query: Query) -> Page:
        """As the port says."""
        lists = listing.Lists(self._client, self._table, self._signing_key)
        return lists.page(query, timestamp(self._clock()))

    def merge_aside(self, task_id: str, name: str, values: dict[str, Any]) -> dict[str, Any]:
        """As the port says. `expires_at` among the values says when the item goes; it does not come back."""
        update = _Update.of(self._expiry(name) | values)
        if not update.names:
            return self.read_aside(task_id, name)
        with self._told("UpdateItem", write=True):
            answer = self._client.update_item(
                TableName=self._table, Key=_key(f"{task_id}#{name}"), ReturnValues="ALL_NEW", **update.arguments()
            )
        return _values(records.plain(answer["Attributes"]))

    def add_aside(self, task_id: str, name: str, attribute: str) -> None:
        """As the port says."""
        with self._told("UpdateItem", write=True):
            self._client.update_item(
                TableName=self._table,
                Key=_key(f"{task_id}#{name}"),
                UpdateExpression="ADD #n :one",
                ExpressionAttributeNames={"#n": attribute},
                ExpressionAttributeValues={":one": records.attribute(1)},
            )

    def read_aside(self, task_id: str, name: str) -> dict[str, Any]:
        """As the port says."""
        return _values(self._item(f"{task_id}#{name}"))

    def read_asides(self, task_id: str, names: Sequence[str]) -> tuple[dict[str, Any], ...]:
        """As the port says."""
        wanted: Any = {self._table: {"Keys": [_key(f"{task_id}#{name}") for name in names]}}
        found: list[Item] = []
        for _ in range(_BATCHES):
            with self._told("BatchGetItem"):
                answer = self._client.batch_get_item(RequestItems=wanted)
            found += answer["Responses"].get(self._table, [])
            wanted = answer.get("UnprocessedKeys")
            if not wanted:
                return tuple(_values(records.plain(item)) for item in found)
        raise ServiceUnavailable("DynamoDB answered only a part of what was asked.")

    def _expiry(self, name: str) -> dict[str, Any]:
        """When an item beside the record goes: live ones in a day, others a day after their record."""
        if name == ASIDE.LIVE:
            return {_TTL: int(self._clock()) + _DAY}
        return {_TTL: int(self._clock()) + (self._retention + 1) * _DAY} if self._retention else {}

    def _get(self, item_key: str) -> Item:
        with self._told("GetItem"):
            answer = self._client.get_item(TableName=self._table, Key=_key(item_key), ConsistentRead=True)
        return dict(answer.get("Item", {}))

    def _item(self, item_key: str) -> dict[str, Any]:
        return records.plain(self._get(item_key))

    def _told(self, action: str, *, write: bool = False) -> AbstractContextManager[None]:
        return faults.told(action, f"table {self._table}", write=write)


def _key(item_key: str) -> Item:
    return {"task_id": {"S": item_key}}


def _values(item: dict[str, Any]) -> dict[str, Any]:
    return {n: v for n, v in item.items() if n not in ("task_id", _TTL)}


def _in_the_way(exc: ClientError) -> Item:
    """The item that failed a condition; any other failure is raised on."""
    if faults.code(exc) != "ConditionalCheckFailedException":
        raise exc
    answer: dict[str, Any] = {**exc.response}
    return dict(answer.get("Item", {}))


def _check_own_write(stored: Item, new: Task) -> None:
    if not stored:
        raise VersionMoved("The record is gone.")
    # botocore tries again by itself, and callers may: then what is in the way is what we wanted to write.
    try:
        if records.task(stored) == new:
            return
    except records.Unreadable:
        pass
    raise VersionMoved("Somebody else wrote the record in between.")


class _Update:
    """An update expression under construction. Names are numbered: many of ours are reserved words."""

    def __init__(self) -> None:
        self.sets: list[str] = []
        self.removes: list[str] = []
        self.names: dict[str, str] = {}
        self.values: Item = {}

    @classmethod
    def between(cls, old: Item, new: Item) -> "_Update":
        """What turns `old` into `new`."""
        update = cls()
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                update._add(name, new.get(name))
        return update

    @classmethod
    def of(cls, values: dict[str, Any]) -> "_Update":
        """What sets plain values, and takes away those that are None."""
        update = cls()
        for name, value in values.items():
            update._add(name, None if value is None else records.attribute(value))
        return update

    def _add(self, name: str, value: dict[str, Any] | None) -> None:
        alias = f"n{len(self.names)}"
        self.names[f"#{alias}"] = name
        if value is None:
            self.removes.append(f"#{alias}")
        else:
            self.sets.append(f"#{alias} = :{alias}")
            self.values[f":{alias}"] = value

    def arguments(self) -> dict[str, Any]:
        """The arguments of UpdateItem that say what to change."""
        parts = [
            f"{word} {', '.join(terms)}" for word, terms in (("SET", self.sets), ("REMOVE", self.removes)) if terms
        ]
        # DynamoDB refuses values that are there and empty.
        values = {"ExpressionAttributeValues": self.values} if self.values else {}
        return {"UpdateExpression": " ".join(parts), "ExpressionAttributeNames": self.names, **values}
