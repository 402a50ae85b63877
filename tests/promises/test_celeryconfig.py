"""What the README and the design promise of `celeryconfig.py`: known options, each with its reason, no secret."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from celery.app.defaults import NAMESPACES, flatten

ROOT = Path(__file__).parents[2]
SOURCE = (ROOT / "celeryconfig.py").read_text()
SECRET = "a-secret-that-nobody-may-see"
# Port 9 of the loopback answers nobody: importing must not need AWS.
ENVIRONMENT = {
    "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "AKIAPROMISE",
    "AWS_SECRET_ACCESS_KEY": SECRET, "INPUT_BUCKET": "in-bucket", "OUTPUT_BUCKET": "out-bucket",
    "DYNAMODB_TABLE": "tasks",
    "SQS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/transcode", "MAX_CONCURRENT_TASKS": "3",
}  # fmt: skip
PRINT = """
import json
from celery import Celery
app = Celery()
app.config_from_object("celeryconfig")
print(json.dumps(app.conf.table(with_defaults=False), default=repr))
"""


def loaded(tmp_path: Path, **more: str) -> dict[str, Any]:
    """The configuration as Celery reads it, in a process and a folder of its own."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | ENVIRONMENT | more
    command = [sys.executable, "-c", PRINT]
    found = subprocess.run(
        command, cwd=tmp_path, env=env | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return loaded(tmp_path_factory.mktemp("config"))


def options() -> list[tuple[str, int]]:
    """Every option that the file sets, and its line; also those inside the transport's options."""
    found = []
    for node in ast.parse(SOURCE).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.append((node.targets[0].id, node.lineno))
            if isinstance(node.value, ast.Dict):
                found += [(str(k.value), k.lineno) for k in node.value.keys if isinstance(k, ast.Constant)]
    return found


def test_every_option_is_one_that_celery_knows() -> None:
    known = {option[0] for option in flatten(NAMESPACES)}
    top = {
        n.targets[0].id
        for n in ast.parse(SOURCE).body
        if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)
    }
    assert sorted(top - known) == ["_settings"]


def test_every_group_of_options_has_its_reason() -> None:
    lines = SOURCE.splitlines()
    names = {name for name, _ in options()}
    for name, number in options():
        above = number - 2
        # A comment may speak for the options that follow it without a gap.
        while lines[above].strip().split(" ")[0].strip('":') in names:
            above -= 1
        if not lines[above].rstrip().endswith("{"):
            assert lines[above].strip().startswith("#"), name


def test_it_holds_no_secret_and_can_be_printed(config: dict[str, Any]) -> None:
    text = json.dumps(config)
    assert SECRET not in text
    assert "AKIAPROMISE" not in text
    assert 'broker_url = "sqs://"' in SOURCE


def test_json_only(config: dict[str, Any]) -> None:
    assert config["accept_content"] == config["result_accept_content"] == ["json"]
    assert config["task_serializer"] == "json"


def test_a_message_is_deleted_only_after_success(config: dict[str, Any]) -> None:
    assert config["task_acks_late"] is True
    assert config["task_reject_on_worker_lost"] is True
    assert config["task_acks_on_failure"] is False
    assert config["task_acks_on_timeout"] is False


def test_a_worker_holds_what_it_runs(config: dict[str, Any]) -> None:
    assert config["worker_prefetch_multiplier"] == 1
    assert config["worker_concurrency"] == 3
    assert config["worker_enable_prefetch_count_reduction"] is False
    assert config["worker_cancel_long_running_tasks_on_connection_loss"] is False


def test_no_results_are_kept(config: dict[str, Any]) -> None:
    assert config["task_ignore_result"] is True
    assert config.get("result_backend") is None


def test_one_queue_by_its_address(config: dict[str, Any]) -> None:
    assert config["broker_transport_options"]["queue_urls"] == {"transcode": ENVIRONMENT["SQS_QUEUE_URL"]}
    assert config["task_default_queue"] == "transcode"
    assert config["task_create_missing_queues"] is False
    assert len(config["task_queues"]) == 1


@pytest.mark.parametrize(("given", "poll", "pause"), [("20s", 20, 0), ("5s", 5, 0), ("1m30s", 20, 70)])
def test_poll_interval_is_a_long_poll_and_then_a_pause(tmp_path: Path, given: str, poll: int, pause: float) -> None:
    found = loaded(tmp_path, POLL_INTERVAL=given)["broker_transport_options"]
    assert (found["wait_time_seconds"], found["idle_pause"]) == (poll, pause)
    assert found["polling_interval"] == 0
    assert found["poll_timeout"] > poll


def test_a_bad_setting_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="MAX_CONCURRENT_TASKS is wrong"):
        loaded(tmp_path, MAX_CONCURRENT_TASKS="none")
