"""`transcode provision` as people type it: a plan, the making of it, policies; in words and as JSON."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.conftest import INPUT, OUTPUT, TABLE
from transcode.aws import clients, iam
from transcode.settings import Settings

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(account: Settings, tmp_path: Path) -> Run:
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "AWS_REGION": account.aws_region,
        "AWS_ENDPOINT_URL": account.aws_endpoint_url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
        "INPUT_BUCKET": INPUT, "OUTPUT_BUCKET": OUTPUT, "DYNAMODB_TABLE": TABLE,
        "SQS_QUEUE_URL": account.sqs_queue_url, "EVENT_QUEUE_URL": account.event_queue_url,
    }  # fmt: skip

    def typed(*words: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli.main", "provision", *words], cwd=tmp_path, env=environment | changes,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return typed


def test_a_plan_then_the_making_then_nothing(run: Run, account: Settings) -> None:
    planned = run("--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert f"To do: Bucket {INPUT}: create\n" in planned.stdout
    assert "To do: Topic transcode-tasks-celery-pidbox: create, for remote control\n" in planned.stdout
    assert planned.stdout.endswith("Nothing was changed.\n")
    assert clients.s3(account).list_buckets()["Buckets"] == []
    done = run("--admin-origin", "https://farm.example.com", "--point-in-time-recovery")
    assert f"Bucket {INPUT}: let pages of https://farm.example.com upload to it\n" in done.stdout
    assert done.stdout.endswith("Everything is there now.\n")
    for words in ((), ("--dry-run",)):
        assert run(*words).stdout == "Everything is there already.\n"


def test_for_programs(run: Run) -> None:
    planned = json.loads(run("--dry-run", "--json").stdout)
    done = json.loads(run("--json").stdout)
    assert (planned["applied"], done["applied"]) == (False, True)
    assert planned["steps"] == done["steps"]
    assert done["task_queue_url"].endswith("/transcode-tasks")
    assert json.loads(run("--json").stdout)["steps"] == []


def test_without_remote_control_there_is_no_topic_and_no_right_to_one(run: Run) -> None:
    assert "Topic" not in run("--dry-run", REMOTE_CONTROL="false").stdout
    worker = json.loads(run("--policies", REMOTE_CONTROL="false").stdout)["worker"]
    assert {statement["Sid"] for statement in worker["Statement"]} & {"Mailboxes", "Topic", "Reaper"} == set()


def test_the_policies_name_what_the_settings_name(run: Run, account: Settings) -> None:
    found = json.loads(run("--policies").stdout)
    assert tuple(found) == iam.ROLES
    resources = {arn for policy in found.values() for s in policy["Statement"] for arn in s["Resource"]}
    assert f"arn:aws:dynamodb:eu-central-1:123456789012:table/{TABLE}" in resources
    assert "arn:aws:sqs:eu-central-1:123456789012:transcode-events" in resources
    assert f"arn:aws:s3:::{OUTPUT}/*" in resources
    assert "arn:aws:sqs:eu-central-1:123456789012:transcode-tasks-dlq" in resources


def test_the_policies_name_the_dead_letter_queue_that_is_there(run: Run, account: Settings) -> None:
    client = clients.sqs(account)
    client.create_queue(QueueName="own-dlq")
    arn = "arn:aws:sqs:eu-central-1:123456789012:own-dlq"
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "5"})
    client.create_queue(QueueName="transcode-tasks", Attributes={"RedrivePolicy": redrive})
    assert arn in run("--policies").stdout


def test_in_china_arns_begin_otherwise(run: Run) -> None:
    told = run("--policies", AWS_REGION="cn-north-1").stdout
    assert "arn:aws-cn:s3:::" in told
    assert "arn:aws:" not in told


def test_what_is_no_origin_is_a_sentence(run: Run) -> None:
    done = run("--admin-origin", "farm.example.com")
    assert (done.returncode, "'farm.example.com' is no origin" in done.stderr) == (2, True)


def test_an_address_without_an_account_is_a_sentence(run: Run) -> None:
    done = run("--policies", SQS_QUEUE_URL="http://127.0.0.1:9324/queue/tasks")
    assert (done.returncode, "names no account" in done.stderr) == (2, True)
