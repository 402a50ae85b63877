"""The main job with nothing replaced but AWS: moto's server, real processes, a real Celery worker, real ffmpeg."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.farm import Farm, until
from transcode.ffmpeg import binaries
from transcode.presets import load
from transcode.states import Status


def task_of(farm: Farm, key: str) -> str:
    found: list[dict[str, Any]] = until(lambda: farm.tasks(key), f"a task for {key}")
    return str(found[0]["task_id"])


def probed(path: Path, farm: Farm) -> dict[str, Any]:
    command = [str(binaries.find(farm.settings).ffprobe), "-v", "error", "-show_streams", "-of", "json", str(path)]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


def event(key: str, bucket: str = "flow-input", etag: str = "e1") -> dict[str, Any]:
    return {
        "Records": [
            {
                "eventName": "ObjectCreated:Put",
                "eventTime": "2025-01-15T09:00:00.000Z",
                "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 5, "eTag": etag}},
            }
        ]
    }


def test_an_upload_alone_ends_in_renditions_and_a_record_that_tells_the_story(farm: Farm, clip: Path) -> None:
    farm.upload(clip, "day one/片 1.mp4")
    task_id = task_of(farm, "day one/片 1.mp4")
    assert farm.over(task_id).status is Status.COMPLETED
    shown = farm.get(f"/api/tasks/{task_id}")
    assert set(shown["output_files"]) == {"mp4_smooth", "thumbnail"}
    assert shown["output_files"]["mp4_smooth"] == "day one/片 1.mp4/mp4_smooth.mp4"
    assert shown["progress"] == {"mp4_smooth": "completed", "thumbnail": "completed"}
    assert shown["source"]["width"] == 640
    assert {"waiting", "fetch", "probe", "encode", "upload"} <= set(shown["phases"])
    # One upload in parts made two events; both are one task.
    assert len(farm.tasks("day one/片 1.mp4")) == 1
    for output in shown["outputs"].values():
        with urllib.request.urlopen(output["url"]) as answer:
            assert len(answer.read()) == output["bytes"]
            assert answer.headers["Content-Type"] in ("video/mp4", "image/jpeg")


def test_a_request_makes_the_types_of_the_callers_choice(farm: Farm, clip: Path, tmp_path: Path) -> None:
    farm.upload(clip, "asked.mp4")
    types = list(load().names)
    body = {"input_bucket": "flow-input", "input_key": "asked.mp4", "transcode_types": types}
    status, answer = farm.post("/api/queue/add", body)
    assert (status, answer["success"]) == (200, True)
    done = farm.over(answer["task_id"])
    assert done.status is Status.COMPLETED, done.error_message
    assert set(done.outputs) == set(types)
    for name, output in done.outputs.items():
        path = tmp_path / f"{name}{Path(output.key).suffix}"
        path.write_bytes(_object(farm, output.key))
        streams = probed(path, farm)["streams"]
        video = next(s for s in streams if s["codec_type"] == "video")
        assert (video["width"], video["height"]) == (output.width, output.height)
        assert any(s["codec_type"] == "audio" for s in streams) == bool(output.audio_codec)


def _object(farm: Farm, key: str) -> bytes:
    with urllib.request.urlopen(farm.storage.address("flow-output", key, 60)) as answer:
        data: bytes = answer.read()
    return data


def test_what_is_no_video_fails_and_says_why(farm: Farm, tmp_path: Path) -> None:
    (tmp_path / "letter.mp4").write_text("Dear reader, this is no film. " * 100)
    farm.upload(tmp_path / "letter.mp4", "letter.mp4")
    failed = farm.over(task_of(farm, "letter.mp4"))
    assert (failed.status, failed.error_code, failed.attempts) == (Status.FAILED, "input_not_media", 1)


def test_what_is_no_video_by_its_name_gets_no_task(farm: Farm, clip: Path) -> None:
    farm.upload(clip, "clip.txt")
    until(lambda: any(line.get("key") == "clip.txt" for line in farm.log("bridge")), "the bridge skips it")
    assert not farm.tasks("clip.txt")


def test_an_event_that_comes_three_times_is_one_task(farm: Farm) -> None:
    for _ in range(3):
        farm.sqs.send_message(QueueUrl=farm.settings.event_queue_url, MessageBody=json.dumps(event("thrice.mp4")))
    # The object does not exist: the task fails and says so.
    failed = farm.over(task_of(farm, "thrice.mp4"))
    assert failed.error_code == "input_not_found"
    assert len(farm.tasks("thrice.mp4")) == 1


def test_wrapped_events_are_understood(farm: Farm) -> None:
    sns = {"Type": "Notification", "TopicArn": "arn:x", "Message": json.dumps(event("by-sns.mp4"))}
    eventbridge = {
        "source": "aws.s3", "detail-type": "Object Created", "time": "2025-01-15T09:00:00Z",
        "detail": {"bucket": {"name": "flow-input"}, "object": {"key": "by eventbridge.mp4", "size": 5, "etag": "e"}},
    }  # fmt: skip
    for body in (sns, eventbridge):
        farm.sqs.send_message(QueueUrl=farm.settings.event_queue_url, MessageBody=json.dumps(body))
    for key in ("by-sns.mp4", "by eventbridge.mp4"):
        assert farm.over(task_of(farm, key)).error_code == "input_not_found"


def test_a_notification_in_the_task_queue_itself_works_too(farm: Farm, clip: Path) -> None:
    farm.upload(clip, "single-queue.mp4")
    first = task_of(farm, "single-queue.mp4")
    body = event("single-queue.mp4", etag="another-version")
    farm.sqs.send_message(QueueUrl=farm.settings.sqs_queue_url, MessageBody=json.dumps(body))
    until(lambda: len(farm.tasks("single-queue.mp4")) == 2, "the second task")
    assert farm.over(first).status is Status.COMPLETED


def test_a_malformed_event_stays_in_the_queue(farm: Farm) -> None:
    farm.sqs.send_message(QueueUrl=farm.settings.event_queue_url, MessageBody="no json at all")
    until(lambda: [li for li in farm.log("bridge") if "Malformed" in li["event"]], "the bridge says so")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = farm.sqs.get_queue_attributes(QueueUrl=farm.settings.event_queue_url, AttributeNames=names)["Attributes"]
    assert sum(int(v) for v in found.values()) >= 1


def test_the_log_has_the_lines_that_people_grep_for(farm: Farm, clip: Path) -> None:
    farm.upload(clip, "logged.mp4")
    task_id = task_of(farm, "logged.mp4")
    farm.over(task_id)
    wanted = ["Task received", "Transcode started", "Transcode completed", "Upload completed"]
    lines = until(lambda: _lines(farm, task_id, wanted), "the lines are in the log")
    assert all(line["process"] == "worker" for line in lines)


def _lines(farm: Farm, task_id: str, wanted: list[str]) -> list[dict[str, Any]]:
    lines = [line for line in farm.log("worker") if line.get("task_id") == task_id]
    return lines if set(wanted) <= {line["event"] for line in lines} else []


def test_no_secret_reaches_a_log_or_a_command_line(farm: Farm) -> None:
    secret = farm.environment["AWS_SECRET_ACCESS_KEY"]
    for name, child in farm.children.items():
        family = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
        text = farm.log_path(name).read_text() + " ".join(word for p in family for word in p.cmdline())
        assert secret not in text
        assert not re.search(r"X-Amz-Signature=[0-9a-f]{8}|Authorization: AWS4", text)


def test_the_queue_status_counts_and_names_the_queue(farm: Farm) -> None:
    status = farm.get("/api/queue/status")
    assert {"available_messages", "in_flight_messages", "queue_url", "waiting", "in_flight", "delayed"} <= set(status)


@pytest.mark.parametrize("program", ["api", "bridge", "worker"])
def test_a_bad_setting_ends_a_program_with_its_name_and_no_trace(tmp_path: Path, program: str) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), "API_PORT": "99999"}
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "INPUT_BUCKET is missing" in done.stderr
    assert "API_PORT is wrong (given: '99999')" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_task_longer_than_the_visibility_runs_once_beside_an_idle_worker(tmp_path: Path, clip: Path) -> None:
    """Four times longer: visibility and lease are short, and the heartbeat extends both."""
    with Farm(tmp_path, LEASE="3s", POLL_INTERVAL="2s") as farm:
        slow = _slow_ffmpeg(tmp_path, farm)
        farm.sqs.set_queue_attributes(QueueUrl=farm.settings.sqs_queue_url, Attributes={"VisibilityTimeout": "4"})
        for name in ("api", "bridge"):
            farm.start(name)
        farm.start("one", "worker", FFMPEG_PATH=slow)
        farm.start("two", "worker", FFMPEG_PATH=slow)
        farm.ready()
        farm.upload(clip, "long.mp4")
        task_id = task_of(farm, "long.mp4")
        until(lambda: farm.store.read(task_id).status is Status.PROCESSING, "it runs")
        began = time.monotonic()
        done = farm.over(task_id)
        assert time.monotonic() - began > 16
        assert (done.status, done.attempts, done.epoch) == (Status.COMPLETED, 1, 1)
        received = [line for name in ("one", "two") for line in farm.log(name) if line["event"] == "Task received"]
        assert len(received) == 1


def _slow_ffmpeg(folder: Path, farm: Farm) -> str:
    """The real ffmpeg, which first sleeps when it is to encode H.264."""
    script = folder / "slow-ffmpeg"
    real = binaries.find(farm.settings).ffmpeg
    script.write_text(f'#!/bin/sh\ncase "$*" in *file:*input*libx264*) sleep 17;; esac\nexec "{real}" "$@"\n')
    script.chmod(0o755)
    return str(script)


def test_a_stopped_worker_hands_its_task_to_another(tmp_path: Path, clip: Path) -> None:
    with Farm(tmp_path, POLL_INTERVAL="2s") as farm:
        slow = _slow_ffmpeg(tmp_path, farm)
        for name in ("api", "bridge"):
            farm.start(name)
        farm.start("one", "worker", FFMPEG_PATH=slow)
        farm.ready()
        farm.upload(clip, "handed.mp4")
        task_id = task_of(farm, "handed.mp4")
        until(lambda: farm.store.read(task_id).status is Status.PROCESSING, "it runs")
        assert farm.stop("one", signal.SIGTERM) == 0
        handed = farm.store.read(task_id)
        assert (handed.status, handed.attempts) == (Status.PENDING, 0)
        farm.start("two", "worker")
        assert farm.over(task_id).status is Status.COMPLETED
