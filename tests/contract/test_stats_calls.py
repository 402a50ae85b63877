"""What `/api/stats`, `/metrics` and the dashboard cost in calls of AWS: named, and the same at any size."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from botocore.client import BaseClient

from transcode import task as records
from transcode.aws import clients
from transcode.aws.dynamodb import DynamoTasks
from transcode.aws.provision import Provisioned
from transcode.aws.records import attributes
from transcode.settings import Settings
from transcode.states import Status
from webapp import create_app
from webapp.wsgi import over_aws

# Of the queue and of its dead letters, whose address must be asked for.
QUEUE = Counter(GetQueueAttributes=2, GetQueueUrl=1)
STATS = QUEUE + Counter(GetItem=2, Query=1, BatchGetItem=1)
# Two queries for what waits longest: the predecessor had a word of its own for it.
METRICS = QUEUE + Counter(GetItem=1, Query=2, BatchGetItem=1)
# One query for each status, and one for the predecessor's word for pending.
DASHBOARD = QUEUE + Counter(GetItem=2, Query=6, BatchGetItem=1)
# Noon: tasks of the last minutes are of today.
NOW = 1_748_779_200.0


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Every call of AWS from now on."""
    found: Counter[str] = Counter()
    make: Any = BaseClient._make_api_call

    def counted(client: Any, operation: str, arguments: Any) -> Any:
        found[operation] += 1
        return make(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", counted)
    return found


def fill(account: Settings, numbers: range) -> None:
    """Tasks of the last minutes in the table, of every status."""
    states, table = list(Status), account.dynamodb_table
    made = [
        records.made(
            records.new_id(NOW - n / 10), NOW - n / 10, input_bucket="uploads", input_key=f"{n}.mp4",
            output_bucket="renditions", transcode_types=("thumbnail",),
        ).model_copy(update={"status": states[n % len(states)]})
        for n in numbers
    ]  # fmt: skip
    for start in range(0, len(made), 25):
        wanted: Any = {table: [{"PutRequest": {"Item": attributes(task)}} for task in made[start : start + 25]]}
        assert not clients.dynamodb(account).batch_write_item(RequestItems=wanted)["UnprocessedItems"]


def cost(account: Settings, calls: Counter[str], path: str) -> Counter[str]:
    """What one look costs. A new application each time: `/metrics` keeps the farm's numbers for a while."""
    found = replace(over_aws(account), store=DynamoTasks(account, lambda: NOW), clock=lambda: NOW)
    client = create_app(found).test_client()
    calls.clear()
    assert client.get(path).status_code == 200
    return Counter(calls)


def test_their_cost_is_named_and_does_not_grow(
    account: Settings, provisioned: Provisioned, calls: Counter[str]
) -> None:
    named = {"/api/stats": STATS, "/metrics": METRICS, "/admin": DASHBOARD}
    assert {path: cost(account, calls, path) for path in named} == named
    for numbers in (range(100), range(100, 2000)):
        fill(account, numbers)
        assert {path: cost(account, calls, path) for path in named} == named
