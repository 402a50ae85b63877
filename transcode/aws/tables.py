"""The shape of the table, exactly as existing tables have it; making and checking it."""

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from transcode.aws import clients, faults
from transcode.errors import SettingsError
from transcode.settings import Settings

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_KEY = [{"AttributeName": "task_id", "KeyType": "HASH"}]
_INDEXES = {"date-index": "date_partition", "status-index": "status"}
_TTL = "expires_at"
# Polls of a table that is being made, 2 s apart: AWS takes about 10 s.
_POLLS = 60


def _index_key(attribute: str) -> list[dict[str, str]]:
    return [{"AttributeName": attribute, "KeyType": "HASH"}, {"AttributeName": "created_at", "KeyType": "RANGE"}]


def make_table(settings: Settings) -> list[str]:
    """Make the table where it is missing, and switch its TTL on; what was done, a line each.

    Raises:
        SettingsError: a table of that name has another shape.
        ServiceUnavailable: AWS refused or did not answer.
    """
    client, name = clients.dynamodb(settings), settings.dynamodb_table
    with faults.told("dynamodb:CreateTable", f"table {name}"):
        found = _described(client, name)
        if found:
            _check_shape(name, found)
        else:
            _create(client, name)
        return ([] if found else [f"Table {name} made."]) + _expire(client, name)


def _described(client: "DynamoDBClient", name: str) -> dict[str, Any]:
    try:
        return {**client.describe_table(TableName=name)["Table"]}
    except ClientError as exc:
        if not faults.is_missing(exc):
            raise
        return {}


def _create(client: "DynamoDBClient", name: str) -> None:
    attributes = ("task_id", "created_at", *_INDEXES.values())
    shape: dict[str, Any] = {
        "KeySchema": _KEY,
        "AttributeDefinitions": [{"AttributeName": a, "AttributeType": "S"} for a in attributes],
        "GlobalSecondaryIndexes": [
            {"IndexName": index, "KeySchema": _index_key(attribute), "Projection": {"ProjectionType": "ALL"}}
            for index, attribute in _INDEXES.items()
        ],
    }
    client.create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **shape)
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 2, "MaxAttempts": _POLLS})


def _check_shape(name: str, found: dict[str, Any]) -> None:
    if found["KeySchema"] != _KEY:
        raise SettingsError(f"DYNAMODB_TABLE={name} has another key; a table keyed by task_id alone is wanted.")
    indexes = {i["IndexName"]: i for i in found.get("GlobalSecondaryIndexes", [])}
    for index, attribute in _INDEXES.items():
        if indexes.get(index, {}).get("KeySchema") != _index_key(attribute):
            raise SettingsError(
                f"DYNAMODB_TABLE={name} has no index {index} on {attribute} and created_at; add it with all "
                "attributes projected, or name a table that does not exist yet."
            )


def _expire(client: "DynamoDBClient", name: str) -> list[str]:
    found = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if found.get("TimeToLiveStatus") in ("ENABLED", "ENABLING"):
        if found.get("AttributeName") == _TTL:
            return []
        return [f"Table {name}: its TTL is on {found.get('AttributeName')}, not on {_TTL}; left as it is."]
    client.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": _TTL})
    return [f"Table {name}: TTL on {_TTL} switched on."]
