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
    with tempfile.TemporaryDirectory() as folder, System(Path(folder), METRICS_PORT=str(port)) as system:
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
    """Dollars for 1,000 minutes, as films of one minute and as ones of ten: requests are by the film."""
    cpu, gpu, each = prices["cpu"], prices["gpu"], prices["requests"]
    hours = 1000 * 60 * task["cpu s"] / task["film s"] / 3600 / (cpu["vcpus"] * cpu["speed"] * prices["busy"])
    cards = 1000 / 60 / gpu["realtime"] / prices["busy"]
    asked = (
        task["sqs"] * each["sqs"] + task["dynamodb reads"] * each["dynamodb_read"]
        + task["dynamodb writes"] * each["units_per_write"] * each["dynamodb_write_unit"]
        + task["s3 puts"] * each["s3_put"] + task["s3 gets"] * each["s3_get"]
    ) / 1e6  # fmt: skip
    return [
        {
            "films of": f"{minutes} min", "machines": name, "machine hours": round(some, 1),
            "machines $": round(some * price, 2), "requests $": round(asked * 1000 / minutes, 3),
        }
        for name, some, price in ((cpu["instance"], hours, cpu["per_hour"]), (gpu["instance"], cards, gpu["per_hour"]))
        for minutes in (1, 10)
    ]  # fmt: skip
