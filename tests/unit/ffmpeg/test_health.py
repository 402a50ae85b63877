"""What a card is suspected of, as several processes see it."""

import multiprocessing
import os
import signal
from pathlib import Path

from transcode.ffmpeg.health import Health

SPAWN = multiprocessing.get_context("spawn")


def suspecting(folder: Path, name: str, times: int) -> None:
    for number in range(times):
        Health(folder).suspect(f"{name} {number}")


def dying(folder: Path) -> None:
    Health(folder).suspect("seen before the end")
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_card_without_a_history_is_well(tmp_path: Path) -> None:
    health = Health(tmp_path / "cards" / "GPU-1")
    assert health.suspicions() == ()
    assert not health.sick
    health.clear()


def test_a_second_fault_makes_a_card_sick_and_a_passed_test_well(tmp_path: Path) -> None:
    health = Health(tmp_path / "cards" / "GPU-1")
    health.suspect("EncodePicture failed")
    assert not health.sick
    health.suspect("It hung")
    assert health.sick
    assert health.suspicions() == ("EncodePicture failed", "It hung")
    health.clear()
    assert not health.sick
    assert health.suspicions() == ()
    health.suspect("Once more")
    assert not health.sick


def test_words_of_several_lines_are_one_suspicion_of_bounded_length(tmp_path: Path) -> None:
    health = Health(tmp_path)
    health.suspect("one\n\ttwo\r\nthree " + "x" * 10_000)
    (suspicion,) = health.suspicions()
    assert suspicion.startswith("one two three xxx")
    assert len(suspicion) == 500


def test_nothing_is_lost_between_processes(tmp_path: Path) -> None:
    children = [SPAWN.Process(target=suspecting, args=(tmp_path, name, 100)) for name in "abc"]
    for child in children:
        child.start()
    for child in children:
        child.join()
    expected = sorted(f"{name} {number}" for name in "abc" for number in range(100))
    assert sorted(Health(tmp_path).suspicions()) == expected


def test_what_a_killed_process_saw_is_kept(tmp_path: Path) -> None:
    child = SPAWN.Process(target=dying, args=(tmp_path,))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert Health(tmp_path).suspicions() == ("seen before the end",)


def test_a_folder_that_cannot_be_written_hides_no_fault(tmp_path: Path) -> None:
    (tmp_path / "cards").touch()
    health = Health(tmp_path / "cards" / "GPU-1")
    health.suspect("It hung")
    assert health.suspicions() == ()
