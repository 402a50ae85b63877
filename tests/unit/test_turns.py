import itertools
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.farm import until
from transcode import turns
from transcode.errors import Cancelled
from transcode.turns import Shared, turn

SINCE = "2025-01-15T09:00:00.000000Z"


def folder(scratch: Path, task: str) -> Path:
    made = scratch / task / "1"
    made.mkdir(parents=True)
    return made


class Downloader:
    """One that waits for its turn in a thread, and downloads until it is told to end."""

    def __init__(self, scratch: Path, task: str, size: int, since: str) -> None:
        self._what = scratch, folder(scratch, task), size, since
        self.under_way, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with turn(Shared.DOWN, *self._what, lambda: None):
            self.under_way.set()
            self._end.wait()

    def waits(self) -> bool:
        return not self.under_way.wait(0.4)

    def end(self) -> None:
        self._end.set()
        self._thread.join()


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., Downloader]:
    return lambda task, size, since=SINCE: Downloader(tmp_path, task, size, since)


def test_a_larger_film_lets_a_smaller_one_pass_and_none_waits_for_a_larger_one(
    begin: Callable[..., Downloader],
) -> None:
    small = begin("z", 99)
    assert small.under_way.wait(5)
    large = begin("a", 100)
    assert large.waits()
    small.end()
    assert large.under_way.wait(5)
    smaller = begin("y", 98)
    assert smaller.under_way.wait(5)
    smaller.end()
    large.end()


def test_equal_films_go_one_after_the_other_as_they_came(begin: Callable[..., Downloader]) -> None:
    first = begin("m", 100, "2025")
    assert first.under_way.wait(5)
    late = begin("a", 100, "2027")
    assert late.waits()
    early = begin("z", 100, "2026")
    assert late.waits()
    first.end()
    assert early.under_way.wait(5)
    assert late.waits()
    early.end()
    late.end()


def test_a_film_that_is_always_overtaken_goes_at_last(
    begin: Callable[..., Downloader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_PATIENCE", 0.5)
    small = begin("a", 1)
    assert small.under_way.wait(5)
    large = begin("b", 100)
    assert large.under_way.wait(5)
    small.end()
    large.end()


def test_tasks_that_come_and_go_disturb_nobody_who_waits(tmp_path: Path, begin: Callable[..., Downloader]) -> None:
    small, gone = begin("a", 1), threading.Event()
    assert small.under_way.wait(5)

    def come_and_go() -> None:
        while not gone.is_set():
            shutil.rmtree(folder(tmp_path, "x").parent)

    other = threading.Thread(target=come_and_go)
    other.start()
    large = begin("b", 100)
    time.sleep(1.5)
    assert large.waits()
    small.end()
    assert large.under_way.wait(5)
    large.end()
    gone.set()
    other.join()


def test_the_ways_do_not_wait_for_each_other(tmp_path: Path, begin: Callable[..., Downloader]) -> None:
    first = begin("a", 100)
    assert first.under_way.wait(5)
    with turn(Shared.UP, tmp_path, folder(tmp_path, "b"), 100, SINCE, lambda: pytest.fail("It waits.")):
        first.end()


@pytest.mark.parametrize(
    ("looks", "waits"),
    [((95.0,), True), ((40.0,), False), ((40.0, 95.0), True)],
    ids=["busy", "idle", "idle now and then"],
)
def test_an_encode_waits_for_another_unless_processors_have_little_to_do(
    looks: tuple[float, ...], waits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first question only begins the first look.
    busy = itertools.chain([0.0], itertools.cycle(looks))
    monkeypatch.setattr(turns.psutil, "cpu_percent", lambda: next(busy))
    monkeypatch.setattr(turns, "_LOOK", 0.2)
    monkeypatch.setattr(turns, "_PATIENCE", 1.0)
    with turn(Shared.CPU, tmp_path, folder(tmp_path, "a"), 100, "2025", lambda: None):
        began = time.monotonic()
        with turn(Shared.CPU, tmp_path, folder(tmp_path, "b"), 100, "2026", lambda: None):
            assert (time.monotonic() - began >= 1.0) == waits


def test_a_killed_process_keeps_nobody(tmp_path: Path) -> None:
    ours, theirs = folder(tmp_path, "b"), folder(tmp_path, "a")
    program = (
        "import sys, time; from pathlib import Path; from transcode.turns import Shared, turn\n"
        "with turn(Shared.DOWN, *map(Path, sys.argv[1:]), 100, '2024', lambda: None): print(flush=True); time.sleep(60)"
    )
    line = [sys.executable, "-c", program, str(tmp_path), str(theirs)]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        waiting = Waiting()
        threading.Thread(target=waiting.run, args=(tmp_path, ours), daemon=True).start()
        assert not waiting.over.wait(0.4)
        other.kill()
    assert waiting.over.wait(5)
    assert list(theirs.iterdir()) != []


class Waiting:
    def __init__(self) -> None:
        self.over = threading.Event()

    def run(self, scratch: Path, own: Path) -> None:
        with turn(Shared.DOWN, scratch, own, 100, SINCE, lambda: None):
            self.over.set()


def test_who_is_to_stop_does_not_wait(tmp_path: Path, begin: Callable[..., Downloader]) -> None:
    first = begin("a", 100)
    assert first.under_way.wait(5)
    own = folder(tmp_path, "b")

    def check() -> None:
        raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled), turn(Shared.DOWN, tmp_path, own, 100, SINCE, check):
        pass
    assert list(own.iterdir()) == []
    first.end()
    until(lambda: not list(tmp_path.glob("a/1/*")), "the note is gone")
