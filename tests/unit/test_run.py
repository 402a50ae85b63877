"""One attempt, from claim to verdict, with everything that can end it."""

import errno
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.conftest import Farm, Letter
from transcode import attempt, lease, ledger, publish, steps, submit
from transcode.errors import (
    Busy,
    DeviceFault,
    EncoderFailed,
    InputNotMedia,
    OutputInvalid,
    ServiceUnavailable,
    Unknown,
)
from transcode.ports import Progress, RenderJob, Rendition, TypeFailure
from transcode.run import run
from transcode.states import Phase, Status
from transcode.task import ASIDE, Task

ALL = ("mp4_standard", "mp4_smooth", "thumbnail")


@pytest.fixture
def task(farm: Farm) -> Task:
    farm.storage.put("in-bucket", "film.mp4", b"film" * 1000)
    return submit.add(farm.desk, "in-bucket", "film.mp4")


def now(farm: Farm, task: Task) -> Task:
    return farm.store.read(task.task_id)


def objects(farm: Farm) -> set[str]:
    return {key for bucket, key in farm.storage.objects if bucket == "out-bucket"}


def test_a_task_ends_completed_with_its_outputs_in_the_bucket(farm: Farm, task: Task, letter: Letter) -> None:
    run(task.task_id, letter, farm.tools)
    done = now(farm, task)
    assert (done.status, done.error_code, done.attempts) == (Status.COMPLETED, "", 1)
    assert objects(farm) == {"film.mp4/mp4_standard.mp4", "film.mp4/mp4_smooth.mp4", "film.mp4/thumbnail.jpg"}
    assert set(done.outputs) == set(done.output_files) == set(ALL)
    assert done.progress == dict.fromkeys(ALL, "completed")
    assert done.source["width"] == 1280
    assert {"fetch", "probe", "upload", "waiting"} <= set(done.phases)
    assert not farm.storage.unfinished
    assert farm.storage.objects["out-bucket", "film.mp4/thumbnail.jpg"].content_type == "image/jpeg"


def test_the_message_is_held_for_longer_than_the_lease(farm: Farm, task: Task, letter: Letter) -> None:
    run(task.task_id, letter, farm.tools)
    assert letter.extended[0] > farm.desk.settings.lease


def test_nothing_is_left_on_the_disk(farm: Farm, task: Task, letter: Letter) -> None:
    run(task.task_id, letter, farm.tools)
    assert not list(farm.tools.scratch.iterdir())


def test_no_output_is_visible_before_the_commit(farm: Farm, task: Task, letter: Letter) -> None:
    seen: list[set[str]] = []
    save = farm.store.save

    def spy(old: Task, new: Task) -> None:
        if new.phase is Phase.PUBLISHING:
            seen.append(objects(farm))
        save(old, new)

    farm.store.save = spy  # type: ignore[method-assign]
    run(task.task_id, letter, farm.tools)
    assert seen == [set()]


@pytest.mark.parametrize("status", ["completed", "cancelled"])
def test_a_message_of_a_task_that_is_over_is_done_with(farm: Farm, task: Task, letter: Letter, status: str) -> None:
    if status == "cancelled":
        submit.cancel(farm.desk, task.task_id)
    else:
        run(task.task_id, letter, farm.tools)
    run(task.task_id, letter, farm.tools)
    assert now(farm, task).status == status
    assert now(farm, task).attempts <= 1


def test_a_message_of_an_unknown_task_is_done_with(farm: Farm, letter: Letter) -> None:
    run("nobody", letter, farm.tools)


def test_a_second_message_waits_while_the_first_worker_holds_the_task(farm: Farm, task: Task, letter: Letter) -> None:
    ledger.move(farm.desk, now(farm, task), lambda t: steps.claimed(t, "other", "w", farm.clock()))
    with pytest.raises(Busy) as busy:
        run(task.task_id, letter, farm.tools)
    assert 60 < busy.value.seconds <= 70


def test_a_silent_workers_task_is_taken_over_with_a_higher_epoch(farm: Farm, task: Task, letter: Letter) -> None:
    ledger.move(farm.desk, now(farm, task), lambda t: steps.claimed(t, "dead", "w", farm.clock()))
    farm.clock.advance(70)
    run(task.task_id, letter, farm.tools)
    done = now(farm, task)
    assert (done.status, done.epoch, done.attempts) == (Status.COMPLETED, 2, 2)


def test_a_permanent_fault_fails_at_once_and_says_why(farm: Farm, task: Task, letter: Letter) -> None:
    farm.encoder.refusal = InputNotMedia("The file is no video.")
    run(task.task_id, letter, farm.tools)
    failed = now(farm, task)
    assert (failed.status, failed.error_code) == (Status.FAILED, "input_not_media")
    assert failed.error_message == "The file is no video."
    assert [d.transcode_type for d in failed.error_details] == list(ALL)
    assert {d.stage for d in failed.error_details} == {"transcode"}
    assert failed.progress == dict.fromkeys(ALL, "failed")


def test_a_transient_fault_comes_back_later_and_then_works(farm: Farm, task: Task, letter: Letter) -> None:
    farm.encoder.failures["mp4_smooth"] = [EncoderFailed("odd", command="ffmpeg -i input", output="words")]
    run(task.task_id, letter, farm.tools)
    waiting = now(farm, task)
    assert (waiting.status, waiting.error_code, waiting.attempts) == (Status.PENDING, "ffmpeg_failed", 1)
    assert not farm.storage.unfinished
    delay = farm.queue.messages[-1].delay
    assert delay > 0
    with pytest.raises(Busy):
        run(task.task_id, letter, farm.tools)
    farm.clock.advance(delay + 1)
    run(task.task_id, letter, farm.tools)
    done = now(farm, task)
    assert (done.status, done.attempts, done.retry_count, done.error_code) == (Status.COMPLETED, 2, 1, "")
    story = farm.store.read_aside(task.task_id, ASIDE.HISTORY)
    assert [entry["code"] for entry in story.values()] == ["ffmpeg_failed", "completed"]


def test_the_last_attempt_publishes_what_it_could_make(farm: Farm, task: Task, letter: Letter) -> None:
    farm.encoder.failures["mp4_smooth"] = [OutputInvalid("too short") for _ in range(3)]
    for _ in range(3):
        farm.clock.advance(1000)
        run(task.task_id, letter, farm.tools)
    assert [job.separately for job in farm.encoder.jobs] == [False, False, True]
    failed = now(farm, task)
    assert (failed.status, failed.error_code) == (Status.FAILED, "output_invalid")
    assert "mp4_smooth" in failed.error_message
    assert set(failed.outputs) == {"mp4_standard", "thumbnail"}
    assert failed.progress["mp4_smooth"] == "failed"
    assert objects(farm) == {"film.mp4/mp4_standard.mp4", "film.mp4/thumbnail.jpg"}
    assert [d.transcode_type for d in failed.error_details] == ["mp4_smooth"]


def test_a_retry_makes_only_what_is_missing(farm: Farm, task: Task, letter: Letter) -> None:
    test_the_last_attempt_publishes_what_it_could_make(farm, task, letter)
    submit.retry(farm.desk, task.task_id)
    run(task.task_id, letter, farm.tools)
    assert [p.name for p in farm.encoder.jobs[-1].presets] == ["mp4_smooth"]
    done = now(farm, task)
    assert (done.status, done.error_message, done.error_details) == (Status.COMPLETED, "", ())
    assert set(done.outputs) == set(ALL)


def test_attempts_are_bounded_and_the_last_cause_is_kept(farm: Farm, task: Task, letter: Letter) -> None:
    farm.encoder.refusal = ServiceUnavailable("S3 is away.")
    for _ in range(5):
        farm.clock.advance(1000)
        run(task.task_id, letter, farm.tools)
    failed = now(farm, task)
    assert (failed.status, failed.attempts, failed.error_code) == (Status.FAILED, 3, "service_unavailable")


def test_a_cancel_that_only_the_record_knows_is_found_by_the_commit(farm: Farm, task: Task, letter: Letter) -> None:
    render = farm.encoder.render

    def cancelled_quietly(job: RenderJob) -> Iterator[Rendition | TypeFailure]:
        yield from render(job)
        ledger.move(farm.desk, now(farm, task), lambda t: steps.cancel_asked(t, farm.clock()))

    farm.encoder.render = cancelled_quietly  # type: ignore[method-assign]
    run(task.task_id, letter, farm.tools)
    assert now(farm, task).status is Status.CANCELLED
    assert not objects(farm)


def test_an_encode_on_the_cpu_has_the_turn_of_its_node(farm: Farm, task: Task, letter: Letter) -> None:
    render, turns = farm.encoder.render, []

    def in_turn(job: RenderJob) -> Iterator[Rendition | TypeFailure]:
        with job.cpu():
            turns.extend(farm.tools.scratch.glob("*/*/*.encoding"))
        yield from render(job)

    farm.encoder.render = in_turn  # type: ignore[method-assign]
    run(task.task_id, letter, farm.tools)
    assert len(turns) == 1


def test_renditions_are_sent_at_the_same_time(farm: Farm, task: Task, letter: Letter) -> None:
    send, meeting = farm.storage.send_parts, threading.Barrier(len(ALL))

    def met(*given: Any) -> tuple[str, list[str]]:
        meeting.wait(10)
        return send(*given)

    farm.storage.send_parts = met  # type: ignore[method-assign]
    run(task.task_id, letter, farm.tools)
    assert now(farm, task).status is Status.COMPLETED


def test_one_rendition_that_cannot_be_sent_leaves_none_behind(farm: Farm, task: Task, letter: Letter) -> None:
    send = farm.storage.send_parts

    def away(bucket: str, key: str, *given: Any) -> tuple[str, list[str]]:
        if key.endswith(".jpg"):
            raise ServiceUnavailable("S3 is away.")
        return send(bucket, key, *given)

    farm.storage.send_parts = away  # type: ignore[method-assign]
    run(task.task_id, letter, farm.tools)
    assert now(farm, task).error_code == "service_unavailable"
    (story,) = farm.store.read_aside(task.task_id, ASIDE.HISTORY).values()
    assert story["stage"] == "upload"
    assert not farm.storage.unfinished


def test_a_stopping_worker_hands_the_task_back_uncounted(farm: Farm, task: Task, letter: Letter) -> None:
    farm.stopping[0] = True
    run(task.task_id, letter, farm.tools)
    waiting = now(farm, task)
    assert (waiting.status, waiting.attempts, waiting.epoch) == (Status.PENDING, 0, 1)
    assert farm.queue.messages[-1].delay == 0


def test_a_worker_that_lost_its_lease_publishes_nothing(farm: Farm, task: Task, letter: Letter) -> None:
    render = farm.encoder.render

    def overtaken(job: RenderJob) -> Iterator[Rendition | TypeFailure]:
        yield from render(job)
        farm.clock.advance(100)
        ledger.move(farm.desk, now(farm, task), lambda t: steps.claimed(t, "rival", "w2", farm.clock()))

    farm.encoder.render = overtaken  # type: ignore[method-assign]
    with pytest.raises(Busy):
        run(task.task_id, letter, farm.tools)
    held = now(farm, task)
    assert (held.owner, held.status) == ("rival", Status.PROCESSING)
    assert not objects(farm)
    assert not farm.storage.unfinished


def test_a_commit_without_an_answer_throws_nothing_away(farm: Farm, task: Task, letter: Letter) -> None:
    save = farm.store.save

    def mute(old: Task, new: Task) -> None:
        save(old, new)
        if new.phase is Phase.PUBLISHING:
            farm.store.read = silent  # type: ignore[method-assign]
            raise Unknown("no answer")

    def silent(task_id: str) -> Task:
        raise ServiceUnavailable("no DynamoDB")

    farm.store.save = mute  # type: ignore[method-assign]
    with pytest.raises((Busy, ServiceUnavailable)):
        run(task.task_id, letter, farm.tools)
    assert len(farm.storage.unfinished) == 3


def test_an_older_task_leaves_the_keys_to_a_newer_one(farm: Farm, task: Task, letter: Letter) -> None:
    farm.clock.advance(5)
    newer = submit.add(farm.desk, "in-bucket", "film.mp4")
    run(newer.task_id, letter, farm.tools)
    run(task.task_id, letter, farm.tools)
    assert now(farm, newer).status is Status.COMPLETED
    older = now(farm, task)
    assert (older.status, older.error_code) == (Status.CANCELLED, "superseded")
    assert not farm.storage.unfinished


def test_a_task_publishes_what_no_newer_one_owns(farm: Farm, task: Task, letter: Letter) -> None:
    farm.clock.advance(5)
    newer = submit.add(farm.desk, "in-bucket", "film.mp4", ["thumbnail"])
    run(newer.task_id, letter, farm.tools)
    run(task.task_id, letter, farm.tools)
    older = now(farm, task)
    assert older.status is Status.COMPLETED
    assert "newer" in older.outputs["thumbnail"].warning
    assert not older.outputs["mp4_smooth"].warning


def test_a_replaced_object_fails_as_changed(farm: Farm, task: Task, letter: Letter) -> None:
    farm.storage.put("in-bucket", "film.mp4", b"another film")
    run(task.task_id, letter, farm.tools)
    failed = now(farm, task)
    assert (failed.status, failed.error_code) == (Status.FAILED, "input_changed")
    assert {d.stage for d in failed.error_details} == {"download"}


def test_too_little_disk_is_found_before_the_download(farm: Farm, task: Task, letter: Letter) -> None:
    huge = replace(farm.storage.objects["in-bucket", "film.mp4"])
    stored = farm.store.items[task.task_id]
    stored["input_version"]["size"] = 10**18
    run(task.task_id, letter, farm.tools)
    assert now(farm, task).error_code == "disk_full"
    assert now(farm, task).status is Status.PENDING
    assert huge.path.exists()


def test_a_disk_that_others_fill_is_noticed_while_encoding(
    farm: Farm, task: Task, letter: Letter, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([10**9])
    monkeypatch.setattr(attempt.shutil, "disk_usage", lambda _: SimpleNamespace(free=next(free, 10**6)))
    run(task.task_id, letter, farm.tools)
    found = now(farm, task)
    assert (found.status, found.error_code, found.attempts) == (Status.PENDING, "disk_full", 1)
    assert "1000000 bytes left" in found.error_message


def test_a_full_disk_and_a_bug_both_leave_a_record_that_can_be_retried(
    farm: Farm, task: Task, letter: Letter, capsys: pytest.CaptureFixture[str]
) -> None:
    for exc, code in ((OSError(errno.ENOSPC, "full"), "disk_full"), (ZeroDivisionError("oops"), "bug")):
        farm.clock.advance(1000)

        def broken(path: Path, exc: Exception = exc) -> None:
            raise exc

        farm.encoder.probe = broken  # type: ignore[method-assign,assignment]
        run(task.task_id, letter, farm.tools)
        assert (now(farm, task).status, now(farm, task).error_code) == (Status.PENDING, code)


def test_a_cards_fault_goes_back_uncounted_and_is_remembered(farm: Farm, task: Task, letter: Letter) -> None:
    farm.encoder.failures["mp4_smooth"] = [DeviceFault("The GPU failed while it worked.")]
    run(task.task_id, letter, farm.tools)
    found = now(farm, task)
    assert (found.status, found.attempts, found.device_faults) == (Status.PENDING, 0, 10)
    history = farm.store.read_aside(task.task_id, ASIDE.HISTORY)
    assert [story["code"] for name, story in history.items() if name.isdigit()] == ["device_fault"]
    farm.clock.advance(60)
    run(task.task_id, letter, farm.tools)
    assert now(farm, task).status is Status.COMPLETED


def test_a_preset_that_is_gone_fails_the_task(farm: Farm, task: Task, letter: Letter) -> None:
    farm.store.items[task.task_id]["transcode_types"] = ["mp4_standard", "gone"]
    run(task.task_id, letter, farm.tools)
    assert now(farm, task).error_code == "unknown_type"


def test_a_cancel_reaches_the_encode_with_the_next_progress(
    farm: Farm, task: Task, letter: Letter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LIVE_EVERY", 0.0)
    heard: list[bool] = []

    def cancelled_midway(job: RenderJob) -> Iterator[Rendition | TypeFailure]:
        job.watch.check()
        submit.cancel(farm.desk, task.task_id)
        job.watch.progress(Progress(50.0))
        job.watch.check()
        heard.append(False)
        yield from ()

    farm.encoder.render = cancelled_midway  # type: ignore[method-assign]
    run(task.task_id, letter, farm.tools)
    assert not heard
    assert now(farm, task).status is Status.CANCELLED


def test_a_cancel_reaches_a_download_without_waiting_for_the_heartbeat(
    farm: Farm, task: Task, letter: Letter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LIVE_EVERY", 0.0)
    fetch = farm.storage.fetch

    def cancelled_midway(*args: Any) -> None:
        submit.cancel(farm.desk, task.task_id)
        fetch(*args)

    farm.storage.fetch = cancelled_midway  # type: ignore[method-assign]
    run(task.task_id, letter, farm.tools)
    assert now(farm, task).status is Status.CANCELLED


def test_a_commit_whose_answer_came_after_the_reconciler_had_published_counts(
    farm: Farm, task: Task, letter: Letter
) -> None:
    save = farm.store.save

    def overtaken(old: Task, new: Task) -> None:
        save(old, new)
        if new.phase is Phase.PUBLISHING:
            publish.roll_forward(farm.desk, farm.store.read(task.task_id))
            raise Unknown("no answer")

    farm.store.save = overtaken  # type: ignore[method-assign]
    run(task.task_id, letter, farm.tools)
    assert now(farm, task).status is Status.COMPLETED
    assert len(objects(farm)) == 3


def publish_newer(farm: Farm) -> None:
    path = farm.tools.scratch / "newer"
    path.write_bytes(b"newer")
    at = ("out-bucket", "film.mp4/thumbnail.jpg")
    upload_id, tags = farm.storage.send_parts(*at, path, "image/jpeg", lambda _: None, "2099")
    path.unlink()
    assert farm.storage.complete(*at, upload_id, tags, "2099")


def test_a_key_that_a_newer_task_took_after_the_commit_is_not_overwritten(
    farm: Farm, task: Task, letter: Letter
) -> None:
    save = farm.store.save

    def taken(old: Task, new: Task) -> None:
        save(old, new)
        if new.phase is Phase.PUBLISHING:
            publish_newer(farm)

    farm.store.save = taken  # type: ignore[method-assign]
    run(task.task_id, letter, farm.tools)
    assert farm.storage.data("out-bucket", "film.mp4/thumbnail.jpg") == b"newer"
    assert not farm.storage.unfinished


def test_what_a_killed_process_left_is_removed_by_the_next_attempt(farm: Farm, letter: Letter) -> None:
    # The highest pid that Linux gives is in use by nobody.
    gone, alive = farm.tools.scratch / "gone" / "1", farm.tools.scratch / "alive" / "1"
    for folder, pid in ((gone, 4194304), (alive, os.getpid())):
        folder.mkdir(parents=True)
        (folder / "pid").write_text(str(pid))
        (folder / "input").write_bytes(b"film")
    farm.storage.put("in-bucket", "film.mp4", b"film")
    run(submit.add(farm.desk, "in-bucket", "film.mp4").task_id, letter, farm.tools)
    assert not gone.parent.exists()
    assert (alive / "input").exists()
