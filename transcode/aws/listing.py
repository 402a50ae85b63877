"""Lists of tasks from the two indexes, page by page. No scan and no filter: cost is that of what is shown.

A list reads one or more partitions of an index, newest first. Its cursor keeps, for each partition, the
last task that was shown of it: an exact place that both DynamoDB and its stand-ins continue from.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

from transcode import logs
from transcode.aws import cursors, faults, records
from transcode.aws.cursors import Place
from transcode.aws.records import Item
from transcode.clock import day
from transcode.ports import Page, Query
from transcode.states import LEGACY_PENDING, Status
from transcode.task import Task

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

log = logs.get(__name__)

# Days that an unfiltered list walks back, today included.
DAYS_LISTED = 31


@dataclass(frozen=True)
class _Partition:
    """One partition of an index, or the part of it whose `created_at` begins with `within`."""

    index: str
    attribute: str
    value: str
    within: str = ""
    oldest: bool = False

    def question(self) -> dict[str, Any]:
        """The arguments of Query that select it. `status` is a reserved word."""
        names, values = {"#hash": self.attribute}, {":hash": {"S": self.value}}
        condition = "#hash = :hash"
        if self.within:
            # A prefix holds both our timestamps and the predecessor's, which have no decimals.
            condition += " AND begins_with(created_at, :within)"
            values[":within"] = {"S": self.within}
        return {
            "IndexName": self.index,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
            "ScanIndexForward": self.oldest,
        }

    def start(self, place: Place) -> Item:
        """The key after which a query goes on."""
        return {
            self.attribute: {"S": self.value}, "created_at": {"S": place.created_at}, "task_id": {"S": place.task_id},
        }  # fmt: skip


@dataclass(frozen=True)
class _Row:
    partition: str
    place: Place
    item: Item


class Lists:
    """Pages of one table."""

    def __init__(self, client: "DynamoDBClient", table: str, signing_key: bytes) -> None:
        self._client = client
        self._table = table
        self._key = signing_key

    def page(self, query: Query, now: str) -> Page:
        """The page that `query` wants; `now` is a timestamp, from which an unfiltered list walks back.

        Raises:
            BadCursor: the cursor is none of ours.
        """
        made_for = (query.date, str(query.status or ""))
        places = cursors.read(query.cursor, made_for, self._key) if query.cursor else {}
        tasks: list[Task] = []
        for row in self._rows(query, places, now):
            if len(tasks) == query.limit:
                return Page(tuple(tasks), "" if query.oldest else cursors.write(places, made_for, self._key))
            # Days follow each other, so one place tells it all; the partitions of a status run side by side.
            places = (places if query.status else {}) | {row.partition: row.place}
            tasks.extend(_readable(row))
        return Page(tuple(tasks))

    def _rows(self, query: Query, places: dict[str, Place], now: str) -> Iterator[_Row]:
        if query.status:
            states = (query.status, LEGACY_PENDING) if query.status is Status.PENDING else (query.status,)
            found = (_Partition("status-index", "status", state, query.date, query.oldest) for state in states)
            walks = [self._walk(p, places.get(p.value), query.limit) for p in found]
            return heapq.merge(*walks, key=lambda row: row.place.created_at, reverse=not query.oldest)
        days = [query.date] if query.date else _last_days(day(now), until=min(places, default=""))
        partitions = (_Partition("date-index", "date_partition", one) for one in days)
        return chain.from_iterable(self._walk(p, places.get(p.value), query.limit) for p in partitions)

    def _walk(self, partition: _Partition, place: Place | None, limit: int) -> Iterator[_Row]:
        """A partition's rows, newest first, queried as they are asked for.

        Each answer but the last holds a row at least (1 MB is more than an item can be), and nobody asks for
        more than one row beyond the limit: that bounds the loop.
        """
        start = partition.start(place) if place else None
        for _ in range(limit + 2):
            items, start = self._query(partition, start, limit + 1)
            for item in items:
                yield _Row(partition.value, Place(item["created_at"]["S"], item["task_id"]["S"]), item)
            if not start:
                return

    def _query(self, partition: _Partition, start: Item | None, limit: int) -> tuple[list[Item], Item | None]:
        question = partition.question() | ({"ExclusiveStartKey": start} if start else {})
        with faults.told("Query", f"table {self._table}"):
            answer = self._client.query(TableName=self._table, Limit=limit, **question)
        return list(answer["Items"]), answer.get("LastEvaluatedKey")


def _last_days(today: str, until: str) -> Iterator[str]:
    """Days from `until`, else today, back to the oldest that an unfiltered list shows."""
    last = date.fromisoformat(today)
    for n in range(DAYS_LISTED):
        one = (last - timedelta(days=n)).isoformat()
        if not until or one <= until:
            yield one


def _readable(row: _Row) -> list[Task]:
    try:
        return [records.task(row.item)]
    except records.Unreadable as exc:
        log.warning("Record left out of the list", task_id=row.place.task_id, reason=str(exc))
        return []
