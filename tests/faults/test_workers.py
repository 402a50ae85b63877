"""What becomes of a running task when something of its worker dies, freezes or is told to stop."""

import signal

import psutil
import pytest

from tests.farm import until
from tests.faults.scene import Scene
from transcode.errors import EncoderCrashed
from transcode.states import Status


def test_a_killed_ffmpeg_is_tried_again_and_the_cause_is_kept(scene: Scene) -> None:
    task, encoder = scene.held()
    encoder.kill()
    scene.completed(task, attempts=2)
    stories = until(lambda: scene.stories(task)[1:] and scene.stories(task), "both attempts are told of")
    assert [story["code"] for story in stories] == [EncoderCrashed.code, "completed"]
    scene.quiet()


def test_a_killed_worker_takes_its_ffmpeg_along_and_another_one_completes_the_task(scene: Scene) -> None:
    task, encoder = scene.held()
    holder = scene.holder(task)
    scene.farm.kill(holder)
    scene.gone(encoder)
    done = scene.completed(task, attempts=2)
    assert done.worker.split("@")[0] != holder


def test_a_killed_pool_process_costs_its_task_one_attempt_and_the_worker_nothing(scene: Scene) -> None:
    task, encoder = scene.held()
    worker = scene.farm.children[scene.holder(task)]
    psutil.Process(encoder.ppid()).kill()
    scene.gone(encoder)
    scene.completed(task, attempts=2)
    assert worker.poll() is None


def test_a_frozen_worker_writes_nothing_when_it_wakes(scene: Scene) -> None:
    task, encoder = scene.held()
    holder = scene.holder(task)
    asleep = f"{holder}.{scene.farm.starts[holder]}"
    scene.signal(holder, signal.SIGSTOP)
    try:
        done = scene.completed(task, attempts=2)
    finally:
        scene.signal(holder, signal.SIGCONT)
    # It finds out by its heartbeat, kills its ffmpeg, and throws its parts away.
    scene.gone(encoder)
    stopped = until(lambda: [x for x in _lines(scene, holder, task) if x["event"] == "Task stopped"], "it stops")
    assert stopped[0]["code"] == "lease_lost"
    assert scene.read(task) == done
    late = scene.farm.history.writes[task][-1]
    assert late.by != asleep
    assert done.winner.split(":")[1].split("@")[0] != holder


def _lines(scene: Scene, name: str, task: str) -> list[dict[str, str]]:
    return [line for line in scene.farm.log(name) if line.get("task_id") == task]


def test_a_cancelled_encode_ends_within_seconds(scene: Scene) -> None:
    task, encoder = scene.held()
    assert scene.farm.post(f"/api/tasks/{task}/cancel", {})[0] == 200
    scene.gone(encoder)
    assert scene.farm.over(task).status is Status.CANCELLED
    assert scene.farm.post(f"/api/tasks/{task}/cancel", {})[0] == 409


@pytest.mark.slow
def test_a_worker_told_to_drain_finishes_what_it_has(scene: Scene) -> None:
    for name in ("w1", "w2"):
        scene.farm.stop(name)
    scene.farm.start("w3", SHUTDOWN_MODE="drain")
    task, _ = scene.held(seconds=3.0)
    assert scene.farm.stop("w3") == 0
    done = scene.read(task)
    assert (done.status, done.attempts, done.epoch) == (Status.COMPLETED, 1, 1)


def test_a_stopped_worker_hands_its_task_back_without_counting_the_attempt(scene: Scene) -> None:
    task, encoder = scene.held()
    assert scene.farm.stop(scene.holder(task)) == 0
    scene.gone(encoder)
    done = scene.completed(task, attempts=1)
    assert done.epoch == 2


@pytest.mark.slow
def test_an_attempt_that_wakes_late_leaves_the_scratch_of_the_next_one_alone(scene: Scene) -> None:
    scene.farm.stop("w2")
    task = scene.task(scene.upload("slow", seconds=8.0))
    encoder = until(lambda: scene.encoder(task), "the first attempt encodes")
    first = psutil.Process(encoder.ppid())
    first.suspend()
    try:
        until(lambda: scene.read(task).epoch == 2 and _both(scene, task), "the second attempt encodes on the same node")
    finally:
        first.resume()
    scene.gone(encoder)
    scene.completed(task, attempts=2)


def _both(scene: Scene, task: str) -> bool:
    return sum(task in process.cwd() for process in scene.farm.encoders()) == 2


@pytest.mark.slow
def test_a_clip_that_kills_its_process_fails_after_three_attempts(scene: Scene) -> None:
    poison, neighbour = scene.task(scene.upload("poison")), scene.task(scene.upload("good"))
    failed = scene.farm.over(poison)
    assert (failed.status, failed.error_code, failed.attempts) == (Status.FAILED, "worker_lost", 3)
    scene.completed(neighbour, attempts=1)


@pytest.mark.slow
@pytest.mark.xfail(reason="Celery's worker_main drops the exit status; a keeper would not start it again", strict=False)
def test_a_worker_whose_pool_cannot_start_ends_with_a_failure(scene: Scene) -> None:
    child = scene.farm.start("w3")
    until(lambda: _killed_at_birth(scene) and child.poll() is not None, "the worker gives up")
    assert child.returncode != 0


def _killed_at_birth(scene: Scene) -> bool:
    for process in scene.farm.pool("w3"):
        process.kill()
    return True
