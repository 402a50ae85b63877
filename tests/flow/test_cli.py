"""The `transcode` command as a process, against the real farm: as people and scripts use it."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clips import make
from tests.farm import Farm, until

COMMAND = [sys.executable, "-m", "cli.main"]


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    folder = tmp_path_factory.mktemp("cli")
    with Farm(folder, SANDBOX="none", CUDA_VISIBLE_DEVICES="") as farm:
        farm.upload(make(folder / "clip.mp4"), "2025/clip.mp4")
        farm.upload(make(folder / "long.mp4", size="1280x720", seconds=60, rate=30), "long.mp4")
        farm.start("worker")
        yield farm


def transcode(farm: Farm, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *words], cwd=farm.log_path("x").parent, env=farm.environment | changes, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


def test_a_video_is_submitted_watched_and_shown(farm: Farm) -> None:
    task_id = transcode(farm, "submit", "flow-input", "2025/clip.mp4", "--type", "thumbnail").stdout.strip()
    watched = transcode(farm, "watch", task_id)
    assert (watched.returncode, watched.stdout.splitlines()[-1]) == (0, f"{task_id} completed")
    shown = transcode(farm, "task", task_id)
    assert "s3://flow-output/2025/clip.mp4/thumbnail.jpg" in shown.stdout
    (listed,) = json.loads(transcode(farm, "tasks", "--json", "--status", "completed").stdout)["tasks"]
    assert listed["task_id"] == task_id
    status = transcode(farm, "status")
    assert status.returncode == 0
    until(lambda: "1 running" in transcode(farm, "status").stdout, "the worker is seen")
    assert "1 completed" in transcode(farm, "status").stdout


def test_a_folder_is_submitted(farm: Farm) -> None:
    done = transcode(farm, "submit", "--under", "2025/", "-t", "thumbnail")
    (line,) = done.stdout.splitlines()
    assert (line.split()[1], done.stderr) == ("2025/clip.mp4", "1 of 1 tasks were added.\n")
    assert farm.over(line.split()[0]).status == "completed"


def test_ctrl_c_ends_the_watching_and_not_the_task(farm: Farm) -> None:
    task_id = transcode(farm, "submit", "flow-input", "long.mp4", "-t", "hdlbr_h265").stdout.strip()
    watcher = subprocess.Popen(
        [*COMMAND, "watch", task_id], cwd=farm.log_path("x").parent, env=farm.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert watcher.stdout is not None
    assert watcher.stdout.readline().startswith(task_id)
    watcher.send_signal(signal.SIGINT)
    _, told = watcher.communicate(timeout=30)
    assert (watcher.returncode, told) == (130, "Watched no longer; the tasks go on.\n")
    assert not farm.store.read(task_id).over
    assert transcode(farm, "cancel", task_id).returncode == 0
    watched = transcode(farm, "watch", task_id)
    assert (watched.returncode, watched.stdout.splitlines()[-1]) == (1, f"{task_id} cancelled")


def test_on_a_terminal_there_are_bars(farm: Farm) -> None:
    task_id = transcode(farm, "submit", "flow-input", "2025/clip.mp4", "--type", "mp4_smooth").stdout.strip()
    ours, theirs = pty.openpty()
    environment = farm.environment | {"TERM": "xterm", "COLUMNS": "80"}
    child = subprocess.Popen(
        [*COMMAND, "watch", task_id], cwd=farm.log_path("x").parent, env=environment, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    text = read_all(ours)
    assert child.wait(30) == 0
    assert "2025/clip.mp4" in text
    assert "━" in text
    # The cursor is shown again.
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def read_all(terminal: int) -> str:
    found = b""
    while True:
        try:
            found += os.read(terminal, 65536)
        except OSError:
            # So Linux tells that the other side is closed.
            return found.decode()


@pytest.mark.parametrize("words", ["tasks", "tasks --json", "config", "presets"])
def test_a_reader_that_leaves_is_no_error_to_be_told(farm: Farm, words: str) -> None:
    child = subprocess.Popen(
        [*COMMAND, *words.split()], cwd=farm.log_path("x").parent, env=farm.environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    child.stdout.close()
    _, told = child.communicate(timeout=60)
    assert told == b""


@pytest.mark.parametrize(
    ("changes", "status", "sentence"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, 1, "AWS did not answer"),
        ({"DYNAMODB_TABLE": "no-such-table"}, 1, "The table no-such-table does not exist"),
        ({"MAX_CONCURRENT_TASKS": "many"}, 2, "MAX_CONCURRENT_TASKS is wrong"),
        ({"DYNAMODB_TABLE": ""}, 2, "DYNAMODB_TABLE is missing"),
        ({"PRESETS_FILE": "/no/such/file.toml"}, 2, "PRESETS_FILE is wrong: file.toml: there is no such file."),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "nobody"}, 1, "nobody"),
    ],
    ids=lambda found: next(iter(found)) if isinstance(found, dict) else "",
)
def test_a_place_that_is_not_right_is_told_in_words(
    farm: Farm, changes: dict[str, str], status: int, sentence: str
) -> None:
    done = transcode(farm, "tasks", **changes)
    assert (done.returncode, done.stdout, sentence in done.stderr) == (status, "", True), done.stderr


def test_ctrl_c_of_a_long_request_is_the_end(farm: Farm) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        child = subprocess.Popen(
            [*COMMAND, "tasks"], cwd=farm.log_path("x").parent, text=True, stderr=subprocess.PIPE,
            env=farm.environment | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{deaf.getsockname()[1]}"},
        )  # fmt: skip
        deaf.settimeout(60)
        connection, _ = deaf.accept()
        with connection:
            assert connection.recv(100)
            child.send_signal(signal.SIGINT)
            _, told = child.communicate(timeout=30)
    assert child.returncode == -signal.SIGINT
    assert told == ""


def test_shells_complete_what_costs_no_request(farm: Farm) -> None:
    def complete(words: str) -> list[str]:
        asked = {"_TRANSCODE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        script = str(Path(sys.executable).with_name("transcode"))
        done = subprocess.run(
            [script], cwd=farm.log_path("x").parent, env=farm.environment | asked, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        return done.stdout.split()

    assert complete("transcode submit --type mp4") == ["mp4_standard", "mp4_smooth"]
    assert complete("transcode submit flow-i") == ["flow-input"]
    assert complete("transcode tasks --status c") == ["completed", "cancelled"]
    assert complete("transcode wat") == ["watch"]
