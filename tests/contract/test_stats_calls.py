"""What `/api/stats` and `/metrics` cost in calls of AWS: named, and the same at any size."""

from collections import Counter
from typing import Any

import pytest
from botocore.client import BaseClient

from tests.contract.test_task_store import filled
from transcode.aws.dynamodb import DynamoTasks
from transcode.aws.provision import Provisioned
from transcode.settings import Settings
from webapp import create_app
from webapp.wsgi import over_aws

# Of the queue and of its dead letters, whose address must be asked for.
QUEUE = Counter(GetQueueAttributes=2, GetQueueUrl=1)
STATS = QUEUE + Counter(GetItem=2, Query=1, BatchGetItem=1)
METRICS = QUEUE + Counter(GetItem=1, BatchGetItem=1)


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


@pytest.mark.parametrize(("path", "cost"), [("/api/stats", STATS), ("/metrics", METRICS)])
def test_its_cost_is_named_and_does_not_grow(
    account: Settings, provisioned: Provisioned, calls: Counter[str], path: str, cost: Counter[str]
) -> None:
    for _ in range(2):
        # A new application each time: `/metrics` keeps the farm's numbers for a while.
        client = create_app(over_aws(account)).test_client()
        calls.clear()
        assert client.get(path).status_code == 200
        assert calls == cost
        filled(DynamoTasks(account), 30)
