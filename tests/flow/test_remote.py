"""`celery inspect`, `status` and `control` as people type them, against the real worker. (`purge`, and what the
transport itself must do, are in `tests/contract/test_transport.py`.)
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.clips import make
from tests.farm import Farm, until
from transcode.aws import clients
from workers.mailbox import SUFFIX, control_prefix

NODE = f"cpu@{socket.gethostname()}"
CELERY = [sys.executable, "-m", "celery", "-A", "workers.app"]
# Minutes of work, of which a test sees seconds.
SLOW = ["hdlbr_h265", "mp4_standard"]
MISSING = "0193c0de-0000-7000-8000-000000000000"
REAP = """
import sys
from workers import control
from workers.app import app
print(*control.reap(app, float(sys.argv[1])))
"""
# A node that takes everything for dead which was made more than three seconds ago: no test waits a quarter of an hour.
IMPATIENT = """
from workers import control, node
control.reap.__defaults__ = (3.0,)
node.run()
"""


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    folder = tmp_path_factory.mktemp("remote")
    # Short polls: one of a node that has ended may be open still, and takes a message with it for 90 s.
    changes = {"SANDBOX": "none", "CUDA_VISIBLE_DEVICES": "", "MAX_CONCURRENT_TASKS": "2", "POLL_INTERVAL": "1s"}
    with Farm(folder, **changes) as farm:
        farm.upload(make(folder / "long.mp4", size="1280x720", seconds=60, rate=30), "long.mp4")
        farm.start("api")
        farm.ready()
        yield farm


@pytest.fixture(scope="module")
def worker(farm: Farm) -> subprocess.Popen[bytes]:
    """One for all tests that leave it running, and the one that stops it."""
    child = farm.start("worker")
    until(lambda: "pong" in celery(farm, "inspect", "ping").stdout, "the node answers")
    return child


@pytest.fixture(autouse=True)
def nothing_runs_on(farm: Farm) -> Iterator[None]:
    yield
    for task in farm.tasks():
        farm.post(f"/api/tasks/{task['task_id']}/cancel", {})


def celery(farm: Farm, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*CELERY, *words], cwd=farm.log_path("x").parent, env=farm.environment | changes, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr + done.stdout
    return done


def run(farm: Farm, code: str, *words: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=farm.log_path("x").parent, env=farm.environment, capture_output=True,
        text=True, timeout=120, check=True,
    ).stdout  # fmt: skip


def inspect(farm: Farm, what: str) -> Any:
    """What the one node answers."""
    return json.loads(celery(farm, "inspect", "-j", what).stdout)[NODE]


def add(farm: Farm) -> str:
    asked = {"input_bucket": "flow-input", "input_key": "long.mp4", "transcode_types": SLOW}
    task_id: str = farm.post("/api/queue/add", asked)[1]["task_id"]
    return task_id


def running(farm: Farm, *wanted: str) -> Callable[[], bool]:
    return lambda: all(farm.store.read(task_id).status == "processing" for task_id in wanted)


def queues(farm: Farm) -> list[str]:
    found = farm.sqs.list_queues(QueueNamePrefix=control_prefix("flow-tasks")).get("QueueUrls", [])
    return [url for url in found if url.endswith(SUFFIX)]


def subscriptions(farm: Farm) -> list[str]:
    return [one["Endpoint"] for one in clients.sns(farm.settings).list_subscriptions()["Subscriptions"]]


def test_people_see_what_runs(farm: Farm, worker: subprocess.Popen[bytes]) -> None:
    ours = add(farm)
    until(running(farm, ours), "the task runs")
    (active,) = inspect(farm, "active")
    assert (active["name"], active["args"]) == ("transcode.run", [ours])
    assert inspect(farm, "reserved") == inspect(farm, "scheduled") == []
    assert inspect(farm, "registered") == ["transcode.ingest", "transcode.run"]
    assert inspect(farm, "stats")["prefetch_count"] == 2
    status = celery(farm, "status")
    assert (status.returncode, f"{NODE}: OK" in status.stdout, "1 node online" in status.stdout) == (0, True, True)
    # Its mailbox, and nothing of all the callers.
    assert len(queues(farm)) == len(subscriptions(farm)) == 1


def test_revoke_cancels_by_either_id(farm: Farm, worker: subprocess.Popen[bytes]) -> None:
    ours, other = add(farm), add(farm)
    until(running(farm, ours, other), "both run")
    waiting = add(farm)
    ids = {task["args"][0]: task["id"] for task in inspect(farm, "active")}
    done = celery(farm, "control", "revoke", waiting, ours)
    assert (done.returncode, done.stdout.count("OK")) == (0, 2)
    done = celery(farm, "control", "terminate", "SIGKILL", ids[other])
    assert "is being cancelled" in done.stdout
    assert {farm.over(task_id).status for task_id in (waiting, ours, other)} == {"cancelled"}
    # Nobody's id was put on a list that would swallow a retry.
    assert inspect(farm, "revoked") == []
    assert farm.post(f"/api/tasks/{waiting}/retry", {})[0] == 200
    until(running(farm, waiting), "it runs after all")


def test_revoke_of_what_is_not_there_is_refused_in_words(farm: Farm, worker: subprocess.Popen[bytes]) -> None:
    done = celery(farm, "control", "revoke", MISSING)
    assert (done.returncode, f"No task has the id {MISSING}." in done.stderr) == (1, True)
    assert "The id of a task is wanted." in celery(farm, "control", "revoke").stderr


def test_a_pool_grows_and_shrinks(farm: Farm, worker: subprocess.Popen[bytes]) -> None:
    before = [add(farm), add(farm)]
    until(running(farm, *before), "as many as the settings say")
    third = add(farm)
    assert celery(farm, "control", "pool_grow", "1").returncode == 0
    until(running(farm, third), "one more")
    # Celery shrinks no pool whose processes are all at work.
    assert "All processes busy" in celery(farm, "control", "pool_shrink", "1").stdout
    farm.post(f"/api/tasks/{third}/cancel", {})
    until(lambda: "will shrink" in celery(farm, "control", "pool_shrink", "1").stdout, "one process is idle")
    assert inspect(farm, "stats")["prefetch_count"] == 2


def test_a_node_stops_taking_tasks_and_takes_them_again(farm: Farm, worker: subprocess.Popen[bytes]) -> None:
    assert celery(farm, "control", "cancel_consumer", "flow-tasks").returncode == 0
    until(lambda: inspect(farm, "active_queues") == [], "it consumes no more")
    assert celery(farm, "control", "add_consumer", "flow-tasks").returncode == 0
    until(running(farm, add(farm)), "it takes tasks again")


def test_what_has_no_effect_here_is_refused_in_words(farm: Farm) -> None:
    done = celery(farm, "control", "rate_limit", "transcode.run", "1/m")
    assert (done.returncode, done.stdout, "MAX_CONCURRENT_TASKS" in done.stderr) == (69, "", True)


def test_shutdown_stops_the_worker_as_sigterm_does(farm: Farm, worker: subprocess.Popen[bytes]) -> None:
    ours = add(farm)
    until(running(farm, ours), "the task runs")
    done = celery(farm, "control", "shutdown")
    assert (done.returncode, "The worker of this machine stops" in done.stdout) == (0, True)
    farm.children.pop("worker")
    # It hands back within seconds what would run for minutes, and the fleet starts no other node.
    assert worker.wait(60) == 0
    task = farm.store.read(ours)
    assert (task.status, task.attempts) == ("pending", 0)
    until(lambda: not queues(farm) and not subscriptions(farm), "nothing is left behind")


def test_what_a_killed_caller_and_a_killed_node_leave_is_reaped(farm: Farm) -> None:
    fleet = farm.start("worker")
    until(lambda: queues(farm) and subscriptions(farm), "the node's mailbox")
    caller = subprocess.Popen(
        [*CELERY, "inspect", "-t", "60", "ping"], cwd=farm.log_path("x").parent, env=farm.environment,
        stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    until(lambda: len(queues(farm)) == 2, "the caller's reply queue")
    node = psutil.Process(fleet.pid).children(recursive=True)
    for process in (caller, fleet, *node):
        process.kill()
    caller.wait()
    farm.stop("worker")
    psutil.wait_procs(node)
    assert (len(queues(farm)), len(subscriptions(farm))) == (2, 1)
    # Not before they must be dead.
    assert run(farm, REAP, "900").split() == []
    assert len(run(farm, REAP, "0").split()) == 2
    assert queues(farm) == subscriptions(farm) == []


def test_a_node_reaps_when_it_starts(farm: Farm) -> None:
    dead = f"{control_prefix('flow-tasks')}dead-pidbox"
    farm.sqs.create_queue(QueueName=dead)
    time.sleep(4)
    child = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT], cwd=farm.log_path("x").parent, env=farm.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        until(lambda: not [url for url in queues(farm) if url.endswith(dead)], "it is reaped")
        until(lambda: queues(farm), "the node's own mailbox")
    finally:
        child.terminate()
        assert child.wait(60) == 0


def test_it_can_be_switched_off(farm: Farm) -> None:
    # A second node beside ours would answer in its place.
    farm.start("deaf", "worker", REMOTE_CONTROL="false")
    try:
        until(lambda: any(line["event"].endswith(" ready.") for line in farm.log("deaf")), "it polls")
        until(running(farm, ours := add(farm)), "it works")
        assert queues(farm) == subscriptions(farm) == []
        off = celery(farm, "inspect", "ping", REMOTE_CONTROL="false")
        assert (off.returncode, "REMOTE_CONTROL=false" in off.stderr) == (69, True)
        # It is the record that revoke changes, so that it needs nobody.
        assert celery(farm, "control", "revoke", ours, REMOTE_CONTROL="false").returncode == 0
        assert farm.over(ours).status == "cancelled"
        assert celery(farm, "control", "revoke", MISSING, REMOTE_CONTROL="false").returncode == 1
    finally:
        assert farm.stop("deaf") == 0
    assert queues(farm) == []


def test_purge_says_how_many_and_cancels_them(farm: Farm) -> None:
    wanted = [add(farm), add(farm), add(farm)]
    waiting = farm.get("/api/queue/status")["waiting"]
    assert f"Purged {waiting} messages" in celery(farm, "purge", "-f").stdout
    assert farm.get("/api/queue/status")["waiting"] == 0
    farm.start("bridge")
    assert {farm.over(task_id).status for task_id in wanted} == {"cancelled"}
