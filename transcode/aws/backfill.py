"""What old records lack for the indexes is filled in; nothing that is there is touched.

`created_at` comes from the first time that a record tells, `date_partition` from that. The whole table is read page by
page and each record is written on a condition, so it can be ended at any moment and run again: what is filled in
already is passed over. A status is never guessed: that could start a task, or hide one.
"""

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from transcode.aws import faults
from transcode.aws.provisioning.steps import Tell
from transcode.clock import day

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

# Where the time of making can be read, best first.
_TIMES = ("created_at", "started_at", "updated_at", "completed_at")
# What a time and a day of ours look like; anything else would sort wrongly.
_TIME, _DAY = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"), re.compile(r"\d{4}-\d\d-\d\d")
# Records in one answer: about a megabyte, which is what DynamoDB answers at most.
_PAGE = 1000


def fill(client: "DynamoDBClient", table: str, tell: Tell) -> None:
    """Fill in all records of a table, telling how far it is after each page.

    Raises:
        ServiceUnavailable: AWS refused or did not answer; run it again to go on.
    """
    counted: Counter[str] = Counter()
    place: Any = {}
    while True:
        answer = _page(client, table, place)
        for item in answer["Items"]:
            counted[_fill_one(client, table, item)] += 1
        counted["seen"] += answer["ScannedCount"]
        tell(f"Table {table}: {counted['seen']} items read, {counted['filled']} records filled in ...")
        if not answer.get("LastEvaluatedKey"):
            break
        place = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
    if counted["left"]:
        tell(f"Table {table}: {counted['left']} records have no time or no status to read; no list will show them.")


def _page(client: "DynamoDBClient", table: str, place: dict[str, Any]) -> dict[str, Any]:
    with faults.told("dynamodb:Scan", f"table {table}"):
        return {
            **client.scan(
                TableName=table, Limit=_PAGE, ConsistentRead=True,
                # Items beside a record have a # in their key, and must never be in an index.
                FilterExpression="NOT contains(task_id, :beside) AND (attribute_not_exists(date_partition) OR "
                "attribute_not_exists(created_at) OR attribute_not_exists(#status))",
                ProjectionExpression=", ".join(("task_id", "date_partition", "#status", *_TIMES)),
                ExpressionAttributeNames={"#status": "status"}, ExpressionAttributeValues={":beside": {"S": "#"}},
                **place,
            )
        }  # fmt: skip


def _fill_one(client: "DynamoDBClient", table: str, item: dict[str, Any]) -> str:
    """What became of a record: filled, kept, or left when it does not tell enough."""
    made = _made(item)
    if not made or "S" not in item.get("status", {}):
        return "left"
    values = {"created_at": made, "date_partition": day(made)}
    lacking = {name: {"S": value} for name, value in values.items() if name not in item}
    return _write(client, table, item["task_id"], lacking) if lacking else "kept"


def _made(item: dict[str, Any]) -> str:
    """When a record was made; empty when it has a time that is no text of ours, or none."""
    times = [item[name].get("S", "") for name in _TIMES if name in item]
    return times[0] if times and _TIME.match(times[0]) and _DAY.fullmatch(day(times[0])) else ""


def _write(client: "DynamoDBClient", table: str, key: dict[str, Any], lacking: dict[str, Any]) -> str:
    with faults.told("dynamodb:UpdateItem", f"table {table}"):
        try:
            client.update_item(
                TableName=table, Key={"task_id": key},
                UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in lacking),
                # Gone meanwhile, or filled in by another: then it is not ours to write.
                ConditionExpression=" AND ".join(
                    ["attribute_exists(task_id)", *(f"attribute_not_exists({name})" for name in lacking)]
                ),
                ExpressionAttributeValues={f":{name}": value for name, value in lacking.items()},
            )  # fmt: skip
        except ClientError as exc:
            if faults.code(exc) != "ConditionalCheckFailedException":
                raise
            return "kept"
    return "filled"
