"""The running API, alone: many at once, the same twice, its numbers; and Schemathesis, for what nobody thought of."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.farm import Farm

# Of the farm's own making; the API asks every caller for it.
KEY = "a-key-of-more-than-16-characters"
# The description says what fits; which buckets, objects and cursors there are, only the farm knows.
CONFIG = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "401", "404", "409"]

[[operations]]
include-path = "/api/queue/add"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "404", "422"]

[[operations]]
include-path = "/api/tasks"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "400"]
"""
# Requests per operation and phase, the same ones each time: a finding must not come and go.
EXAMPLES = ["--max-examples", "10", "--generation-deterministic", "--workers", "1"]
# Seconds; on an idle machine it takes some 20.
PATIENCE = 240


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """The API alone, with the object that the description's examples speak of."""
    folder = tmp_path_factory.mktemp("contract")
    with Farm(folder, INPUT_BUCKET="videos", API_KEYS=KEY) as farm:
        film = folder / "beach.mp4"
        film.write_bytes(b"a video" * 100)
        farm.upload(film, "holiday/beach.mp4", "videos")
        farm.upload(film, "2025/beach.mp4", "videos")
        farm.start("api")
        farm.ready()
        yield farm


def ask(farm: Farm, path: str, body: object = None, **headers: str) -> str:
    """A call of the API, with the key; a POST where there is a body."""
    data = None if body is None else json.dumps(body).encode()
    sent = {"X-API-Key": KEY, "Content-Type": "application/json"} | headers
    request = urllib.request.Request(f"http://127.0.0.1:{farm.port}{path}", data, sent)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(answer.read().decode())


def test_a_prefix_asked_for_many_times_at_once_makes_each_task_once(farm: Farm) -> None:
    """Over two gunicorn processes and the table's own conditions."""
    body = {"input_bucket": "videos", "input_prefix": "2025/", "metadata": {"order": "4711"}}

    def add(_: int) -> Any:
        return json.loads(ask(farm, "/api/queue/add", body, **{"Idempotency-Key": "many"}))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(add, range(8)))
    assert all(answer["success"] for answer in answers)
    assert {tuple(item["input_key"] for item in answer["items"]) for answer in answers} == {("2025/beach.mp4",)}
    (task_id,) = {answer["items"][0]["task_id"] for answer in answers}
    assert json.loads(ask(farm, f"/api/tasks/{task_id}"))["metadata"] == {"order": "4711"}
    assert len([task for task in json.loads(ask(farm, "/api/tasks"))["tasks"] if task["metadata"]]) == 1


def test_its_numbers_are_those_of_the_queue_and_of_both_processes(farm: Farm) -> None:
    for _ in range(20):
        ask(farm, "/api/transcode-types")
    waiting = json.loads(ask(farm, "/api/stats"))["queue"]["waiting"]
    told = ask(farm, "/metrics")
    served = 'transcode_http_requests_total{method="GET",route="/api/transcode-types",status="200"} 20.0'
    assert served in told.splitlines()
    assert f'transcode_queue_messages{{state="waiting"}} {float(waiting)}' in told.splitlines()


def test_schemathesis_finds_nothing(farm: Farm, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config), "run"]
    address = f"http://127.0.0.1:{farm.port}/openapi.json"
    done = subprocess.run(
        [*command, address, "--header", f"X-API-Key:{KEY}", *EXAMPLES], cwd=tmp_path, capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    operations = done.stdout.split("Tested: ")[1].split()[0]
    assert int(operations) >= 11
    wrong = [line for line in farm.log("api") if line["level"] in ("error", "critical")]
    assert wrong == []
