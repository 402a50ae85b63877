"""The demo as a newcomer runs it, and as an impatient one interrupts it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.clips import make
from tests.farm import until
from transcode.presets import load

ROOT = Path(__file__).parents[2]


def demo(folder: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", "demo", *words], cwd=folder, text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


# A deployment's settings, which lie where the demo is started: none of them is the demo's.
_REAL = """
API_KEYS=a-key-of-more-than-sixteen
CALLBACK_TARGETS=orders=http://127.0.0.1:9/hook
CALLBACK_SECRETS=orders=0123456789abcdef
CALLBACK_QUEUE_URL=http://127.0.0.1:9/123456789012/callbacks
DEFAULT_CALLBACK=orders
PRESETS_FILE=/absent.toml
"""


def test_a_video_of_ones_own_comes_out_in_all_renditions(tmp_path: Path) -> None:
    (tmp_path / "config.env").write_text(_REAL)
    clip = make(tmp_path / "我的 [film].mp4", size="320x180", seconds=1.0)
    with demo(tmp_path, "--video", str(clip)) as child:
        said, _ = child.communicate(timeout=240)
    assert child.returncode == 0, said
    for name in load().names:
        assert name in said
        assert list((tmp_path / "demo-output").glob(f"{name}.*"))
    assert "s3://demo-output/uploads/我的 [film].mp4/" in said
    assert "/docs" in said
    assert "encode" in said
    assert "allback" not in (tmp_path / "demo-output/logs/bridge.log").read_text()


@pytest.mark.parametrize("moment", ["Bucket demo-input: create", "Started in", "task received"])
def test_ctrl_c_leaves_no_process_behind(tmp_path: Path, moment: str) -> None:
    clip = make(tmp_path / "film.mp4")
    with demo(tmp_path, "--video", str(clip)) as child:
        family = _wait_for(child, tmp_path, moment)
        child.send_signal(signal.SIGINT)
        said, _ = child.communicate(timeout=60)
    assert child.returncode == 130, said
    assert "nothing is left running" in said
    until(lambda: not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE], "all are gone", 20)


def _wait_for(child: "subprocess.Popen[str]", folder: Path, moment: str) -> list[psutil.Process]:
    assert child.stdout is not None
    while moment != "task received":
        line = child.stdout.readline()
        assert line, "the demo ended early"
        if moment in line:
            return psutil.Process(child.pid).children(recursive=True)
    log = folder / "demo-output/logs/worker.log"
    until(lambda: log.exists() and "Task received" in log.read_text(), "the worker has the task")
    time.sleep(1.0)
    return psutil.Process(child.pid).children(recursive=True)


def test_a_file_that_is_no_video_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    for name in ("notes.txt", "absent.mp4"):
        with demo(tmp_path, "--video", name) as child:
            said, _ = child.communicate(timeout=60)
        assert child.returncode == 1
        assert name in said
        assert "Traceback" not in said
