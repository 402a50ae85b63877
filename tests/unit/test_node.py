"""How a node of a fleet ends before it works: its exit status is what the fleet judges it by."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
GOOD = {
    "AWS_REGION": "eu-west-1", "INPUT_BUCKET": "in-bucket", "OUTPUT_BUCKET": "out-bucket", "DYNAMODB_TABLE": "tasks",
    "SQS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/1/tasks",
}  # fmt: skip


def node(folder: Path, parent: int, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workers.node", "gpu0", str(parent)], cwd=folder, capture_output=True, text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **GOOD, "TEMP_DIR": str(folder), **changes},
        timeout=120, check=False,
    )  # fmt: skip


def test_a_bad_setting_is_a_sentence_and_status_2(tmp_path: Path) -> None:
    done = node(tmp_path, os.getpid(), MAX_CONCURRENT_TASKS="many")
    assert done.returncode == 2
    assert "MAX_CONCURRENT_TASKS is wrong" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_type_that_no_preset_has_is_a_bad_setting_too(tmp_path: Path) -> None:
    done = node(tmp_path, os.getpid(), DEFAULT_TRANSCODE_TYPES="mp4_stanard")
    assert (done.returncode, "mp4_stanard" in done.stderr, "Traceback" in done.stderr) == (2, True, False)


def test_a_node_whose_fleet_is_gone_already_does_not_begin(tmp_path: Path) -> None:
    done = node(tmp_path, 1 if os.getpid() != 1 else 2)
    assert (done.returncode, done.stderr) == (1, "")
