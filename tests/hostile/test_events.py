"""Events that nobody sent in earnest: whatever stands in one, the bridge goes on."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes import FakeClock, ListCallbacks, ListQueue, MemoryTasks
from transcode import events, presets, submit
from transcode.errors import BadEvent
from transcode.events import Skipped, Upload
from transcode.settings import Settings
from transcode.submit import Desk

RECORD: dict[str, Any] = {
    "eventName": "ObjectCreated:Put", "eventTime": "2025-01-15T10:00:00Z",
    "s3": {"bucket": {"name": "in-bucket"},
           "object": {"key": "a.mp4", "size": 5, "eTag": "e", "versionId": "v", "sequencer": "00"}},
}  # fmt: skip
EVENTBRIDGE: dict[str, Any] = {
    "source": "aws.s3", "detail-type": "Object Created", "time": "2025-01-15T10:00:00Z",
    "detail": {"bucket": {"name": "in-bucket"},
               "object": {"key": "a.mp4", "size": 5, "etag": "e", "version-id": "v", "sequencer": "00"}},
}  # fmt: skip
ODD: list[Any] = [
    None, True, -1, 1.5, float("inf"), float("nan"), 10**400, "", "x" * 3000, "\ud800", "a\0", [], {}, [1], {"a": 1},
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "%FF", "%ED%A0%80", "NaN", "١٢", "null", "../../x.mp4",
]  # fmt: skip


@pytest.fixture
def desk(settings: Settings) -> Desk:
    clock = FakeClock()
    return Desk(MemoryTasks(clock), None, ListQueue(), ListCallbacks(), presets.load(), settings, clock)  # type: ignore[arg-type]


@pytest.fixture
def settings(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return Settings(
        aws_region="eu-west-1", input_bucket="in-bucket", output_bucket="out-bucket", dynamodb_table="tasks",
        sqs_queue_url="https://sqs.eu-west-1.amazonaws.com/1/tasks", max_input_bytes=1000,
    )  # fmt: skip


def places(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a body."""
    for name, value in body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ():
        yield (*path, name)
        yield from places(value, (*path, name))


def changed(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The body with another value at one place."""
    new = copy.deepcopy(body)
    at = new
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    return new


@pytest.mark.parametrize("body", [{"Records": [RECORD]}, EVENTBRIDGE], ids=["s3", "eventbridge"])
def test_an_odd_value_anywhere_is_an_upload_a_skip_or_a_bad_event(body: Any, desk: Desk) -> None:
    for path in places(body):
        for value in ODD:
            text = json.dumps(changed(body, path, value))
            try:
                found = events.read(text)
            except BadEvent:
                continue
            for upload in found:
                if isinstance(upload, Upload):
                    submit.accept(desk, upload)


def test_an_odd_record_takes_no_other_along(desk: Desk) -> None:
    for path in places(RECORD):
        for value in ODD:
            text = json.dumps({"Records": [changed(RECORD, path, value), RECORD]})
            assert isinstance(events.read(text)[-1], Upload)


@pytest.mark.parametrize("wrapped", [1, 5])
def test_a_notification_wrapped_in_notifications_is_read(wrapped: int) -> None:
    text = json.dumps({"Records": [RECORD]})
    for _ in range(wrapped):
        text = json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": text})
    assert isinstance(events.read(text)[0], Upload)


def test_an_upload_over_the_limit_is_skipped_with_its_size(desk: Desk) -> None:
    body = changed({"Records": [RECORD]}, ("Records", 0, "s3", "object", "size"), 6 * 10**12)
    (upload,) = events.read(json.dumps(body))
    assert isinstance(upload, Upload)
    made = submit.accept(desk, upload)
    assert isinstance(made, Skipped)
    assert "6000000000000 bytes; at most 1000" in made.why
