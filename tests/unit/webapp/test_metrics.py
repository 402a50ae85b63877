"""GET /metrics: what Prometheus reads, from one process and from several."""

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from tests.fakes import MemoryTasks
from tests.farm import free_port, until
from tests.unit.test_roll import a_worker
from tests.unit.webapp.conftest import KEY, Bench
from tests.unit.webapp.test_start import SETTINGS, python
from transcode import roll
from transcode.clock import timestamp
from transcode.errors import ServiceUnavailable
from transcode.roll import Aside, Load
from transcode.task import ASIDE, FARM, Task, made
from webapp import gauges

ROOT = Path(__file__).parents[3]
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: str) -> Series:
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def scraped(client: FlaskClient) -> Series:
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.content_type.startswith("text/plain; version=")
    return read(response.get_data(as_text=True))


def value(found: Series, name: str, **labels: str) -> float | None:
    return found.get((name, tuple(sorted(labels.items()))))


def test_requests_are_counted_by_route_and_status(client: FlaskClient) -> None:
    for number in range(3):
        client.get(f"/api/tasks/01946a2e-0000-7000-8000-00000000000{number}")
    client.get("/api/transcode-types")
    found = scraped(client)
    route = "/api/tasks/<task_id>"
    assert value(found, "transcode_http_requests_total", method="GET", route=route, status="404") == 3
    assert value(found, "transcode_http_request_seconds_count", method="GET", route=route) == 3
    assert value(found, "transcode_http_request_seconds_bucket", method="GET", route=route, le="+Inf") == 3
    types = {"method": "GET", "route": "/api/transcode-types"}
    assert value(found, "transcode_http_requests_total", **types, status="200") == 1


def test_what_strangers_try_makes_no_series(client: FlaskClient) -> None:
    for number in range(20):
        client.get(f"/wp-admin/{number}.php")
        client.open("/api/tasks", method=f"BREW{number}")
    words = {word for _, labels in scraped(client) for word in labels}
    texts = {text for _, text in words}
    assert not [text for text in texts if "wp-admin" in text or "BREW" in text]
    assert "other" in texts


def test_a_refused_caller_is_counted_too(make_bench: Callable[..., Bench]) -> None:
    client = make_bench(api_keys=(SecretStr(KEY),)).app().test_client()
    assert client.get("/metrics").status_code == 401
    response = client.get("/metrics", headers={"X-API-Key": KEY})
    found = read(response.get_data(as_text=True))
    assert value(found, "transcode_http_requests_total", method="GET", route="/metrics", status="401") == 1


def test_the_farm_is_told_as_it_is(client: FlaskClient, bench: Bench) -> None:
    for slot, times in (("09-completed", 2), ("10-completed", 1), ("10-failed", 4)):
        for _ in range(times):
            bench.store.add_aside(FARM, "ended-2025-01-15", slot)
    found = scraped(client)
    states = {"waiting": 3, "in_flight": 2, "delayed": 1, "dead": 4}
    assert {s: value(found, "transcode_queue_messages", state=s) for s in states} == states
    ended = {"completed": 3, "failed": 4, "cancelled": 0}
    assert {s: value(found, "transcode_tasks_ended_today", status=s) for s in ended} == ended
    assert {s: value(found, "transcode_workers", state=s) for s in ("running", "silent", "ended")} == {
        "running": 0, "silent": 0, "ended": 0,
    }  # fmt: skip


def test_a_number_that_is_not_known_is_left_out(bench: Bench) -> None:
    def down() -> Any:
        raise ServiceUnavailable("The queue does not answer.")

    found = scraped(bench.app(counts=down).test_client())
    assert value(found, "transcode_source_up", source="queue") == 0
    assert value(found, "transcode_source_up", source="workers") == 1
    assert not [name for name, _ in found if name == "transcode_queue_messages"]


def test_the_farm_is_looked_at_every_ten_seconds_at_most(bench: Bench) -> None:
    asked = [0]
    now = [100.0]

    class Counting(MemoryTasks):
        def read_asides(self, *args: Any) -> Any:
            asked[0] += 1
            return super().read_asides(*args)

    farm = gauges.Farm(bench.deps(store=Counting(bench.clock)), lambda: now[0])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: list(farm.collect()), range(50)))
    assert asked == [1]
    now[0] += 10
    assert list(farm.collect())
    assert asked == [2]


def test_the_longest_wait_is_told_and_a_retry_is_not_old(client: FlaskClient, bench: Bench) -> None:
    name = "transcode_oldest_pending_seconds"
    assert value(scraped(client), name) == 0
    now = bench.clock()
    old, newer = waiting(now - 900), waiting(now - 300)
    retried = old.model_copy(update={"task_id": "retried", "updated_at": timestamp(now - 2)})
    delayed = old.model_copy(update={"task_id": "delayed", "not_before": now + 60})
    for task in (retried, delayed):
        bench.store.create(task)
    assert value(scraped(bench.app().test_client()), name) == 2
    # More than anybody reads: the longest waiting one is found at the other end.
    crowd = [waiting(now - n / 100) for n in range(150)]
    for task in (*crowd, newer, old):
        bench.store.create(task)
    assert value(scraped(bench.app().test_client()), name) == 900


def waiting(at: float) -> Task:
    return made(f"task-{at}", at, input_bucket="videos", input_key="a.mp4", output_bucket="o", transcode_types=("x",))


def test_nodes_cards_and_the_bridge_are_told(client: FlaskClient, bench: Bench) -> None:
    now = bench.clock()
    aside = Aside(uuid="GPU-9", name="Tesla T4", node="gpu1", since=timestamp(now), why="It hung.")
    load = Load(encoder=70, decoder=30, gpu=None, memory_used=10, memory_total=16, temperature=61, sessions=5)
    works = a_worker("gpu0@here", now, load=load, tasks=("a",), poll_age=3.5, aside=(aside,))
    sister = a_worker("gpu2@here", now, aside=(aside,))
    silent = a_worker("gpu0@gone", now - 600, load=load)
    for worker in (works, sister, silent):
        bench.store.merge_aside(FARM, roll.page(worker.node), {worker.node: roll.told(worker)})
    bench.store.merge_aside(FARM, ASIDE.BRIDGE, {"seen_at": timestamp(now - 20)})
    found = scraped(client)
    node = {"node": "gpu0@here"}
    assert value(found, "transcode_worker_tasks", **node) == 1
    assert value(found, "transcode_worker_capacity", **node) == works.concurrency
    assert value(found, "transcode_worker_poll_age_seconds", **node) == 3.5
    assert value(found, "transcode_gpu_busy_percent", **node, part="encoder") == 70
    assert value(found, "transcode_gpu_busy_percent", **node, part="gpu") is None
    assert value(found, "transcode_gpu_memory_bytes", **node, state="total") == 16
    assert value(found, "transcode_gpu_sessions", **node) == 5
    assert value(found, "transcode_gpu_celsius", **node) == 61
    assert value(found, "transcode_worker_capacity", node="gpu0@gone") is None
    assert [labels for name, labels in found if name == "transcode_gpu_aside"] == [
        (("host", works.host), ("name", "Tesla T4"), ("uuid", "GPU-9")),
    ]
    assert value(found, "transcode_bridge_silent_seconds") == pytest.approx(20)
    assert value(found, "transcode_workers", state="running") == 2


def test_it_is_no_part_of_the_apis_description(client: FlaskClient) -> None:
    assert "/metrics" not in client.get("/openapi.json").get_json()["paths"]


def test_prometheus_is_not_imported_before_gunicorn_has_said_how(tmp_path: Path) -> None:
    ended = python("import sys, webapp.gunicorn_conf; print('prometheus_client' in sys.modules)", tmp_path, **SETTINGS)
    assert ended.stdout.split() == ["False"], ended.stderr


def test_the_folder_is_the_operators_emptied_or_one_of_our_own(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "counter_7.db").write_bytes(b"of an earlier run")
    (given / "notes.txt").write_text("not ours")
    code = (
        "import os, webapp.gunicorn_conf as c\n"
        "c.on_starting(None); folder = os.environ['PROMETHEUS_MULTIPROC_DIR']\n"
        "print(folder, os.listdir(folder)); c.on_exit(None); print(os.path.isdir(folder))"
    )
    theirs = python(code, tmp_path, **SETTINGS, PROMETHEUS_MULTIPROC_DIR=str(given))
    assert theirs.stdout.splitlines() == [f"{given} ['notes.txt']", "True"], theirs.stderr
    ours = python(code, tmp_path, **SETTINGS, TMPDIR=str(tmp_path))
    assert re.fullmatch(rf"{tmp_path}/transcode-api-metrics-\w+ \[\]\nFalse\n", ours.stdout), ours.stderr
    taken_over = python(
        code, tmp_path, **SETTINGS, TMPDIR=str(tmp_path), PROMETHEUS_MULTIPROC_DIR="/x/transcode-api-metrics-1"
    )
    assert taken_over.stdout.startswith(f"{tmp_path}/transcode-api-metrics-"), taken_over.stderr


class Server:
    """The real gunicorn with its two processes; its AWS does not answer."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        environment = SETTINGS | {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(folder), "API_PORT": str(self.port),
            "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        }  # fmt: skip
        command = [sys.executable, "-m", "gunicorn", "-c", "python:webapp.gunicorn_conf", "webapp.wsgi:app()"]
        self.child = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return str(answer.read().decode())

    def answers(self) -> bool:
        try:
            return bool(self.get("/docs"))
        except (OSError, urllib.error.URLError):
            return False

    def workers(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.child.pid).children()]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    try:
        until(server.answers, "gunicorn answers")
        yield server
    finally:
        server.child.send_signal(signal.SIGTERM)
        server.child.wait(60)
    assert not list(tmp_path.glob("transcode-api-metrics-*"))


def test_two_processes_tell_one_number_and_keep_it_when_one_is_replaced(server: Server) -> None:
    def counted() -> float | None:
        name = "transcode_http_requests_total"
        return value(read(server.get("/metrics")), name, method="GET", route="/api/transcode-types", status="200")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(server.get, ["/api/transcode-types"] * 40))
    assert [counted() for _ in range(6)] == [40] * 6
    old = server.workers()
    assert len(old) == 2
    os.kill(old[0], signal.SIGTERM)
    until(lambda: old[0] not in server.workers() and len(server.workers()) == 2, "another process is there")
    server.get("/api/transcode-types")
    assert [counted() for _ in range(6)] == [41] * 6
