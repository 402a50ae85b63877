"""A node as a child process: real processes, a clock that stands still until a test moves it."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.farm import until
from workers.child import FIRST_REST, LONGEST_REST, PROVEN, Child

Make = Callable[..., Child]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes a child that runs a line of shell; none outlives its test."""
    made: list[Child] = []

    def one(line: str, patience: float | None = None, **changes: str) -> Child:
        made.append(Child("gpu0", changes, lambda _: ["sh", "-c", line], patience))
        return made[-1]

    yield one
    for child in made:
        if child.running:
            child.end(0.0, signal.SIGKILL)
            over(child, 0.0)


def over(child: Child, now: float) -> None:
    """Look, at a time that stands still, until the child is seen to have ended."""

    def looked() -> bool:
        child.look(now)
        return not child.running

    until(looked, "the child ends")


def begun(child: Child, now: float = 0.0) -> None:
    child.want()
    child.look(now)
    assert child.running


def test_it_runs_once_it_is_wanted_and_no_longer_when_it_is_not(make: Make) -> None:
    child = make("exec sleep 600")
    child.look(0.0)
    assert not child.running
    begun(child)
    child.end(1.0)
    over(child, 1.0)
    child.look(1000.0)
    assert (child.running, child.status, child.failed, child.starts) == (False, -signal.SIGTERM, False, 1)


def test_it_has_its_own_environment_and_its_own_session(make: Make, tmp_path: Path) -> None:
    child = make(
        f"echo $CARD > {tmp_path}/card.new; mv {tmp_path}/card.new {tmp_path}/card; exec sleep 600", CARD="GPU-7"
    )
    begun(child)
    until((tmp_path / "card").exists, "it has told")
    assert (tmp_path / "card").read_text() == "GPU-7\n"
    pid = child._process.pid if child._process else 0
    assert (os.getsid(pid), os.getpgid(pid)) == (pid, pid)


def test_one_that_ends_by_itself_is_started_again_after_ever_longer_rests(make: Make) -> None:
    child, now, rests = make("exit 3"), 0.0, []
    begun(child)
    for _ in range(9):
        over(child, now)
        assert (child.status, child.failed) == (3, True)
        rest = next(r for r in (FIRST_REST * 2**n for n in range(12)) if _starts(child, now + min(r, LONGEST_REST)))
        rests.append(min(rest, LONGEST_REST))
        now += rests[-1]
    assert rests == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def _starts(child: Child, now: float) -> bool:
    starts = child.starts
    child.look(now - 0.01)
    assert child.starts == starts, "not a moment earlier"
    child.look(now)
    return child.starts > starts


def test_after_a_long_run_the_rests_begin_anew(make: Make, tmp_path: Path) -> None:
    child, now = make(f"test -e {tmp_path}/fit && exec sleep 600; exit 3"), 0.0
    begun(child)
    for rest in (1.0, 2.0, 4.0):
        over(child, now)
        now += rest
        (tmp_path / "fit").touch() if rest == 4.0 else None
        child.look(now)
    until(lambda: child._process and psutil.Process(child._process.pid).name() == "sleep", "it runs well")
    os.kill(child._process.pid if child._process else 0, signal.SIGKILL)
    now += PROVEN
    over(child, now)
    assert _starts(child, now + FIRST_REST)


def test_wanting_it_again_while_it_ends_starts_it_at_once(make: Make) -> None:
    child = make("exec sleep 600")
    begun(child)
    child.end(1.0)
    child.want()
    until(lambda: child.look(1.0) or child.starts == 2, "it runs again")
    assert child.running


def test_what_a_killed_node_leaves_behind_is_killed_before_the_next_one_starts(make: Make, tmp_path: Path) -> None:
    child = make(f"sleep 600 & echo $! > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; wait")
    begun(child)
    until((tmp_path / "pid").exists, "it has a child of its own")
    left = psutil.Process(int((tmp_path / "pid").read_text()))
    os.kill(child._process.pid if child._process else 0, signal.SIGKILL)
    over(child, 1.0)
    until(lambda: not left.is_running() or left.status() == psutil.STATUS_ZOMBIE, "its child is gone")
    assert (child.status, child.wanted) == (-signal.SIGKILL, True)


def test_one_that_does_not_listen_is_killed_when_patience_is_over(make: Make, tmp_path: Path) -> None:
    child = make(f"trap '' TERM; touch {tmp_path}/deaf; while :; do sleep 0.1; done", patience=120.0)
    begun(child)
    until((tmp_path / "deaf").exists, "it is deaf")
    child.end(10.0)
    # A second request begins no new wait.
    child.end(100.0)
    for _ in range(3):
        child.look(130.0)
        time.sleep(0.1)
    assert child.running
    over(child, 130.1)
    assert (child.status, child.failed) == (-signal.SIGKILL, True)


def test_every_signal_is_passed_on(make: Make, tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    # No shell: dash drops a signal that comes while it starts another program.
    program = tmp_path / "listens.py"
    program.write_text(
        "import pathlib, signal\n"
        f"heard = pathlib.Path({str(heard)!r}).open('ab', buffering=0)\n"
        "for number, word in ((signal.SIGTERM, b'T\\n'), (signal.SIGQUIT, b'Q\\n')):\n"
        "    signal.signal(number, lambda *_, word=word: heard.write(word))\n"
        f"pathlib.Path({str(tmp_path / 'listens')!r}).touch()\n"
        "while True:\n"
        "    signal.pause()\n"
    )
    child = make(f"exec {sys.executable} {program}")
    begun(child)
    until((tmp_path / "listens").exists, "it listens")
    for number, told in ((signal.SIGTERM, "T\n"), (signal.SIGQUIT, "T\nQ\n"), (signal.SIGTERM, "T\nQ\nT\n")):
        child.end(1.0, number)
        until(lambda told=told: heard.read_text() == told, "it has heard")


def test_a_program_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    child = Child("gpu0", {}, lambda _: [str(tmp_path / "none")])
    child.want()
    child.look(0.0)
    assert (child.running, child.starts) == (False, 1)
    assert _starts(child, FIRST_REST)


def test_a_node_is_told_to_end_when_its_fleet_is_killed(tmp_path: Path) -> None:
    node = (
        "import os, signal, sys, time; from workers.child import end_with; end_with(int(sys.argv[1]));"
        f"open({str(tmp_path / 'new')!r}, 'w').write(str(os.getpid()));"
        f"os.rename({str(tmp_path / 'new')!r}, {str(tmp_path / 'pid')!r}); time.sleep(600)"
    )
    fleet = f"""
import os, sys, time
from workers.child import Child
child = Child("gpu0", {{}}, lambda _: [sys.executable, "-c", {node!r}, str(os.getpid())])
child.want(); child.look(0.0); time.sleep(600)
"""
    parent = psutil.Popen([sys.executable, "-c", fleet], cwd=Path(__file__).parents[2])
    try:
        until((tmp_path / "pid").exists, "the node runs")
        child = psutil.Process(int((tmp_path / "pid").read_text()))
        assert child.is_running()
    finally:
        parent.kill()
        parent.wait()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "the node is gone")
