"""A table of before the indexes: it gets them, its records are filled in, and what they hold stays."""

from collections import Counter
from typing import Any

import pytest

from tests.contract.conftest import TABLE, Line
from transcode.aws import backfill, clients, tables
from transcode.aws.dynamodb import DynamoTasks
from transcode.aws.provision import plan, provision
from transcode.aws.provisioning.shapes import Wishes
from transcode.errors import ServiceUnavailable, SettingsError
from transcode.ports import Query
from transcode.settings import Settings
from transcode.states import Status


def old_table(account: Settings, **more: Any) -> Any:
    client = clients.dynamodb(account)
    client.create_table(
        TableName=TABLE, KeySchema=[{"AttributeName": "task_id", "KeyType": "HASH"}],
        **{
            "AttributeDefinitions": [{"AttributeName": "task_id", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST", **more,
        },
    )  # fmt: skip
    return client


def put(client: Any, task_id: str, **values: str) -> None:
    item = {"task_id": task_id, **values}
    client.put_item(TableName=TABLE, Item={name: {"S": value} for name, value in item.items()})


def get(client: Any, task_id: str) -> dict[str, str]:
    found = client.get_item(TableName=TABLE, Key={"task_id": {"S": task_id}})["Item"]
    return {name: next(iter(value.values())) for name, value in found.items() if name != "task_id"}


OLD = {"status": "completed", "created_at": "2024-05-06T07:08:09Z", "input_bucket": "b", "input_key": "k"}


def test_an_old_table_gets_its_indexes_and_every_record_is_listed(account: Settings) -> None:
    client = old_table(account)
    for n in range(30):
        put(client, f"old-{n}", **OLD)
    told: list[str] = []
    done = provision(account, tell=told.append)
    assert [line.split(": ")[1] for line in done.steps if line.startswith(f"Table {TABLE}")] == [
        "fill in what records lack for the indexes (date_partition, created_at)",
        "add index date-index and wait until it is built",
        "add index status-index and wait until it is built",
        "switch TTL on expires_at on",
    ]
    assert f"Table {TABLE}: 30 items read, 30 records filled in ..." in told
    page = DynamoTasks(account).page(Query(limit=100, date="2024-05-06", status=Status.COMPLETED))
    assert len(page.tasks) == 30
    assert len(DynamoTasks(account).page(Query(limit=100, date="2024-05-06")).tasks) == 30
    assert plan(account).steps == ()


def test_what_is_there_is_never_touched(account: Settings) -> None:
    client = old_table(account)
    kept = {
        "whole": {**OLD, "date_partition": "2020-01-01"},
        # Items beside a record must never be in an index.
        "whole#live": {"percent": "5", "created_at": OLD["created_at"]},
        "without a status": {"created_at": OLD["created_at"]},
        "without a time": {"status": "completed", "input_key": "k"},
        "with a strange time": {"status": "completed", "created_at": "1715000000"},
    }
    for task_id, values in kept.items():
        put(client, task_id, **values)
    told: list[str] = []
    backfill.fill(client, TABLE, told.append)
    assert {task_id: get(client, task_id) for task_id in kept} == kept
    assert told[-1] == f"Table {TABLE}: 3 records have no time or no status to read; no list will show them."


def test_a_record_without_the_time_of_its_making_gets_the_first_that_it_tells(account: Settings) -> None:
    client = old_table(account)
    values = {"status": "failed", "updated_at": "2024-01-03T00:00:00Z", "started_at": "2024-01-02T00:00:00Z"}
    put(client, "timeless", **values)
    backfill.fill(client, TABLE, lambda _: None)
    assert get(client, "timeless") == {
        **values, "created_at": "2024-01-02T00:00:00Z", "date_partition": "2024-01-02",
    }  # fmt: skip


def test_what_was_broken_off_goes_on(account: Settings, line: type[Line], monkeypatch: pytest.MonkeyPatch) -> None:
    client = old_table(account)
    for n in range(10):
        put(client, f"old-{n}", **OLD)
    monkeypatch.setattr(backfill, "_PAGE", 4)
    broken = clients.dynamodb(account)
    writes = 0

    def send(request: Any, **_: Any) -> Any:
        nonlocal writes
        writes += 1
        if writes > 6:
            raise ConnectionError

    broken.meta.events.register("before-send.dynamodb.UpdateItem", send)
    with pytest.raises((ServiceUnavailable, ConnectionError)):
        backfill.fill(broken, TABLE, lambda _: None)
    done = [n for n in range(10) if "date_partition" in get(client, f"old-{n}")]
    assert len(done) == 6
    watched, told = line(client), list[str]()
    backfill.fill(client, TABLE, told.append)
    assert watched.calls.count("UpdateItem") == 4
    assert told[-1] == f"Table {TABLE}: 10 items read, 4 records filled in ..."
    assert len([line for line in told if "read" in line]) == 3, "it is told after each page"


def test_a_record_that_another_filled_in_meanwhile_is_left(account: Settings) -> None:
    client = old_table(account)
    put(client, "old", **OLD)

    def overtake(**_: Any) -> None:
        put(clients.dynamodb(account), "old", **OLD, date_partition="2020-01-01")

    client.meta.events.register("before-call.dynamodb.UpdateItem", overtake)
    backfill.fill(client, TABLE, lambda _: None)
    assert get(client, "old")["date_partition"] == "2020-01-01"


def test_an_index_that_is_there_stays_and_the_missing_one_is_added(account: Settings) -> None:
    client = old_table(
        account,
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"} for name in ("task_id", "status", "created_at", "owner")
        ],
        GlobalSecondaryIndexes=[
            tables.index("status-index"),
            {
                "IndexName": "theirs", "KeySchema": [{"AttributeName": "owner", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            },
        ],
    )  # fmt: skip
    provision(account)
    found = client.describe_table(TableName=TABLE)["Table"]["GlobalSecondaryIndexes"]
    assert {one["IndexName"] for one in found} == {"status-index", "theirs", "date-index"}


def test_an_index_of_a_table_billed_by_capacity_gets_as_much(account: Settings) -> None:
    throughput = {"ReadCapacityUnits": 7, "WriteCapacityUnits": 5}
    client = old_table(account, BillingMode="PROVISIONED", ProvisionedThroughput=throughput)
    provision(account)
    for one in client.describe_table(TableName=TABLE)["Table"]["GlobalSecondaryIndexes"]:
        assert {name: one["ProvisionedThroughput"][name] for name in throughput} == throughput


@pytest.mark.parametrize("change", [{"Projection": {"ProjectionType": "KEYS_ONLY"}}, {"KeySchema": tables.KEY}])
def test_an_index_of_another_shape_is_refused(account: Settings, change: Any) -> None:
    attributes = ("task_id", "status", "created_at") if "Projection" in change else ("task_id",)
    old_table(
        account,
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in attributes],
        GlobalSecondaryIndexes=[{**tables.index("status-index"), **change}],
    )
    with pytest.raises(SettingsError, match="status-index of another shape"):
        plan(account)


def test_an_index_that_is_being_built_is_waited_for(account: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    tables.make_table(account)
    seen = tables._described
    states = ["CREATING", "CREATING", "CREATING", "ACTIVE"]

    def described(client: Any, name: str) -> dict[str, Any]:
        found = seen(client, name)
        found["GlobalSecondaryIndexes"][0]["IndexStatus"] = states.pop(0) if len(states) > 1 else states[0]
        return found

    monkeypatch.setattr(tables, "_described", described)
    waits: list[float] = []
    (step,) = list(one for one in plan(account, sleep=waits.append).steps if "wait until index" in one.line)
    step.apply(lambda _: None)
    assert waits == [5.0, 5.0]


def test_indexes_are_added_one_after_the_other(account: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """moto builds them at once; AWS takes a while, and refuses the second one until the first is built."""
    old_table(account)
    seen, looks, waits = tables._described, Counter[str](), list[float]()

    def described(client: Any, name: str) -> dict[str, Any]:
        found = seen(client, name)
        for one in found.get("GlobalSecondaryIndexes", []):
            looks[one["IndexName"]] += 1
            one["IndexStatus"] = "ACTIVE" if looks[one["IndexName"]] > 2 else "CREATING"
        return found

    monkeypatch.setattr(tables, "_described", described)
    provision(account, sleep=waits.append)
    assert waits == [5.0] * 4


def test_records_are_read_when_that_is_wished_though_no_index_is_missing(account: Settings) -> None:
    tables.make_table(account)
    client = clients.dynamodb(account)
    put(client, "old", **OLD)
    provision(account, wishes=Wishes(fill_in=True))
    assert get(client, "old")["date_partition"] == "2024-05-06"


def test_recovery_is_offered_and_switched_on(account: Settings) -> None:
    assert [line for line in provision(account).remarks if "--point-in-time-recovery" in line]
    provision(account, wishes=Wishes(recovery=True))
    found = clients.dynamodb(account).describe_continuous_backups(TableName=TABLE)["ContinuousBackupsDescription"]
    assert found["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    assert [line for line in provision(account).remarks if "--point-in-time-recovery" in line] == []
