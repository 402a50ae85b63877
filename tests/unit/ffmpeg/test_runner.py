"""The runner with small real programs: what it kills, keeps and leaves out."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from transcode.errors import Cancelled, EncoderStalled, EncoderTimeout
from transcode.ffmpeg import runner
from transcode.ffmpeg.progress import Report
from transcode.ffmpeg.runner import Limits, run

MINUTE = Limits(seconds=60.0)


def script(text: str) -> list[str]:
    return ["/bin/sh", "-c", text]


def gone(pid: int) -> bool:
    """Whether a process has ended, within five seconds."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def written(path: Path) -> int:
    """The number in a file, once it is there."""
    for _ in range(200):
        if path.exists() and path.read_text().strip():
            return int(path.read_text())
        time.sleep(0.05)
    raise AssertionError(f"{path.name} was never written")


def test_a_run_has_status_answer_and_words() -> None:
    ended = run(script("echo yes; echo no >&2; exit 3"), MINUTE)
    assert (ended.status, ended.answer, ended.words) == (3, "yes\n", "no\n")


def test_a_signal_is_a_negative_status() -> None:
    assert run(script("kill -SEGV $$"), MINUTE).status == -signal.SIGSEGV


def test_secrets_of_the_worker_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    answer = run(["/usr/bin/env"], MINUTE).answer
    assert {line.partition("=")[0] for line in answer.splitlines()} <= {
        "PATH", "LD_LIBRARY_PATH", "LC_ALL", "AV_LOG_FORCE_NOCOLOR",
    }  # fmt: skip


def test_it_runs_in_its_folder_without_input(tmp_path: Path) -> None:
    ended = run(script("pwd; cat"), MINUTE, folder=tmp_path)
    assert ended.answer == f"{tmp_path}\n"


def test_only_the_last_words_of_a_flood_are_kept_without_control_characters() -> None:
    ended = run(script("yes odd | head -n 100000 >&2; printf 'end\\033[31m\\000!\\n' >&2"), MINUTE)
    assert len(ended.words) <= 64 * 1024
    assert ended.words.endswith("odd\nend[31m!\n")


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    ended = run(script("head -c 3000000 /dev/zero | tr '\\0' x >&2"), MINUTE)
    assert len(ended.words) <= 64 * 1024


def test_what_the_check_raises_ends_the_run_and_all_its_children(tmp_path: Path) -> None:
    child = tmp_path / "child"

    def check() -> None:
        if child.exists():
            raise Cancelled("The task was cancelled.")

    with pytest.raises(Cancelled):
        run(script(f"sleep 300 & echo $! > {child}.new; mv {child}.new {child}; wait"), MINUTE, check=check)
    assert gone(written(child))


def test_a_run_that_ignores_the_request_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_GRACE", 0.3)
    ready = tmp_path / "ready"

    def check() -> None:
        if ready.exists():
            raise Cancelled("The task was cancelled.")

    with pytest.raises(Cancelled):
        run(script(f"trap '' TERM; echo $$ > {ready}.new; mv {ready}.new {ready}; while :; do sleep 0.1; done"), MINUTE,
            check=check)  # fmt: skip
    assert gone(written(ready))


def test_a_run_that_takes_too_long_is_ended() -> None:
    with pytest.raises(EncoderTimeout, match="not done after 1 seconds"):
        run(["/bin/sleep", "300"], Limits(seconds=1.0))


def test_a_run_that_does_not_move_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transcode.ffmpeg.stall.BEFORE_FIRST", 0.5)
    monkeypatch.setattr("transcode.ffmpeg.stall.AFTER_FIRST", 0.5)
    hung = "while :; do echo frame=3; echo out_time_us=100; echo progress=continue; sleep 0.1; done"
    with pytest.raises(EncoderStalled):
        run(script(hung), MINUTE)


def test_each_block_of_progress_is_told() -> None:
    told: list[Report] = []
    blocks = "".join(f"echo frame={n}; echo progress=continue; sleep 0.6; " for n in (1, 2, 3))
    run(script(blocks), MINUTE, on_report=told.append)
    assert [report.frame for report in told] == [1, 2, 3]


def test_a_file_beyond_the_limit_ends_the_run(tmp_path: Path) -> None:
    ended = run(["/usr/bin/head", "-c", "100000", "/dev/zero"], MINUTE)
    assert ended.status == 0
    limits = Limits(seconds=60.0, largest_file=10_000)
    ended = run(script("sleep 0.2; exec dd if=/dev/zero of=big bs=5000 count=10"), limits, folder=tmp_path)
    assert ended.status == -signal.SIGXFSZ
    assert (tmp_path / "big").stat().st_size == 10_000


def test_a_crash_leaves_no_core() -> None:
    assert run(script("sleep 0.2; ulimit -c"), MINUTE).answer == "0\n"


def test_a_killed_worker_takes_its_run_along(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    worker = subprocess.Popen(
        [
            sys.executable, "-c",
            "import sys; from transcode.ffmpeg.runner import run, Limits\n"
            f"run(['/bin/sh', '-c', 'echo $$ > {pid}; exec sleep 300'], Limits(60.0))",
        ],
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    try:
        child = written(pid)
        os.kill(worker.pid, signal.SIGKILL)
    finally:
        worker.kill()
        worker.wait()
    assert gone(child)
