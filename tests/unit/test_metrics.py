"""What processes count, shared between them, and what Prometheus is answered."""

import logging
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError
from prometheus_client import REGISTRY

from tests.farm import free_port, until
from tests.unit.conftest import Farm, Letter
from transcode import metrics, submit
from transcode.aws import clients
from transcode.errors import EncoderFailed, InputNotMedia, TranscodeError
from transcode.run import run
from transcode.settings import Settings
from workers.bridge import Bridge

ROOT = Path(__file__).parents[2]


def since(name: str, **labels: str) -> Callable[[], float]:
    """What a number grew by from now on."""
    before = REGISTRY.get_sample_value(name, labels) or 0.0
    return lambda: (REGISTRY.get_sample_value(name, labels) or 0.0) - before


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [(None, "completed", "completed"), (EncoderFailed("It failed."), "ffmpeg_failed", "pending"),
     (InputNotMedia("It is a text."), "input_not_media", "failed")],
)  # fmt: skip
def test_an_attempt_is_counted_with_its_code_and_what_became_of_the_task(
    farm: Farm, letter: Letter, error: TranscodeError | None, code: str, status: str
) -> None:
    farm.storage.put("in-bucket", "film.mp4", b"film" * 1000)
    task = submit.add(farm.desk, "in-bucket", "film.mp4")
    if error:
        farm.encoder.failures = {"mp4_smooth": [error]}
    ended = since("transcode_attempts_total", code=code, status=status)
    fetched = since("transcode_phase_seconds_count", phase="fetch")
    made = since("transcode_renditions_total", type="mp4_smooth", outcome="made")
    run(task.task_id, letter, farm.tools)
    assert (ended(), fetched(), made()) == (1, 1, int(error is None))


def test_speed_is_the_films_length_by_the_time_of_its_encode() -> None:
    many, told = since("transcode_encode_speed_count"), since("transcode_encode_speed_sum")
    metrics.attempt_ended("completed", "completed", {"encode": 5.0}, {"duration": 60.0})
    metrics.attempt_ended("input_not_media", "failed", {"fetch": 1.0}, {})
    assert (many(), told()) == (1, pytest.approx(12.0))


def test_requests_to_aws_are_counted_with_every_try(settings: Settings) -> None:
    there = settings.model_copy(update={"aws_endpoint_url": "http://127.0.0.1:9", "aws_access_key_id": "none"})
    asked = since("transcode_aws_requests_total", service="sqs", operation="SendMessage")
    for _ in range(2):
        with pytest.raises(EndpointConnectionError):
            clients.sqs(there, attempts=2).send_message(QueueUrl=there.sqs_queue_url, MessageBody="a")
    assert asked() == 4


def test_processes_share_their_numbers_and_a_dead_ones_stay(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    # As the fleet does: prometheus-client is here already, and the processes that count come after.
    code = (
        "import subprocess, sys, time, urllib.request\n"
        "from pathlib import Path\n"
        "from transcode import metrics\n"
        "port, scratch = int(sys.argv[1]), Path(sys.argv[2])\n"
        "(metrics.share(port, scratch) / 'counter_1.db').write_bytes(b'of an earlier run')\n"
        "folder = metrics.share(port, scratch); metrics.serve(port, folder)\n"
        "child = 'from transcode import metrics; metrics.made([\"thumbnail\"])'\n"
        "for _ in range(2): subprocess.run([sys.executable, '-c', child], check=True)\n"
        "print(oct(folder.stat().st_mode), folder)\n"
        "print(urllib.request.urlopen(f'http://127.0.0.1:{port}/metrics').read().decode())\n"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(free_port()), str(scratch)]
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert 'transcode_renditions_total{outcome="made",type="thumbnail"} 2.0' in ended.stdout
    mode, folder = next(line for line in ended.stdout.splitlines() if line.startswith("0o")).split()
    shutil.rmtree(folder)
    assert mode == "0o40700"


def test_numbers_that_cannot_be_written_stop_nothing(tmp_path: Path) -> None:
    code = (
        "from transcode import metrics\n"
        "metrics.made(['thumbnail']); metrics.asked_aws('sqs', 'SendMessage')\n"
        "metrics.attempt_ended('completed', 'completed', {'encode': 1.0}, {'duration': 2.0})\n"
        "print('went on')\n"
    )
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "gone"),
    }  # fmt: skip
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines()[-1:] == ["went on"], ended.stderr


def test_a_port_that_is_taken_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    server = metrics.serve(port)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert b"transcode_attempts_total" in answer.read()
        with caplog.at_level(logging.ERROR):
            assert metrics.serve(port) is None
    finally:
        assert server is not None
        server.shutdown()
        server.server_close()


def test_a_bridge_tells_that_it_lives(farm: Farm) -> None:
    quick = farm.desk.settings.model_copy(update={"lease": 0.04})
    bridge = Bridge(submit.Desk(**vars(farm.desk) | {"settings": quick}), [], lambda: None)
    bridge.start()
    try:
        until(lambda: farm.store.read_aside("farm", "bridge"), "it tells", 10)
    finally:
        bridge.stop()
