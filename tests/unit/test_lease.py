"""The heartbeat: what keeps a task, what loses it."""

import threading
import time
from collections.abc import Callable

import pytest

from tests.unit.conftest import Farm, Letter
from transcode import lease as leases
from transcode import ledger, steps, submit
from transcode.errors import Cancelled, LeaseLost, ServiceUnavailable, ShuttingDown, Stopped, TranscodeError
from transcode.lease import Lease
from transcode.ports import Progress
from transcode.task import Task


@pytest.fixture
def held(farm: Farm) -> Task:
    farm.storage.put("in-bucket", "film.mp4", b"film")
    task = submit.add(farm.desk, "in-bucket", "film.mp4")
    return ledger.move(farm.desk, farm.store.read(task.task_id), lambda t: steps.claimed(t, "me", "w", farm.clock()))


def lease_of(farm: Farm, task: Task, letter: Letter, seconds: float = 0.15) -> Lease:
    return Lease(farm.desk, task, letter, seconds, lambda: farm.stopping[0])


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def reason(lease: Lease) -> type[TranscodeError] | None:
    try:
        lease.check()
    except Stopped as exc:
        return type(exc)
    return None


def test_the_heartbeat_extends_lease_and_message_together(farm: Farm, held: Task, letter: Letter) -> None:
    with lease_of(farm, held, letter):
        farm.clock.advance(500)
        until(lambda: len(letter.extended) >= 3)
    assert farm.store.read(held.task_id).lease_until > farm.clock()


def test_a_lease_taken_by_another_stops_the_work_and_leaves_the_message_alone(
    farm: Farm, held: Task, letter: Letter
) -> None:
    with lease_of(farm, held, letter) as lease:
        farm.clock.advance(500)
        until(lambda: _stolen(farm, held))
        until(lambda: reason(lease) is LeaseLost)
        count = len(letter.extended)
        time.sleep(0.3)
        assert len(letter.extended) == count


def _stolen(farm: Farm, held: Task) -> bool:
    try:
        step = lambda t: steps.claimed(t, "rival", "w2", farm.clock() + 1000)  # noqa: E731
        return ledger.move(farm.desk, farm.store.read(held.task_id), step).owner == "rival"
    except TranscodeError:
        return False


def test_a_cancel_is_heard_by_the_heartbeat(farm: Farm, held: Task, letter: Letter) -> None:
    with lease_of(farm, held, letter) as lease:
        submit.cancel(farm.desk, held.task_id)
        until(lambda: reason(lease) is Cancelled)


def test_a_stop_of_the_worker_is_heard_at_once(farm: Farm, held: Task, letter: Letter) -> None:
    with lease_of(farm, held, letter, 60.0) as lease:
        assert reason(lease) is None
        farm.stopping[0] = True
        assert reason(lease) is ShuttingDown


def test_a_store_that_is_away_for_longer_than_the_lease_loses_it(farm: Farm, held: Task, letter: Letter) -> None:
    def away(old: Task, new: Task) -> None:
        raise ServiceUnavailable("no DynamoDB")

    with lease_of(farm, held, letter) as lease:
        farm.store.save = away  # type: ignore[method-assign]
        until(lambda: reason(lease) is LeaseLost)


def test_a_store_that_is_away_for_a_moment_loses_nothing(farm: Farm, held: Task, letter: Letter) -> None:
    save, failed = farm.store.save, threading.Event()

    def hiccup(old: Task, new: Task) -> None:
        if not failed.is_set():
            failed.set()
            raise ServiceUnavailable("no DynamoDB")
        save(old, new)

    farm.store.save = hiccup  # type: ignore[method-assign]
    with lease_of(farm, held, letter, 0.6) as lease:
        until(failed.is_set)
        until(lambda: len(letter.extended) >= 2)
        assert reason(lease) is None


def test_after_eleven_hours_the_message_is_deleted_and_the_lease_goes_on(
    farm: Farm, held: Task, letter: Letter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_LONGEST_HOLD", 0.0)
    with lease_of(farm, held, letter) as lease:
        until(lambda: letter.deleted)
        assert reason(lease) is None
    assert len(letter.extended) == 1


def test_progress_is_written_no_more_often_than_every_two_seconds(farm: Farm, held: Task, letter: Letter) -> None:
    with lease_of(farm, held, letter, 60.0) as lease:
        for percent in range(50):
            lease.progress(Progress(float(percent)))
    assert farm.store.read_aside(held.task_id, "live")["percent"] == 0.0


def test_what_was_told_in_between_is_shown_with_the_next_write(
    farm: Farm, held: Task, letter: Letter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lease_of(farm, held, letter, 60.0) as lease:
        lease.tell(phase="fetch")
        lease.tell(phase="encode", percent=1.0)
        assert farm.store.read_aside(held.task_id, "live")["phase"] == "fetch"
        monkeypatch.setattr(leases, "LIVE_EVERY", 0.0)
        lease.check()
    live = farm.store.read_aside(held.task_id, "live")
    assert (live["phase"], live["percent"], live["done"]) == ("encode", 1.0, [])
