"""A real worker tells of itself, and `/api/workers` shows it: at work, and ended. The doctor looks at the same farm."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.farm import Farm, until

NODE = f"cpu@{socket.gethostname()}"


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("view"), SANDBOX="none", CUDA_VISIBLE_DEVICES="") as farm:
        farm.start("api")
        farm.ready()
        yield farm


def shown(farm: Farm, state: str) -> list[dict[str, Any]]:
    """The nodes that the API shows in this state."""
    return [worker for worker in farm.get("/api/workers")["workers"] if worker["state"] == state]


def test_a_worker_is_seen_at_work_and_seen_to_end(farm: Farm) -> None:
    assert farm.get("/api/workers") == {"workers": [], "count": 0}
    child = farm.start("worker")
    (found,) = until(lambda: shown(farm, "running"), "the worker is seen")
    node = psutil.Process(found["pid"])
    assert child.pid in (node.pid, *(parent.pid for parent in node.parents()))
    assert (found["node"], found["kind"], found["card"]) == (NODE, "cpu", None)
    assert (found["concurrency"], found["sandbox"], found["tasks"], found["aside"]) == (1, "none", [], [])
    assert found["ffmpeg"].startswith("ffmpeg version")
    until(node.children, "its pool runs")
    assert farm.stop("worker", signal.SIGTERM) == 0
    (found,) = shown(farm, "ended")
    assert (found["node"], found["load"]) == (NODE, None)
    assert not [line for line in farm.log("worker") if line["level"] in ("error", "critical")]


def test_the_doctor_finds_a_farm_that_works(farm: Farm) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "doctor"], cwd=farm.log_path("api").parent, env=farm.environment,
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith(("queue", "table", "buckets"))] == ["ok"] * 3
    assert lines[-1] == "This machine can do the work, on the CPU."
