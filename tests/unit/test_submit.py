"""From an upload or a request to a record and a message."""

from dataclasses import replace

import pytest

from tests.fakes import START
from tests.unit.conftest import Farm
from transcode import submit
from transcode.errors import (
    BucketNotAllowed,
    Conflict,
    InputEmpty,
    InputNotFound,
    InputTooLarge,
    KeyUnusable,
    NotFound,
    ServiceUnavailable,
    UnknownType,
)
from transcode.events import Skipped, Upload
from transcode.states import Status
from transcode.task import Task

UPLOAD = Upload("in-bucket", "a/film.mp4", 100, etag="e1", sequencer="01", time="2025-01-15T09:00:00.000000Z")


def accepted(farm: Farm, upload: Upload = UPLOAD) -> Task:
    task = submit.accept(farm.desk, upload)
    assert isinstance(task, Task)
    return task


def with_settings(farm: Farm, **changes: object) -> submit.Desk:
    return replace(farm.desk, settings=farm.desk.settings.model_copy(update=changes))


def test_an_upload_becomes_a_record_and_a_message_that_carries_its_id(farm: Farm) -> None:
    task = accepted(farm)
    stored = farm.store.read(task.task_id)
    assert (stored.status, stored.input_key, stored.date_partition) == (Status.PENDING, "a/film.mp4", "2025-01-15")
    assert stored.transcode_types == ("mp4_standard", "mp4_smooth", "thumbnail")
    assert stored.progress == dict.fromkeys(stored.transcode_types, "pending")
    # Said in the one write that makes it: sending needs no other.
    assert (stored.sent_at, stored.send_count, stored.ver) == ("2025-01-15T10:00:00.000000Z", 1, 0)
    assert farm.queue.ids == [task.task_id]


def test_the_same_upload_told_twice_is_one_task_and_one_message(farm: Farm) -> None:
    assert accepted(farm).task_id == accepted(farm).task_id
    assert len(farm.store.items) == 1
    assert len(farm.queue.messages) == 1


def test_another_version_of_a_key_is_another_task(farm: Farm) -> None:
    assert accepted(farm).task_id != accepted(farm, replace(UPLOAD, sequencer="02")).task_id


@pytest.mark.parametrize(
    ("upload", "why"),
    [
        (replace(UPLOAD, bucket="other"), "not an input bucket"),
        (replace(UPLOAD, key="notes.txt"), "no video"),
        (replace(UPLOAD, size=0), "empty"),
    ],
)
def test_what_is_not_ours_is_skipped_and_says_why(farm: Farm, upload: Upload, why: str) -> None:
    made = submit.accept(farm.desk, upload)
    assert isinstance(made, Skipped)
    assert why in made.why
    assert not farm.store.items


def test_an_output_in_a_shared_bucket_starts_no_loop(farm: Farm) -> None:
    desk = with_settings(farm, output_bucket="in-bucket", output_key_template="made/{input_key}/{type}.{ext}")
    assert isinstance(submit.accept(desk, replace(UPLOAD, key="made/film.mp4/mp4_smooth.mp4")), Skipped)
    assert isinstance(submit.accept(desk, UPLOAD), Task)


def test_a_message_that_cannot_be_sent_leaves_a_record_that_says_so(farm: Farm) -> None:
    farm.queue.outage = ServiceUnavailable("no SQS")
    assert not farm.store.read(accepted(farm).task_id).sent_at


def test_a_request_pins_the_object_as_it_is_now(farm: Farm) -> None:
    facts = farm.storage.put("in-bucket", "film.mov", b"x" * 10)
    task = submit.add(farm.desk, "in-bucket", "film.mov", ["thumbnail", "thumbnail"])
    assert task.transcode_types == ("thumbnail",)
    assert (task.input_version.etag, task.input_version.size) == (facts.etag, 10)


def test_a_request_is_newer_than_every_upload_before_it(farm: Farm) -> None:
    farm.storage.put("in-bucket", "a/film.mp4", b"x")
    by_event = accepted(farm, replace(UPLOAD, time="2025-01-15T10:00:00.000000Z"))
    farm.clock.advance(1)
    by_request = submit.add(farm.desk, "in-bucket", "a/film.mp4")
    later = accepted(farm, replace(UPLOAD, sequencer="03", time="2025-01-15T10:00:02.000000Z"))
    assert by_event.output_order < by_request.output_order < later.output_order


@pytest.mark.parametrize(
    ("bucket", "key", "types", "error"),
    [
        ("elsewhere", "film.mp4", None, BucketNotAllowed),
        ("in-bucket", "", None, KeyUnusable),
        ("in-bucket", "a\nb.mp4", None, KeyUnusable),
        ("in-bucket", "absent.mp4", None, InputNotFound),
        ("in-bucket", "empty.mp4", None, InputEmpty),
        ("in-bucket", "large.mp4", None, InputTooLarge),
        ("in-bucket", "film.mp4", ["; rm -rf /"], UnknownType),
    ],
)
def test_a_bad_request_makes_no_record(
    farm: Farm, bucket: str, key: str, types: list[str] | None, error: type[Exception]
) -> None:
    desk = with_settings(farm, max_input_bytes=5)
    for name, data in (("film.mp4", b"x"), ("empty.mp4", b""), ("large.mp4", b"123456")):
        farm.storage.put("in-bucket", name, data)
    with pytest.raises(error):
        submit.add(desk, bucket, key, types)
    assert not farm.store.items


def test_a_pending_task_is_cancelled_at_once(farm: Farm) -> None:
    assert submit.cancel(farm.desk, accepted(farm).task_id).status is Status.CANCELLED


def test_a_retry_starts_a_new_series_and_sends_a_message(farm: Farm) -> None:
    task = accepted(farm)
    submit.cancel(farm.desk, task.task_id)
    farm.clock.advance(10)
    again = submit.retry(farm.desk, task.task_id)
    assert (again.status, again.generation, again.attempts) == (Status.PENDING, 1, 0)
    assert farm.queue.ids == [task.task_id] * 2
    with pytest.raises(Conflict):
        submit.retry(farm.desk, task.task_id)


def test_an_unknown_task_is_not_found(farm: Farm) -> None:
    with pytest.raises(NotFound):
        submit.cancel(farm.desk, "nobody")


def test_retention_dates_the_record(farm: Farm) -> None:
    task = submit.accept(with_settings(farm, record_retention_days=2), UPLOAD)
    assert isinstance(task, Task)
    assert task.expires_at == START + 2 * 86400
