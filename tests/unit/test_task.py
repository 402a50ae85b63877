"""The record itself: ids, a new record, what is read from old ones."""

import uuid

import pytest
from pydantic import ValidationError

from transcode.states import Status, TypeState
from transcode.task import Output, Task, made, new_id, upload_id

# 2025-01-15T23:59:59.5Z: half a second before the day ends.
LATE = 1736985599.5


def a_task(**changes: object) -> Task:
    return made(
        "t1", LATE, input_bucket="uploads", input_key="a.mov", output_bucket="renditions",
        transcode_types=("mp4_smooth", "thumbnail"),
    ).model_copy(update=changes)  # fmt: skip


def test_a_new_task_is_pending_and_of_the_day_it_was_made() -> None:
    task = a_task()
    assert (task.status, task.created_at) == (Status.PENDING, "2025-01-15T23:59:59.500000Z")
    assert task.date_partition == "2025-01-15"
    assert task.progress == {"mp4_smooth": TypeState.PENDING, "thumbnail": TypeState.PENDING}
    assert not task.over


def test_a_fresh_ids_text_order_is_its_time_order() -> None:
    ids = [new_id(LATE + n / 100) for n in range(50)]
    assert ids == sorted(ids)
    assert {uuid.UUID(i).version for i in ids} == {7}
    assert {uuid.UUID(i).variant for i in ids} == {uuid.RFC_4122}


def test_fresh_ids_of_one_moment_differ() -> None:
    assert len({new_id(LATE) for _ in range(1000)}) == 1000


def test_an_uploads_id_is_the_same_for_every_copy_of_its_event() -> None:
    assert upload_id("uploads", "a.mov", "v1") == upload_id("uploads", "a.mov", "v1")
    # Pinned: another value would make a second task of every upload that was told before.
    assert upload_id("uploads", "a.mov", "v1") == "a9da1464-703d-5011-ad0b-0bed331958a6"


@pytest.mark.parametrize(
    "other",
    [("uploads", "a.mov", "v2"), ("uploads", "b.mov", "v1"), ("other", "a.mov", "v1"), ("uploadsa", ".mov", "v1")],
)  # fmt: skip
def test_another_upload_has_another_id(other: tuple[str, str, str]) -> None:
    assert upload_id(*other) != upload_id("uploads", "a.mov", "v1")


def test_retrying_is_pending() -> None:
    assert Task.model_validate(a_task().model_dump() | {"status": "retrying"}).status is Status.PENDING


def test_a_status_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValidationError):
        Task.model_validate(a_task().model_dump() | {"status": "exploded"})


def test_a_record_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError):
        a_task().status = Status.FAILED  # type: ignore[misc]


def test_what_is_published_is_not_missing() -> None:
    task = a_task(outputs={"thumbnail": Output(key="a", bytes=1)})
    assert task.missing_types == ("mp4_smooth",)
