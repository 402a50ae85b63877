"""What a task costs: processor seconds, bytes, requests to AWS; and what 1,000 minutes of film cost in money.

Measured are the first three, on films of all seven types. Prices, and how fast a GPU is, stand in `prices.toml` to be
changed: money is what these numbers multiply to, not more.
"""

import re
import tempfile
import tomllib
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from bench import clips
from bench.meter import Cost
from bench.system import System
from bench.verdict import Found
from tests.farm import free_port
from transcode.task import Task

# The film, and how many tasks.
_FILM, _TASKS = (1080, "h264", 5.3), 4
_REQUEST = re.compile(r'transcode_aws_requests_total\{operation="(\w+)",service="(\w+)"\} ([\d.]+)')
_READS = frozenset({"GetItem", "BatchGetItem", "Query"})
_GETS = frozenset({"GetObject", "HeadObject"})
_KINDS = "sqs", "dynamodb writes", "dynamodb reads", "s3 puts", "s3 gets"


def measure(rounds: int) -> Found:
    """Some tasks, one after the other."""
    film, port = clips.film(*_FILM), free_port()
    with (
        tempfile.TemporaryDirectory() as folder,
        System(Path(folder), MAX_CONCURRENT_TASKS="1", METRICS_PORT=str(port)) as system,
    ):
        before = requests(port)
        tasks, cost = system.batch([film] * _TASKS * rounds)
        made = requests(port) - before
    task = per_task(film, tasks, cost, made)
    prices = tomllib.loads(Path(__file__).with_name("prices.toml").read_text())
    return Found(
        [], {"a task": [task], "dollars for 1,000 minutes": money(task, prices)}, {"requests": made, "prices": prices}
    )


def requests(port: int) -> Counter[str]:
    """Requests to AWS that worker and bridge have counted, by service and operation."""
    found: Counter[str] = Counter()
    for one in (port, port + 1):
        with urllib.request.urlopen(f"http://127.0.0.1:{one}/metrics", timeout=30) as answer:
            for operation, service, times in _REQUEST.findall(answer.read().decode()):
                found[f"{service} {operation}"] += round(float(times))
    return found


def kind(request: str) -> str:
    """As what a request is paid."""
    service, operation = request.split()
    if service == "s3":
        return "s3 gets" if operation in _GETS else "s3 puts"
    if service == "dynamodb":
        return "dynamodb reads" if operation in _READS else "dynamodb writes"
    return service


def per_task(film: Path, tasks: list[Task], cost: Cost, made: Counter[str]) -> dict[str, Any]:
    """What one of these tasks cost."""
    sent = sum(output.bytes for task in tasks for output in task.outputs.values())
    paid: Counter[str] = Counter()
    for request, times in made.items():
        paid[kind(request)] += times
    return {
        "film s": _FILM[2], "cpu s": round(cost.cpu / len(tasks), 1), "MB in": round(film.stat().st_size / 1e6, 1),
        "MB out": round(sent / len(tasks) / 1e6, 1), **{name: round(paid[name] / len(tasks), 1) for name in _KINDS},
    }  # fmt: skip


def money(task: dict[str, Any], prices: dict[str, Any]) -> list[dict[str, Any]]:
    """Dollars for 1,000 minutes, as films of one minute and as ones of ten."""
    cpu, gpu = prices["cpu"], prices["gpu"]
    # Seconds of work for a second of film.
    paces = ((cpu, task["cpu s"] / task["film s"] / (cpu["vcpus"] * cpu["speed"])), (gpu, 1 / gpu["realtime"]))
    rows = []
    for machine, pace in paces:
        hours = 1000 / 60 * pace / prices["busy"]
        for minutes in (1, 10):
            asked = 1000 / minutes * _requests(task, prices["requests"], minutes, 60 * minutes * pace)
            rows.append({
                "films of": f"{minutes} min", "machines": machine["instance"], "machine hours": round(hours, 1),
                "machines $": round(hours * machine["per_hour"], 2), "requests $": round(asked, 3),
            })  # fmt: skip
    return rows


def _requests(task: dict[str, Any], each: dict[str, float], minutes: float, work: float) -> float:
    """Dollars for the requests of a film that takes so many seconds of work: those of the short one, and more."""
    more = 60 * minutes / task["film s"] - 1
    parts = more * task["MB out"] * 1e6 / each["part_bytes"]
    units = task["dynamodb writes"] * each["units_per_write"] + work * each["write_units_a_second"]
    return (
        (task["sqs"] + work * each["sqs_a_second"]) * each["sqs"] + units * each["dynamodb_write_unit"]
        + task["dynamodb reads"] * each["dynamodb_read"] + (task["s3 puts"] + parts) * each["s3_put"]
        + task["s3 gets"] * each["s3_get"]
    ) / 1e6  # fmt: skip
