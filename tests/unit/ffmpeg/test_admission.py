"""Who may use a card, decided between real processes. Against a card's own numbers: tests/gpu/test_nvml.py."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path

import pytest

from transcode.errors import Cancelled, DeviceBusy
from transcode.ffmpeg.admission import Gate, Place, used
from transcode.ffmpeg.nvml import Card

SPAWN = multiprocessing.get_context("spawn")
GIB = 1024**3
# No driver knows it, so the estimates alone count.
CARD = Card(0, "GPU-00000000-0000-0000-0000-00000000dead", "NVIDIA L4", "570.86.15", 8 * GIB)


def gate(folder: Path, sessions: int | None = None, patience: float = 0.0) -> Gate:
    return Gate(folder, CARD, sessions, patience=patience)


def nothing() -> None: ...


def within(gate: Gate, sessions: int = 1, memory: int = GIB) -> bool:
    """Whether a run is let in."""
    try:
        with gate.admitted(sessions, memory, nothing):
            return True
    except DeviceBusy:
        return False


def coming_and_going(folder: Path, log: Path, limit: int, times: int) -> None:
    for _ in range(times):
        with gate(folder, limit, patience=120.0).admitted(2, GIB // 8, nothing), log.open("ab", buffering=0) as file:
            file.write(b"+")
            time.sleep(0.02)
            file.write(b"-")


def holding(folder: Path, inside: Path, sessions: int, memory: int) -> None:
    with gate(folder).admitted(sessions, memory, nothing):
        inside.touch()
        time.sleep(600)


@contextmanager
def held(folder: Path, sessions: int, memory: int) -> Iterator[multiprocessing.process.BaseProcess]:
    """A process that has a place until it is killed."""
    inside = folder.with_name("inside")
    child = SPAWN.Process(target=holding, args=(folder, inside, sessions, memory))
    child.start()
    try:
        for _ in range(600):
            if inside.exists() or not child.is_alive():
                break
            time.sleep(0.1)
        assert inside.exists()
        yield child
    finally:
        child.kill()
        child.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cards" / CARD.uuid


def test_processes_together_never_exceed_the_session_limit(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    children = [SPAWN.Process(target=coming_and_going, args=(folder, log, 4, 8)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 4
    steps = log.read_text()
    inside = [steps[:end].count("+") - steps[:end].count("-") for end in range(len(steps) + 1)]
    assert len(steps) == 4 * 8 * 2
    assert max(inside) <= 2
    assert used(folder) == (0, 0)
    assert [path.name for path in folder.iterdir()] == ["mutex"]


def test_a_killed_holder_frees_its_place(folder: Path) -> None:
    with held(folder, 3, GIB) as child:
        assert used(folder) == (3, GIB)
        assert not within(gate(folder, 3))
        child.kill()
        child.join()
        # Its file is still there and means nothing.
        assert len(list(folder.glob("*.place"))) == 1
        assert used(folder) == (0, 0)
        assert within(gate(folder, 3))
        assert list(folder.glob("*.place")) == []


def test_memory_of_a_run_that_was_just_let_in_counts(folder: Path) -> None:
    with held(folder, 1, 5 * GIB):
        with pytest.raises(DeviceBusy, match=r"NVIDIA L4 has 3072 of 8192 MiB .* needs 3328 MiB"):
            gate(folder).admitted(1, int(2.5 * GIB), nothing).__enter__()
        assert within(gate(folder), memory=2 * GIB)


def test_a_run_that_waits_is_let_in_when_there_is_room(folder: Path) -> None:
    waits, inside = threading.Event(), threading.Event()

    def second() -> None:
        with gate(folder, 1, patience=120.0).admitted(1, GIB, waits.set):
            inside.set()

    other = threading.Thread(target=second)
    with gate(folder, 1).admitted(1, GIB, nothing):
        other.start()
        assert waits.wait(60)
        assert not inside.is_set()
    other.join(60)
    assert inside.is_set()


def test_a_check_that_raises_ends_the_wait(folder: Path) -> None:
    looks = []

    def check() -> None:
        looks.append(1)
        if len(looks) == 3:
            raise Cancelled("The task was cancelled.")

    with gate(folder, 1).admitted(1, GIB, nothing):
        with pytest.raises(Cancelled):
            gate(folder, 1, patience=3600.0).admitted(1, GIB, check).__enter__()
        assert used(folder) == (1, GIB)


def test_patience_ends(folder: Path) -> None:
    with (
        gate(folder, 5).admitted(3, GIB, nothing),
        pytest.raises(DeviceBusy, match="allows 5 encode sessions at once, 3 are taken, and this run needs 4"),
    ):
        gate(folder, 5, patience=0.5).admitted(4, GIB, nothing).__enter__()


# Patience that would outlast the test: it must not be used.
@pytest.mark.parametrize(("sessions", "memory"), [(6, GIB), (1, 7 * GIB)])
@pytest.mark.parametrize("others", [0, 1])
def test_what_never_fits_is_refused_at_once(folder: Path, sessions: int, memory: int, others: int) -> None:
    with gate(folder).admitted(others, others * GIB, nothing), pytest.raises(DeviceBusy):
        gate(folder, 5, patience=3600.0).admitted(sessions, memory, nothing).__enter__()


def test_an_empty_card_with_too_little_memory_is_refused_at_once(folder: Path) -> None:
    with pytest.raises(DeviceBusy, match=r"NVIDIA L4 has 8192 of 8192 MiB of memory to spare.* needs 9318 MiB"):
        gate(folder, patience=3600.0).admitted(1, 7 * GIB, nothing).__enter__()


def test_an_error_inside_frees_the_place(folder: Path) -> None:
    with pytest.raises(Cancelled), gate(folder, 1).admitted(1, GIB, nothing):
        raise Cancelled("The task was cancelled.")
    assert within(gate(folder, 1))


def test_a_child_that_was_forked_inside_does_not_keep_the_place(folder: Path) -> None:
    with gate(folder, 1).admitted(1, GIB, nothing):
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
    try:
        assert within(gate(folder, 1))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_who_decides_and_stops_there_keeps_nobody_from_being_cancelled(folder: Path) -> None:
    folder.mkdir(parents=True)
    with (folder / "mutex").open("w") as mutex:
        flock(mutex, LOCK_EX)
        with pytest.raises(DeviceBusy, match="Another process decides"):
            gate(folder).admitted(1, GIB, nothing).__enter__()
    assert within(gate(folder))


def test_what_lies_in_the_folder_besides_is_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True)
    others = ["1-2-3.place", "facts.new", "notes.place", "suspicions"]
    for name in others:
        (folder / name).touch()
    (folder / "1-2-3-4-ab.new").touch()
    assert within(gate(folder, 1))
    assert sorted(path.name for path in folder.iterdir()) == sorted([*others, "mutex"])
    assert used(folder.with_name("no-such-card")) == (0, 0)


@pytest.mark.parametrize(
    ("live", "free", "room"),
    [
        # An idle card: the margin alone.
        ([], 8 * GIB, 6 * GIB),
        ([], 2 * GIB, int(1.5 * GIB)),
        # The card does not say: estimates alone.
        ([Place(1, 4 * GIB, young=True)], None, 3 * GIB),
        # It holds its memory by now; not counted twice.
        ([Place(1, 4 * GIB)], 4 * GIB, 3 * GIB),
        # Not taken yet, and a stranger has half the card.
        ([Place(1, 2 * GIB, young=True)], 4 * GIB, int(1.5 * GIB)),
        # It took less than was thought; it may take the rest yet.
        ([Place(1, 4 * GIB)], 7 * GIB, 3 * GIB),
    ],
)
def test_room_is_what_nobody_takes_or_is_about_to_take(
    folder: Path, live: list[Place], free: int | None, room: int
) -> None:
    lack: Callable[[int], str] = lambda memory: gate(folder).lack(Place(1, memory), live, free)  # noqa: E731
    assert lack(room) == ""
    assert "MiB of memory to spare" in lack(room + GIB // 4)
