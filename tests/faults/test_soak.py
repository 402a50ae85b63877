"""The soak as a test: a small round in a process of its own, as `make soak` runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.history import History

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_round_of_the_soak_breaks_no_promise() -> None:
    environment = os.environ | {"SOAK_TASKS": "60", "SOAK_SEED": "7"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "60 tasks" in done.stdout


def record(**changes: object) -> dict[str, object]:
    base = {
        "task_id": {"S": "t"}, "status": {"S": "processing"}, "phase": {"S": "working"}, "ver": {"N": "1"},
        "epoch": {"N": "1"}, "attempts": {"N": "1"}, "max_retries": {"N": "3"}, "generation": {"N": "0"},
        "lease_until": {"N": "1"},
    }  # fmt: skip
    return {**base, **changes}


def update(**changes: object) -> dict[str, object]:
    given = {"ver": {"N": "2"}} | changes
    return {
        "ExpressionAttributeNames": {f"#{name}": name for name in given},
        "ExpressionAttributeValues": {f":{name}": value for name, value in given.items()},
    }


@pytest.mark.parametrize(
    ("old", "new", "by", "broken"),
    [
        ({}, {"lease_until": {"N": "2"}}, "w1.1", ""),
        ({}, {"lease_until": {"N": "2"}}, "w2.1", "lost the lease"),
        ({}, {"epoch": {"N": "0"}}, "w1.1", "epoch fell"),
        ({}, {"ver": {"N": "5"}}, "w1.1", "ver did not grow"),
        ({}, {"attempts": {"N": "4"}}, "w1.1", "more attempts"),
        ({"lease_until": {"N": "9999999999"}}, {"epoch": {"N": "2"}}, "w2.1", "while the lease ran"),
        ({"phase": {"S": "publishing"}}, {"epoch": {"N": "2"}}, "w2.1", "while being published"),
        ({"status": {"S": "completed"}}, {"status": {"S": "pending"}}, "api.1", "completed became pending"),
        ({"status": {"S": "failed"}}, {"status": {"S": "pending"}}, "api.1", "without a retry"),
        ({"cancel_requested": {"BOOL": True}}, {"phase": {"S": "publishing"}}, "w1.1", "committed after"),
        ({}, {"status": {"S": "failed"}}, "w1.1", "without a reason"),
        ({}, {"error_code": {"S": "bug"}}, "w1.1", "nobody foresaw"),
    ],
)
def test_the_history_notices_what_no_write_may_do(
    old: dict[str, object], new: dict[str, object], by: str, broken: str
) -> None:
    history = History()
    history.put("w1.1", record(**old))
    history.holders["t"] = "w1.1"
    history.update(by, "t", update(**new))
    found = " ".join(v.text for v in history.violations)
    assert (broken in found) if broken else not found
