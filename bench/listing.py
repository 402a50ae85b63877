"""Whether lists and the statistics cost more as the table grows: 100 records against 20,000, as JSON.

    npm install --prefix /tmp/dyn dynalite@4
    python -m bench.listing [ROUNDS]

On dynalite, which has real indexes (moto goes through the whole table for a query). It is no part of the product and
is looked for in /tmp/dyn; without it the bench says so and measures nothing. The queue is moto's.
"""

import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from bench import machine
from cli.embedded_aws import EmbeddedAws
from transcode import logs
from transcode import task as records
from transcode.aws import clients
from transcode.aws.dynamodb import DynamoTasks
from transcode.aws.provision import provision
from transcode.aws.records import attributes
from transcode.settings import Settings
from transcode.states import Status
from webapp import create_app
from webapp.wsgi import over_aws

DYNALITE = Path("/tmp/dyn/node_modules/.bin/dynalite")  # noqa: S108 - as this text says
SIZES = 100, 20_000
# What issue 6 wants: the large table may cost at most so many times the small one.
WANTED = 1.3
PATHS = {
    "list": "/api/tasks", "by_status": "/api/tasks?status=completed", "by_day": "/api/tasks?date=2025-06-01",
    "stats": "/api/stats",
}  # fmt: skip
# Noon: as many tasks as 20,000, a second apart, are of that day and the two before.
NOW = 1_748_779_200.0


@contextmanager
def dynalite() -> Iterator[str]:
    """The address of a table store with real indexes."""
    command = [str(DYNALITE), "--host", "127.0.0.1", "--port", "0", "--createTableMs", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout  # noqa: S101 - a pipe was asked for
        try:
            yield child.stdout.readline().strip().rpartition(" ")[2]
        finally:
            child.terminate()


def fill(made: Settings, endpoint: str, size: int) -> None:
    """At `endpoint`, a table like the one that was made, with so many tasks: most are over, the newest wait or run."""
    name = made.dynamodb_table
    shape: Any = clients.dynamodb(made).describe_table(TableName=name)["Table"]
    client: Any = clients.dynamodb(made.model_copy(update={"aws_endpoint_url": endpoint}))
    wanted = ("IndexName", "KeySchema", "Projection")
    client.create_table(
        TableName=name, KeySchema=shape["KeySchema"], AttributeDefinitions=shape["AttributeDefinitions"],
        GlobalSecondaryIndexes=[{key: index[key] for key in wanted} for index in shape["GlobalSecondaryIndexes"]],
        BillingMode="PAY_PER_REQUEST",
    )  # fmt: skip
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    for start in range(0, size, 25):
        some = [{"PutRequest": {"Item": attributes(a_task(n))}} for n in range(start, min(size, start + 25))]
        left: Any = {name: some}
        while left:
            left = client.batch_write_item(RequestItems=left)["UnprocessedItems"]


def a_task(number: int) -> records.Task:
    """One a second older than the one before."""
    then = NOW - number
    ends = (Status.COMPLETED, Status.COMPLETED, Status.COMPLETED, Status.FAILED, Status.CANCELLED)
    status = Status.PENDING if number < 20 else Status.PROCESSING if number < 40 else ends[number % len(ends)]
    return records.made(
        records.new_id(then), then, input_bucket="videos", input_key=f"{number}.mp4", output_bucket="renditions",
        transcode_types=("mp4_standard", "mp4_smooth", "thumbnail"),
    ).model_copy(update={"status": status})  # fmt: skip


def app_over(settings: Settings, table: str) -> FlaskClient:
    """A caller of the application, whose clock stands at noon."""
    tables = settings.model_copy(update={"aws_endpoint_url": table})
    found = replace(over_aws(settings), store=DynamoTasks(tables, lambda: NOW), clock=lambda: NOW)
    return create_app(found).test_client()


def asked(client: FlaskClient, path: str) -> float:
    """Seconds that an answer took."""
    began = time.perf_counter()
    answer = client.get(path)
    if answer.status_code != 200:
        raise RuntimeError(f"{path} answered {answer.status_code}: {answer.text[:300]}")
    return time.perf_counter() - began


def compare(callers: dict[int, FlaskClient], rounds: int) -> dict[str, Any]:
    """Both tables in turn, so that whatever slows the machine slows both."""
    found: dict[str, Any] = {}
    for name, path in PATHS.items():
        times: dict[int, list[float]] = {size: [] for size in callers}
        for turn in range(rounds + 5):
            for size, caller in callers.items():
                took = asked(caller, path)
                if turn >= 5:
                    times[size].append(took)
        small, large = (statistics.median(times[size]) for size in SIZES)
        found[name] = {str(size): machine.spread(some) for size, some in times.items()} | {
            "ratio": round(large / small, 2)
        }
    return found


def main() -> int:
    """Compare, print, and fail where the large table costs too much."""
    if not DYNALITE.exists() or not shutil.which("node"):
        sys.stderr.write(f"Nothing measured: there is no {DYNALITE}. npm install --prefix /tmp/dyn dynalite@4\n")
        return 0
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    # Without a line per request, which would go to the terminal.
    logs.configure("ERROR", "json", "bench")
    with EmbeddedAws() as aws, dynalite() as table:
        callers = {}
        for size in SIZES:
            settings = settings_of(aws, f"tasks-{size}")
            provision(settings)
            fill(settings, table, size)
            callers[size] = app_over(settings, table)
        found = compare(callers, rounds)
    machine.tell({"machine": machine.facts(), "dynalite": "4", "rounds": rounds, "wanted": WANTED} | found)
    return 0 if all(one["ratio"] <= WANTED for one in found.values()) else 1


def settings_of(aws: EmbeddedAws, table: str) -> Settings:
    """Settings over moto, with a table of this name."""
    queue = f"{aws.endpoint}/123456789012/transcode"
    fields = {name.lower(): value for name, value in aws.environment.items() if name.lower() in Settings.model_fields}
    given: dict[str, Any] = fields | {
        "input_bucket": "videos", "output_bucket": "renditions", "dynamodb_table": table,
        "sqs_queue_url": f"{queue}-tasks", "event_queue_url": f"{queue}-events", "secret_key": "of no importance",
    }  # fmt: skip
    return Settings(_env_file=None, **given)


if __name__ == "__main__":
    sys.exit(main())
