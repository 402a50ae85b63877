"""The shape of the table, exactly as existing tables have it: making it, checking it, bringing an old one to it.

An old table gets its indexes one after the other, as DynamoDB wants it; what its records lack for them is filled in
before (`backfill`), so that an index is whole in the moment it answers.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from transcode.aws import backfill, clients, faults
from transcode.aws.provisioning.shapes import Wishes
from transcode.aws.provisioning.steps import Finding, Plan, Remark, Step, Tell
from transcode.errors import ServiceUnavailable, SettingsError
from transcode.settings import Settings

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

Sleep = Callable[[float], None]

KEY = [{"AttributeName": "task_id", "KeyType": "HASH"}]
INDEXES = {"date-index": "date_partition", "status-index": "status"}
ATTRIBUTES = tuple({"AttributeName": a, "AttributeType": "S"} for a in ("task_id", "created_at", *INDEXES.values()))
TTL = "expires_at"
# Polls of a table that is being made, 2 s apart: AWS takes about 10 s.
_POLLS = 60
# Seconds between looks at an index that is being built, how many, and how many between two lines about it: DynamoDB
# takes minutes at least, and hours for millions of records.
_PAUSE, _LOOKS, _LINE_EVERY = 5.0, 12 * 60 * 12, 12
# How stores that know nothing of a thing say so.
_UNKNOWN = frozenset({"UnknownOperationException", "UnsupportedOperationException", "NotImplemented"})


def index(name: str) -> dict[str, Any]:
    """One index, all attributes projected."""
    key = [{"AttributeName": INDEXES[name], "KeyType": "HASH"}, {"AttributeName": "created_at", "KeyType": "RANGE"}]
    return {"IndexName": name, "KeySchema": key, "Projection": {"ProjectionType": "ALL"}}


def make_table(settings: Settings) -> list[str]:
    """Make the table where it is missing, with its indexes and TTL; what was done, a line each.

    Raises:
        SettingsError: a table of that name has another shape.
        ServiceUnavailable: AWS refused or did not answer.
    """
    steps = Plan.of(find(settings)).steps
    for step in steps:
        step.apply(lambda _: None)
    return [step.line for step in steps]


def find(settings: Settings, wishes: Wishes | None = None, sleep: Sleep = time.sleep) -> Iterator[Finding]:
    """What is missing of the table.

    Raises:
        SettingsError: a table of that name has another key, or an index of ours on other attributes.
        ServiceUnavailable: AWS refused or did not answer.
    """
    client, name, wishes = clients.dynamodb(settings), settings.dynamodb_table, wishes or Wishes()
    found = _described(client, name)
    if not found:
        yield Step(f"Table {name}: create, with its indexes", lambda _: _create(client, name))
    else:
        _check_shape(name, found)
        yield from _upgrade(client, name, found, wishes, sleep)
    yield from _expire(client, name, _ttl(client, name) if found else {})
    if not (found and _recovers(client, name)):
        yield _recovery(client, name, wishes)


def _described(client: "DynamoDBClient", name: str) -> dict[str, Any]:
    with faults.told("dynamodb:DescribeTable", f"table {name}"):
        try:
            return {**client.describe_table(TableName=name)["Table"]}
        except ClientError as exc:
            if not faults.is_missing(exc):
                raise
            return {}


def _create(client: "DynamoDBClient", name: str) -> None:
    shape: Any = {
        "KeySchema": KEY, "AttributeDefinitions": list(ATTRIBUTES), "GlobalSecondaryIndexes": [*map(index, INDEXES)],
    }  # fmt: skip
    with faults.told("dynamodb:CreateTable", f"table {name}"):
        client.create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **shape)
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 2, "MaxAttempts": _POLLS})


def _check_shape(name: str, found: dict[str, Any]) -> None:
    if found["KeySchema"] != KEY:
        raise SettingsError(f"DYNAMODB_TABLE={name} has another key; a table keyed by task_id alone is wanted.")
    types = {one["AttributeName"]: one["AttributeType"] for one in found["AttributeDefinitions"]}
    for there in _indexes(found).values():
        wanted = index(there["IndexName"]) if there["IndexName"] in INDEXES else there
        if (there["KeySchema"], there["Projection"]["ProjectionType"]) != (wanted["KeySchema"], _projected(wanted)):
            raise SettingsError(
                f"DYNAMODB_TABLE={name} has an index {there['IndexName']} of another shape; it must be on "
                f"{INDEXES[there['IndexName']]} and created_at, with all attributes projected. Delete that index "
                "and run this again, or name a table that does not exist yet."
            )
    wrong = [one["AttributeName"] for one in ATTRIBUTES if types.get(one["AttributeName"], "S") != "S"]
    if wrong:
        raise SettingsError(f"DYNAMODB_TABLE={name}: {' and '.join(wrong)} must be text (type S) there.")


def _projected(wanted: dict[str, Any]) -> str:
    return str(wanted["Projection"]["ProjectionType"])


def _indexes(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["IndexName"]: one for one in found.get("GlobalSecondaryIndexes", [])}


def _upgrade(
    client: "DynamoDBClient", name: str, found: dict[str, Any], wishes: Wishes, sleep: Sleep
) -> Iterator[Finding]:
    there = _indexes(found)
    missing = [one for one in INDEXES if one not in there]
    if missing or wishes.fill_in:
        line = f"Table {name}: fill in what records lack for the indexes (date_partition, created_at)"
        yield Step(line, lambda tell: backfill.fill(client, name, tell))
    for one in missing:
        yield Step(f"Table {name}: add index {one} and wait until it is built", _adding(client, name, one, sleep))
    for one in INDEXES:
        if one in there and there[one].get("IndexStatus", "ACTIVE") != "ACTIVE":
            yield Step(f"Table {name}: wait until index {one} is built", _waiting(client, name, one, sleep))


def _adding(client: "DynamoDBClient", name: str, one: str, sleep: Sleep) -> Callable[[Tell], None]:
    def apply(tell: Tell) -> None:
        _wait(client, name, "", sleep, tell)
        _add(client, name, one)
        _wait(client, name, one, sleep, tell)

    return apply


def _waiting(client: "DynamoDBClient", name: str, one: str, sleep: Sleep) -> Callable[[Tell], None]:
    return lambda tell: _wait(client, name, one, sleep, tell)


def _add(client: "DynamoDBClient", name: str, one: str) -> None:
    found = _described(client, name)
    throughput = found.get("ProvisionedThroughput", {})
    wanted: dict[str, Any] = index(one)
    # A table that is billed by capacity: its index gets as much.
    if found.get("BillingModeSummary", {}).get("BillingMode") != "PAY_PER_REQUEST":
        wanted["ProvisionedThroughput"] = {k: throughput[k] for k in ("ReadCapacityUnits", "WriteCapacityUnits")}
    known = {a["AttributeName"]: a for a in (*found["AttributeDefinitions"], *ATTRIBUTES)}
    used = {k["AttributeName"] for each in (found, wanted, *_indexes(found).values()) for k in each["KeySchema"]}
    used |= {k["AttributeName"] for each in found.get("LocalSecondaryIndexes", []) for k in each["KeySchema"]}
    attributes: Any = [known[each] for each in sorted(used)]
    updates: Any = [{"Create": wanted}]
    with faults.told("dynamodb:UpdateTable", f"table {name}"):
        client.update_table(TableName=name, AttributeDefinitions=attributes, GlobalSecondaryIndexUpdates=updates)


def _wait(client: "DynamoDBClient", name: str, one: str, sleep: Sleep, tell: Tell) -> None:
    """Until the table takes changes, and the index answers where one is named."""
    for look in range(_LOOKS):
        found = _described(client, name)
        status = _indexes(found).get(one, {}).get("IndexStatus", "" if one else "ACTIVE")
        if found.get("TableStatus") == "ACTIVE" and status == "ACTIVE":
            return
        if look % _LINE_EVERY == _LINE_EVERY - 1:
            tell(f"Table {name}: {one or 'the table'} is {(status or 'being changed').lower()} still ...")
        sleep(_PAUSE)
    raise ServiceUnavailable(f"Table {name}: {one or 'the table'} was not ready in time; run this again to go on.")


def _ttl(client: "DynamoDBClient", name: str) -> dict[str, Any]:
    with faults.told("dynamodb:DescribeTimeToLive", f"table {name}"):
        return {**client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]}


def _expire(client: "DynamoDBClient", name: str, found: dict[str, Any]) -> Iterator[Finding]:
    if found.get("TimeToLiveStatus") not in ("ENABLED", "ENABLING"):
        yield Step(f"Table {name}: switch TTL on {TTL} on", lambda _: _switch_ttl_on(client, name))
    elif found.get("AttributeName") != TTL:
        yield Remark(f"Table {name}: its TTL is on {found.get('AttributeName')}, not on {TTL}; left as it is.")


def _switch_ttl_on(client: "DynamoDBClient", name: str) -> None:
    with faults.told("dynamodb:UpdateTimeToLive", f"table {name}"):
        client.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL})


def _recovery(client: "DynamoDBClient", name: str, wishes: Wishes) -> Finding:
    if wishes.recovery:
        return Step(f"Table {name}: switch point-in-time recovery on", lambda _: _switch_recovery_on(client, name))
    return Remark(f"Table {name} has no point-in-time recovery; --point-in-time-recovery switches it on.")


def _recovers(client: "DynamoDBClient", name: str) -> bool:
    """Whether it does; a store that knows no recovery has nothing to offer, which is as good."""
    with faults.told("dynamodb:DescribeContinuousBackups", f"table {name}"):
        try:
            found = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        except ClientError as exc:
            if faults.code(exc) in _UNKNOWN:
                return True
            raise
    return found.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus") == "ENABLED"


def _switch_recovery_on(client: "DynamoDBClient", name: str) -> None:
    with faults.told("dynamodb:UpdateContinuousBackups", f"table {name}"):
        client.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
