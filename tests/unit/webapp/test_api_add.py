"""POST /api/queue/add: what is taken, and what is refused with which words."""

import io
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.fakes import MemoryTasks
from tests.unit.webapp.conftest import Bench
from transcode.errors import ServiceUnavailable

GOOD = {"input_bucket": "videos", "input_key": "holiday/beach.mp4", "transcode_types": ["mp4_standard", "thumbnail"]}


def add(client: FlaskClient, **fields: Any) -> TestResponse:
    return client.post("/api/queue/add", json=GOOD | fields)


def send(client: FlaskClient, body: bytes, content_type: str = "application/json") -> TestResponse:
    return client.post("/api/queue/add", data=body, content_type=content_type)


def code(response: TestResponse) -> tuple[int, str]:
    assert response.content_type == "application/problem+json"
    found = response.get_json()
    assert found["status"] == response.status_code
    assert found["type"] == f"/problems/{found['code'].replace('_', '-')}"
    assert found["error"] == found["detail"] != ""
    return response.status_code, found["code"]


def bad_fields(response: TestResponse) -> list[tuple[list[Any], str]]:
    return [(bad["loc"], bad["type"]) for bad in response.get_json()["errors"]]


def test_an_added_task_is_recorded_and_sent(client: FlaskClient, bench: Bench) -> None:
    response = add(client)
    assert response.status_code == 200
    found = response.get_json()
    task = bench.store.read(found["task_id"])
    assert (found["success"], found["message"]) == (True, "The task was added.")
    assert (task.input_bucket, task.input_key) == ("videos", "holiday/beach.mp4")
    assert task.transcode_types == ("mp4_standard", "thumbnail")
    assert bench.queue.ids == [task.task_id]
    assert response.headers["Location"] == f"/api/tasks/{task.task_id}"


def test_the_answer_shows_the_task_and_not_its_fences(client: FlaskClient) -> None:
    task = add(client).get_json()["task"]
    assert task["status"] == "pending"
    assert task["completed_at"] is None
    assert task["progress"] == {"mp4_standard": "pending", "thumbnail": "pending"}
    assert not {"owner", "ver", "epoch", "lease_until", "generation", "winner", "send_count", "output_order"} & set(
        task
    )


def test_without_types_the_task_gets_the_default_ones(client: FlaskClient, bench: Bench) -> None:
    body = {"input_bucket": "videos", "input_key": "holiday/beach.mp4"}
    found = client.post("/api/queue/add", json=body).get_json()
    assert tuple(found["task"]["transcode_types"]) == bench.settings.default_transcode_types


def test_a_type_asked_twice_is_made_once(client: FlaskClient) -> None:
    found = add(client, transcode_types=["thumbnail", "mp4_smooth", "thumbnail"]).get_json()
    assert found["task"]["transcode_types"] == ["thumbnail", "mp4_smooth"]


@pytest.mark.parametrize("key", ["../../etc/passwd", "-i.mp4", "a b+ü中.mp4", "%2e%2e/x.mp4", "no-suffix"])
def test_a_strange_key_is_taken_literally(client: FlaskClient, bench: Bench, key: str) -> None:
    assert code(add(client, input_key=key)) == (404, "input_not_found")
    bench.storage.put("videos", key, b"a video")
    assert add(client, input_key=key).get_json()["task"]["input_key"] == key


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "body_missing")),
        (b" \n", (400, "body_missing")),
        (b'{"input_bucket": "videos",}', (400, "json_invalid")),
        (b"[" * 60_000, (400, "json_too_deep")),
        (b'{"a":' * 21 + b"1" + b"}" * 21, (400, "json_too_deep")),
        (b'{"input_bucket": NaN}', (400, "json_invalid")),
        (b'{"input_bucket": -Infinity}', (400, "json_invalid")),
        (b'{"input_bucket": 1e999}', (400, "json_invalid")),
        (b'{"input_bucket": ' + b"1" * 5000 + b"}", (400, "json_invalid")),
        (b'{"input_key": "a", "input_key": "b"}', (400, "json_duplicate_key")),
        (b'{"input_key": "\\ud800"}', (400, "encoding")),
        (b'{"input_key": "\xff"}', (400, "encoding")),
        ('{"input_key": "a"}'.encode("utf-16"), (400, "encoding")),
        ('{"input_key": "a"}'.encode("utf-16-le"), (400, "encoding")),
        (b"[]", (422, "object_expected")),
        (b"null", (422, "object_expected")),
        (b'"text"', (422, "object_expected")),
        (b"{" + b" " * 70_000 + b"}", (413, "body_too_large")),
    ],
)  # fmt: skip
def test_a_body_that_two_readers_may_read_differently_is_refused(
    client: FlaskClient, bench: Bench, body: bytes, expected: tuple[int, str]
) -> None:
    assert code(send(client, body)) == expected
    assert bench.store.items == {}


def chunked(client: FlaskClient, body: bytes) -> TestResponse:
    """As a server hands over a body of unknown length."""
    return client.post(
        "/api/queue/add", input_stream=io.BytesIO(body), content_type="application/json",
        headers={"Transfer-Encoding": "chunked"}, environ_overrides={"wsgi.input_terminated": True},
    )  # fmt: skip


def test_a_body_in_chunks_is_read_to_its_end_or_refused(client: FlaskClient) -> None:
    body = b'{"input_bucket": "videos", "input_key": "holiday/beach.mp4"}'
    assert chunked(client, body).status_code == 200
    assert code(chunked(client, body + b" " * 70_000)) == (413, "body_too_large")


def test_brackets_in_strings_are_no_nesting(client: FlaskClient, bench: Bench) -> None:
    key = "[" * 30 + '\\"{' + ".mp4"
    bench.storage.put("videos", key, b"a video")
    assert add(client, input_key=key).status_code == 200


def test_broken_json_is_told_with_its_place(client: FlaskClient) -> None:
    found = send(client, b'{"input_bucket": "videos",\n "input_key": }').get_json()
    assert "line 2, column 15" in found["detail"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_only_json_is_read(client: FlaskClient, content_type: str) -> None:
    assert code(send(client, b'{"input_bucket": "videos"}', content_type)) == (415, "media_type")


def test_a_charset_beside_the_content_type_is_fine(client: FlaskClient) -> None:
    body = b'{"input_bucket": "videos", "input_key": "holiday/beach.mp4"}'
    assert send(client, body, "application/json; charset=utf-8").status_code == 200


@pytest.mark.parametrize("name", ["status", "owner", "output_bucket", "task_id", "callback_url"])
def test_an_unknown_field_is_named_and_refused(client: FlaskClient, name: str) -> None:
    response = add(client, **{name: "x"})
    assert code(response) == (422, "validation_failed")
    assert bad_fields(response) == [(["body", name], "unknown_field")]


def test_every_field_that_is_missing_is_named(client: FlaskClient) -> None:
    response = send(client, b"{}")
    assert code(response) == (422, "validation_failed")
    assert bad_fields(response) == [(["body", "input_bucket"], "missing"), (["body", "input_key"], "missing")]


@pytest.mark.parametrize("key", ["é" * 513, "a\0b.mp4", "a\nb.mp4", "a\x7f"])
def test_a_key_that_names_no_object_is_refused(client: FlaskClient, key: str) -> None:
    assert bad_fields(add(client, input_key=key)) == [(["body", "input_key"], "key_invalid")]


@pytest.mark.parametrize("key", ["", 7, None, ["a.mp4"]])
def test_a_key_must_be_a_text(client: FlaskClient, key: object) -> None:
    assert [loc for loc, _ in bad_fields(add(client, input_key=key))] == [["body", "input_key"]]


@pytest.mark.parametrize("bucket", ["other", "arn:aws:s3:::videos", "169.254.169.254", "VIDEOS", "videos/", ".."])
def test_a_bucket_outside_the_list_is_refused_before_s3_is_asked(bench: Bench, bucket: str) -> None:
    class Untouched:
        def head(self, bucket: str, key: str) -> None:
            raise AssertionError("S3 was asked")

    response = add(bench.app(storage=Untouched()).test_client(), input_bucket=bucket)
    assert code(response) == (422, "bucket_not_allowed")
    assert bad_fields(response) == [(["body", "input_bucket"], "bucket_not_allowed")]


def test_every_unknown_type_is_named_at_its_place(client: FlaskClient) -> None:
    response = add(client, transcode_types=["thumbnail", '"; rm -rf /"', "-vf movie=/etc/passwd"])
    assert code(response) == (422, "unknown_type")
    where = [["body", "transcode_types", 1], ["body", "transcode_types", 2]]
    assert bad_fields(response) == [(loc, "unknown_type") for loc in where]
    assert "mp4_standard, mp4_smooth" in response.get_json()["detail"]


@pytest.mark.parametrize("types", [[], "thumbnail", None, ["thumbnail"] * 1000, [1], {"thumbnail": True}])
def test_types_must_be_a_short_list_of_names(client: FlaskClient, types: object) -> None:
    response = add(client, transcode_types=types)
    assert code(response) == (422, "validation_failed")
    assert all(loc[:2] == ["body", "transcode_types"] for loc, _ in bad_fields(response))


def test_an_object_without_bytes_is_refused(client: FlaskClient, bench: Bench) -> None:
    bench.storage.put("videos", "empty.mp4", b"")
    assert code(add(client, input_key="empty.mp4")) == (422, "input_empty")


def test_an_object_over_the_limit_is_refused(bench: Bench, make_bench: Any) -> None:
    small = make_bench(max_input_bytes=3)
    small.storage.put("videos", "large.mp4", b"four")
    assert code(add(small.app().test_client(), input_key="large.mp4")) == (422, "input_too_large")


def test_a_queue_that_is_down_loses_nothing(client: FlaskClient, bench: Bench) -> None:
    bench.queue.outage = ServiceUnavailable("The queue does not answer.")
    found = add(client).get_json()
    assert bench.store.read(found["task_id"]).sent_at == ""


def test_a_table_that_is_down_is_told_with_the_time_to_come_back(bench: Bench) -> None:
    class Down(MemoryTasks):
        def create(self, task: Any) -> bool:
            raise ServiceUnavailable("AWS did not answer PutItem on the table tasks.")

    response = add(bench.app(store=Down()).test_client())
    assert code(response) == (503, "service_unavailable")
    assert response.headers["Retry-After"] == "5"
