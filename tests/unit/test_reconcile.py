"""What a crash leaves behind, and how it is put right."""

from itertools import pairwise

import pytest

from tests.unit.conftest import Farm, Letter
from transcode import ledger, publish, steps, submit
from transcode.errors import ServiceUnavailable
from transcode.reconcile import Reconciler
from transcode.run import run
from transcode.states import Phase, Status
from transcode.task import Task


def pending(farm: Farm, key: str) -> Task:
    farm.storage.put("in-bucket", key, b"film")
    return submit.add(farm.desk, "in-bucket", key)


@pytest.fixture
def task(farm: Farm) -> Task:
    return pending(farm, "film.mp4")


def claim(farm: Farm, task: Task) -> Task:
    return ledger.move(farm.desk, farm.store.read(task.task_id), lambda t: steps.claimed(t, "w", "w", farm.clock()))


def sweep(farm: Farm) -> int:
    return Reconciler(farm.desk).sweep()


def test_all_well_means_nothing_to_do(farm: Farm, task: Task) -> None:
    assert sweep(farm) == 0
    assert len(farm.queue.messages) == 1


def test_an_unsent_message_is_sent_after_a_moment_of_grace(farm: Farm) -> None:
    farm.storage.put("in-bucket", "film.mp4", b"film")
    farm.queue.outage = ServiceUnavailable("no SQS")
    task = submit.add(farm.desk, "in-bucket", "film.mp4")
    farm.queue.outage = None
    assert sweep(farm) == 0
    farm.clock.advance(10)
    assert sweep(farm) == 1
    assert farm.queue.ids == [task.task_id]
    assert sweep(farm) == 0


def test_a_lost_message_is_sent_again_less_and_less_often(farm: Farm, task: Task) -> None:
    sends = []
    for _ in range(24 * 60):
        farm.clock.advance(60)
        if sweep(farm):
            sends.append(farm.clock())
    gaps = [round((b - a) / 60) for a, b in pairwise(sends)]
    assert gaps[:4] == [9, 17, 33, 61]
    assert len(sends) < 30


def test_a_silent_workers_task_goes_back_and_gets_a_message(farm: Farm, task: Task) -> None:
    claim(farm, task)
    assert sweep(farm) == 0
    farm.clock.advance(70)
    assert sweep(farm) == 1
    waiting = farm.store.read(task.task_id)
    assert (waiting.status, waiting.error_code, waiting.attempts) == (Status.PENDING, "worker_lost", 1)
    assert farm.queue.ids[-1] == task.task_id


def test_a_task_whose_workers_all_died_fails(farm: Farm, task: Task) -> None:
    for _ in range(3):
        claim(farm, task)
        farm.clock.advance(70)
        sweep(farm)
        farm.clock.advance(5)
    failed = farm.store.read(task.task_id)
    assert (failed.status, failed.error_code) == (Status.FAILED, "worker_lost")


def test_a_cancelled_task_of_a_silent_worker_is_cancelled(farm: Farm, task: Task) -> None:
    claim(farm, task)
    submit.cancel(farm.desk, task.task_id)
    farm.clock.advance(70)
    sweep(farm)
    assert farm.store.read(task.task_id).status is Status.CANCELLED


def test_a_committed_task_of_a_dead_worker_is_published(
    farm: Farm, task: Task, letter: Letter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:

        def die(*_: object) -> None:
            raise SystemExit

        killed.setattr(publish, "roll_forward", die)
        with pytest.raises(SystemExit):
            run(task.task_id, letter, farm.tools)
    assert farm.store.read(task.task_id).phase is Phase.PUBLISHING
    assert not [key for bucket, key in farm.storage.objects if bucket == "out-bucket"]
    farm.clock.advance(70)
    assert sweep(farm) == 1
    done = farm.store.read(task.task_id)
    assert done.status is Status.COMPLETED
    for output in done.outputs.values():
        assert farm.storage.data("out-bucket", output.key)
    assert publish.roll_forward(farm.desk, done).status is Status.COMPLETED


def test_older_pending_tasks_are_walked_a_page_per_pass(farm: Farm) -> None:
    farm.storage.put("in-bucket", "film.mp4", b"film")
    farm.queue.outage = ServiceUnavailable("no SQS")
    for _ in range(450):
        farm.clock.advance(0.01)
        submit.add(farm.desk, "in-bucket", "film.mp4")
    farm.queue.outage = None
    farm.clock.advance(10)
    reconciler = Reconciler(farm.desk)
    for _ in range(5):
        reconciler.sweep()
    assert len(set(farm.queue.ids)) == 450


def test_a_purge_cancels_what_waits_and_nothing_else(farm: Farm, task: Task) -> None:
    running = claim(farm, submit.add(farm.desk, "in-bucket", "film.mp4"))
    farm.clock.advance(1)
    submit.purge(farm.desk)
    farm.clock.advance(1)
    later = submit.add(farm.desk, "in-bucket", "film.mp4")
    assert sweep(farm) == 1
    found = [farm.store.read(t.task_id) for t in (task, running, later)]
    assert [t.status for t in found] == [Status.CANCELLED, Status.PROCESSING, Status.PENDING]
    assert found[0].error_code == "purged"
    assert sweep(farm) == 0


def test_a_purge_reaches_however_many_there_are(farm: Farm) -> None:
    farm.storage.put("in-bucket", "film.mp4", b"film")
    for _ in range(250):
        submit.add(farm.desk, "in-bucket", "film.mp4")
    submit.purge(farm.desk)
    assert sweep(farm) == 250


def test_a_purged_task_can_be_retried_and_stays(farm: Farm, task: Task) -> None:
    submit.purge(farm.desk)
    sweep(farm)
    farm.clock.advance(1)
    submit.retry(farm.desk, task.task_id)
    sweep(farm)
    assert farm.store.read(task.task_id).status is Status.PENDING


def test_messages_that_a_purge_may_have_eaten_are_sent_again(farm: Farm) -> None:
    submit.purge(farm.desk, emptied=True)
    farm.clock.advance(1)
    farm.storage.put("in-bucket", "film.mp4", b"film")
    task = submit.add(farm.desk, "in-bucket", "film.mp4")
    assert sweep(farm) == 0
    farm.clock.advance(61)
    assert sweep(farm) == 1
    assert farm.queue.ids == [task.task_id] * 2
    assert sweep(farm) == 0


def test_a_dead_lettered_task_that_waits_gets_a_new_message(farm: Farm, task: Task) -> None:
    reconciler = Reconciler(farm.desk)
    assert reconciler.dead_letter(task.task_id)
    assert farm.queue.ids == [task.task_id] * 2
    assert reconciler.dead_letter("nobody")
    claim(farm, task)
    assert reconciler.dead_letter(task.task_id)
    assert len(farm.queue.ids) == 2


def test_one_odd_record_keeps_no_other_waiting(farm: Farm) -> None:
    odd, good = pending(farm, "odd.mp4"), pending(farm, "good.mp4")
    for task in (odd, good):
        farm.store.items[task.task_id]["sent_at"] = ""
    farm.store.items[odd.task_id]["updated_at"] = "1736931600"
    farm.queue.messages.clear()
    farm.clock.advance(60)
    Reconciler(farm.desk).sweep()
    assert farm.queue.ids == [good.task_id]


def test_a_callback_queue_that_is_away_hinders_nothing_else_and_is_tried_again(farm: Farm) -> None:
    task = pending(farm, "film.mp4")
    farm.store.items[task.task_id]["callback"] = "orders"
    farm.callbacks.outage = ServiceUnavailable("no SQS")
    submit.cancel(farm.desk, task.task_id)
    reconciler = Reconciler(farm.desk)
    assert reconciler.sweep() == 0
    assert reconciler.recounted
    farm.callbacks.outage = None
    assert reconciler.sweep() == 1
    assert [(c.task_id, c.target) for c in farm.callbacks.sent] == [(task.task_id, "orders")]
