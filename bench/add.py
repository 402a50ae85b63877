"""What `POST /api/queue/add` adds to the calls of AWS that it cannot do without: latency and throughput, as JSON.

    python -m bench.add [ROUNDS]

The real API under gunicorn, against boto3 making the same calls itself: `two` is PutItem and SendMessage, `three` also
HeadObject before (is there such an object, and which version of it?), which the API makes as well.
All three are timed in turn, in one run and against the same server: once moto's, once one that keeps nothing and
answers after 5 ms. `calls` is how long one call takes there, as a share of which everything may be seen.
"""

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import local
from typing import Any

import psutil

from bench import machine
from tests.farm import Farm
from transcode import task as records
from transcode.aws import clients
from transcode.aws.records import attributes
from transcode.aws.s3 import S3Storage
from transcode.settings import Settings

# What is wanted: at most this many times the calls that it needs.
WANTED = 1.5
# Milliseconds that AWS takes for such a call within a region, about.
WAIT = 5
BUCKET, KEY = "flow-input", "holiday/beach.mp4"
# Requests at the same time, and in one turn, where throughput is measured; and turns.
AT_ONCE, TURN, TURNS = 8, 40, 5
# Seconds after which a connection is made anew: gunicorn closes idle ones after 5.
IDLE = 3.0


class Bare:
    """The calls of one submission, made with boto3 as it comes."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._storage = settings, S3Storage(settings)
        self._dynamodb, self._sqs = clients.dynamodb(settings), clients.sqs(settings)
        # As long as what Celery sends.
        self._body = "x" * 900

    def two(self) -> None:
        """The record and its message."""
        self._put(self._task())

    def three(self) -> None:
        """Also the look at the object."""
        self._storage.head(BUCKET, KEY)
        self._put(self._task())

    def _task(self) -> records.Task:
        now = time.time()
        return records.made(
            records.new_id(now), now, input_bucket=BUCKET, input_key=KEY, output_bucket="flow-output",
            transcode_types=("mp4_smooth", "thumbnail"),
        )  # fmt: skip

    def _put(self, task: records.Task) -> None:
        name = self._settings.dynamodb_table
        self._dynamodb.put_item(
            TableName=name, Item=attributes(task), ConditionExpression="attribute_not_exists(task_id)"
        )
        self._sqs.send_message(QueueUrl=self._settings.sqs_queue_url, MessageBody=self._body)


class Api:
    """The same by the API, over a connection of each thread's own that stays open."""

    def __init__(self, port: int) -> None:
        self._port, self._own = port, local()
        self._body = json.dumps({"input_bucket": BUCKET, "input_key": KEY})

    def add(self) -> None:
        """One request."""
        line = self._line()
        line.request("POST", "/api/queue/add", self._body, {"Content-Type": "application/json"})
        answer = line.getresponse()
        told = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"The API answered {answer.status}: {told[:300]!r}")

    def _line(self) -> http.client.HTTPConnection:
        now = time.monotonic()
        if now - getattr(self._own, "used", 0.0) > IDLE:
            self._own.line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        self._own.used = now
        line: http.client.HTTPConnection = self._own.line
        return line


def seconds(act: Callable[[], None]) -> float:
    """How long it took."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def latencies(ways: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """One after the other, in turn, so that whatever slows the machine slows all."""
    for act in list(ways.values()) * 10:
        act()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, act in ways.items():
            found[name].append(seconds(act))
    return found


def throughputs(ways: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Submissions a second with several at once: the median of some turns."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    with ThreadPoolExecutor(AT_ONCE) as pool:

        def turn(act: Callable[[], None]) -> None:
            for done in [pool.submit(act) for _ in range(TURN)]:
                done.result()

        for _ in range(TURNS):
            for name, act in ways.items():
                found[name].append(TURN / seconds(lambda act=act: turn(act)))  # type: ignore[misc]
    return {name: round(statistics.median(some), 1) for name, some in found.items()}


def processor(process: psutil.Process) -> float:
    """Seconds that a process and its children have used."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def compare(farm: Farm, settings: Settings, rounds: int) -> dict[str, Any]:
    """The API against the bare calls, at one AWS."""
    bare, api = Bare(settings), Api(farm.port)
    ways = {"two": bare.two, "three": bare.three, "add": api.add}
    found = latencies(ways, rounds)
    served = psutil.Process(farm.children["api"].pid)
    before = processor(served)
    for _ in range(rounds):
        api.add()
    cost = (processor(served) - before) / rounds
    rate = throughputs(ways)
    middle = {name: statistics.median(some) for name, some in found.items()}
    return {
        "latency": {name: machine.spread(some) for name, some in found.items()},
        "added_ms": round((middle["add"] - middle["two"]) * 1000, 2),
        "latency_ratio_to_two": round(middle["add"] / middle["two"], 2),
        "latency_ratio_to_three": round(middle["add"] / middle["three"], 2),
        "api_processor_ms_per_add": round(cost * 1000, 2),
        "per_second": rate,
        "throughput_ratio_to_two": round(rate["two"] / rate["add"], 2),
        "throughput_ratio_to_three": round(rate["three"] / rate["add"], 2),
    }


@contextmanager
def even_aws() -> Iterator[str]:
    """The address of the AWS that answers evenly."""
    command = [sys.executable, "-m", "bench.even_aws", str(WAIT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout  # noqa: S101 - a pipe was asked for
        try:
            yield child.stdout.readline().strip()
        finally:
            child.terminate()


def at(endpoint: str, rounds: int) -> dict[str, Any]:
    """Compare with the API at this AWS; empty: at moto's."""
    with tempfile.TemporaryDirectory() as folder, Farm(Path(folder), endpoint=endpoint, RATE_LIMIT="none") as farm:
        film = Path(folder) / "film.mp4"
        film.write_bytes(b"a video" * 100)
        farm.upload(film, KEY)
        farm.start("api")
        farm.ready()
        queue = f"{endpoint}/123456789012/flow-tasks" if endpoint else farm.settings.sqs_queue_url
        where = {"aws_endpoint_url": endpoint or farm.settings.aws_endpoint_url, "sqs_queue_url": queue}
        return compare(farm, farm.settings.model_copy(update=where), rounds)


def main() -> int:
    """Compare, print, and fail where too much is added."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with even_aws() as endpoint:
        found = {f"aws_of_{WAIT}_ms": at(endpoint, rounds), "moto": at("", rounds)}
    machine.tell({"machine": machine.facts(), "rounds": rounds, "wanted": WANTED} | found)
    return 0 if all(one["latency_ratio_to_three"] <= WANTED for one in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
