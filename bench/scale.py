"""Whether anything costs more as the farm grows: 1,000, 10,000 and 100,000 records, and as many waiting messages.

The table is dynalite's, which has real indexes (moto goes through the whole table for a query): lists and statistics
are asked of the application, creating and claiming a task are the product's own steps on the same store. dynalite is no
part of the product and is looked for in /tmp/dyn.

The waiting messages are those of `bench.even_aws`, which says that they are so many and hands one out, but keeps none:
SQS's own time is AWS's business, and what a worker makes of a long queue is ours. moto cannot be asked, as each of its
answers goes through all messages (at 1,000 a receive and a delete take 0.13 s).
"""

import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import machine
from bench.bare import Bare
from bench.consumer import Worker
from bench.even_aws import even_aws
from bench.verdict import Found, Ratio, Unmeasured
from cli.embedded_aws import EmbeddedAws
from transcode import ledger, logs, steps
from transcode import task as records
from transcode.aws import clients
from transcode.aws.dynamodb import DynamoTasks
from transcode.aws.provision import provision
from transcode.aws.records import attributes
from transcode.settings import Settings
from transcode.states import Status
from webapp import create_app
from webapp.deps import Deps
from webapp.wsgi import over_aws

DYNALITE = Path("/tmp/dyn/node_modules/.bin/dynalite")  # noqa: S108 - as this text says
SIZES = 1_000, 10_000, 100_000
# What is wanted: the largest may cost at most so many times the smallest.
WANTED = 1.3
# Milliseconds of an answer of SQS.
WAIT = 5
PATHS = {
    "list": "/api/tasks", "list of a status": "/api/tasks?status=completed", "list of a day":
    "/api/tasks?date=2025-06-01", "statistics": "/api/stats",
}  # fmt: skip
# Noon: with a task a second, more than 40,000 are of that day.
NOW = 1_748_779_200.0
# Records in one request, DynamoDB's maximum; requests at once.
BATCH, AT_ONCE = 25, 4
# Times that each thing is done before it counts.
WARM = 5

Act = Callable[[], object]


@contextmanager
def dynalite() -> Iterator[str]:
    """The address of a table store with real indexes."""
    if not DYNALITE.exists() or not shutil.which("node"):
        raise Unmeasured(f"there is no {DYNALITE}: npm install --prefix /tmp/dyn dynalite@4")
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

    def put(start: int) -> None:
        left: Any = {name: [{"PutRequest": {"Item": attributes(a_task(n))}} for n in range(start, start + BATCH)]}
        while left:
            left = client.batch_write_item(RequestItems=left)["UnprocessedItems"]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(put, range(0, size, BATCH)))


def a_task(number: int) -> records.Task:
    """One a second older than the one before."""
    then = NOW - number
    ends = (Status.COMPLETED, Status.COMPLETED, Status.COMPLETED, Status.FAILED, Status.CANCELLED)
    status = Status.PENDING if number < 20 else Status.PROCESSING if number < 40 else ends[number % len(ends)]
    return records.made(
        records.new_id(then), then, input_bucket="videos", input_key=f"{number}.mp4", output_bucket="renditions",
        transcode_types=("mp4_standard", "mp4_smooth", "thumbnail"),
    ).model_copy(update={"status": status})  # fmt: skip


class Table:
    """What is done with the records of one table, by an application whose clock stands at noon."""

    def __init__(self, settings: Settings, endpoint: str) -> None:
        tables = settings.model_copy(update={"aws_endpoint_url": endpoint})
        store = DynamoTasks(tables, lambda: NOW)
        self._deps: Deps = replace(over_aws(settings), store=store, clock=lambda: NOW)
        self._client = create_app(self._deps).test_client()
        self._made: list[records.Task] = []

    def acts(self) -> dict[str, Act]:
        """By name; each task that is claimed was created before."""
        asked: dict[str, Act] = {name: lambda path=path: self._ask(path) for name, path in PATHS.items()}  # type: ignore[misc]
        return asked | {"create a task": self._create, "claim a task": self._claim}

    def _ask(self, path: str) -> None:
        answer = self._client.get(path)
        if answer.status_code != 200:
            raise RuntimeError(f"{path} answered {answer.status_code}: {answer.text[:300]}")

    def _create(self) -> None:
        task = a_task(0)
        self._deps.store.create(task)
        self._made.append(task)

    def _claim(self) -> None:
        task = self._deps.store.read(self._made.pop().task_id)
        ledger.move(self._deps, task, lambda t: steps.claimed(t, "host:cpu:1", "cpu", NOW))


def compare(ways: dict[int, dict[str, Act]], rounds: int) -> dict[str, dict[int, list[float]]]:
    """Seconds of each act at each size: the sizes in turn, so that whatever slows the machine slows all."""
    found: dict[str, dict[int, list[float]]] = {}
    for name in next(iter(ways.values())):
        times: dict[int, list[float]] = {size: [] for size in ways}
        for _ in range(rounds + WARM):
            for size, acts in ways.items():
                began = time.perf_counter()
                acts[name]()
                times[size].append(time.perf_counter() - began)
        found[name] = {size: some[WARM:] for size, some in times.items()}
    return found


def measure_table(aws: EmbeddedAws, rounds: int) -> dict[str, dict[int, list[float]]]:
    """Everything that is done with the records, at each size of the table."""
    with dynalite() as endpoint:
        ways = {}
        for size in SIZES:
            settings = settings_of(aws.environment, f"{aws.endpoint}/123456789012/transcode", f"tasks-{size}")
            provision(settings)
            fill(settings, endpoint, size)
            ways[size] = Table(settings, endpoint).acts()
        return compare(ways, rounds)


def measure_queue(aws: EmbeddedAws, rounds: int) -> dict[str, dict[int, list[float]]]:
    """A message received and deleted, by a worker and by boto3, at each length of the queue."""
    with even_aws(WAIT) as endpoint:
        ways: dict[int, dict[str, Act]] = {}
        for size in SIZES:
            given = aws.environment | {"AWS_ENDPOINT_URL": endpoint}
            settings = settings_of(given, f"{endpoint}/123456789012/{size}", "no-table")
            settings = settings.model_copy(update={"sqs_queue_url": f"{endpoint}/123456789012/tasks-{size}"})
            ways[size] = {"take a message": Worker(settings).one, "take a message, boto3": Bare(settings).take}
        return compare(ways, rounds)


def measure(rounds: int) -> Found:
    """Each thing so many times at each size."""
    # Without a line per request, which would go to the terminal.
    logs.configure("ERROR", "json", "bench")
    with EmbeddedAws() as aws:
        found = measure_queue(aws, rounds) | measure_table(aws, rounds)
    rows = [
        {"what": name} | {f"{size:,}, ms": machine.spread(some)["p50_ms"] for size, some in times.items()}
        for name, times in found.items()
    ]
    spreads = {name: {size: machine.spread(some) for size, some in times.items()} for name, times in found.items()}
    return Found([growth(name, times) for name, times in found.items()], {"median": rows}, spreads)


def growth(what: str, times: dict[int, list[float]]) -> Ratio:
    """The largest size against the smallest; boto3's own is only told."""
    small, large = (statistics.median(times[size]) for size in (SIZES[0], SIZES[-1]))
    return Ratio(f"{what}, 100,000 to 1,000", large / small, at_most=None if "boto3" in what else WANTED)


def settings_of(environment: dict[str, str], queue: str, table: str) -> Settings:
    """Settings with these queues and a table of this name."""
    fields = {name.lower(): value for name, value in environment.items() if name.lower() in Settings.model_fields}
    given: dict[str, Any] = fields | {
        "input_bucket": "videos", "output_bucket": "renditions", "dynamodb_table": table,
        "sqs_queue_url": f"{queue}-tasks", "event_queue_url": f"{queue}-events", "secret_key": "of no importance",
    }  # fmt: skip
    return Settings(_env_file=None, **given)
