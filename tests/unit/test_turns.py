import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.farm import until
from transcode.errors import Cancelled
from transcode.turns import turn


def folder(scratch: Path, task: str) -> Path:
    made = scratch / task / "1"
    made.mkdir(parents=True)
    return made


class Downloader:
    """One that waits for its turn in a thread, and downloads until it is told to end."""

    def __init__(self, scratch: Path, task: str, size: int) -> None:
        self._what = scratch, folder(scratch, task), size
        self.under_way, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with turn(*self._what, lambda: None):
            self.under_way.set()
            self._end.wait()

    def waits(self) -> bool:
        return not self.under_way.wait(0.4)

    def end(self) -> None:
        self._end.set()
        self._thread.join()


@pytest.fixture
def begin(tmp_path: Path) -> Callable[[str, int], Downloader]:
    return lambda task, size: Downloader(tmp_path, task, size)


def test_equal_films_download_one_after_the_other(begin: Callable[[str, int], Downloader]) -> None:
    first = begin("a", 100)
    assert first.under_way.wait(5)
    second = begin("b", 100)
    assert second.waits()
    first.end()
    assert second.under_way.wait(5)
    second.end()


def test_a_larger_film_lets_a_smaller_one_pass_and_none_waits_for_a_larger_one(
    begin: Callable[[str, int], Downloader],
) -> None:
    small, large = begin("z", 99), begin("a", 100)
    assert small.under_way.wait(5)
    assert large.waits()
    small.end()
    assert large.under_way.wait(5)
    smaller = begin("y", 98)
    assert smaller.under_way.wait(5)
    smaller.end()
    large.end()


def test_a_killed_process_keeps_nobody(tmp_path: Path) -> None:
    ours, theirs = folder(tmp_path, "b"), folder(tmp_path, "a")
    program = (
        "import sys, time; from pathlib import Path; from transcode.turns import turn\n"
        "with turn(Path(sys.argv[1]), Path(sys.argv[2]), 100, lambda: None): print(flush=True); time.sleep(60)"
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
        with turn(scratch, own, 100, lambda: None):
            self.over.set()


def test_who_is_to_stop_does_not_wait(tmp_path: Path, begin: Callable[[str, int], Downloader]) -> None:
    first = begin("a", 100)
    assert first.under_way.wait(5)
    own = folder(tmp_path, "b")

    def check() -> None:
        raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled), turn(tmp_path, own, 100, check):
        pass
    assert list(own.iterdir()) == []
    first.end()
    until(lambda: not list(tmp_path.glob("a/1/*")), "the note is gone")
