"""POST /api/queue/add for several objects: one answer each, and one that fails leaves the others alone."""

from collections.abc import Callable, MutableMapping
from typing import Any

import pytest
import structlog
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.fakes import MemoryTasks
from tests.unit.webapp.conftest import Bench
from transcode.errors import ServiceUnavailable
from transcode.task import Task

KEYS = ("2025/a.mp4", "2025/b.MOV", "2025/c/d.mkv")


@pytest.fixture
def full(bench: Bench) -> Bench:
    for key in (*KEYS, "2025/notes.txt", "2025/", "2024/old.mp4"):
        bench.storage.put("videos", key, b"a video")
    return bench


def item(key: str, **fields: Any) -> dict[str, Any]:
    return {"input_bucket": "videos", "input_key": key} | fields


def add(client: FlaskClient, body: dict[str, Any], key: str = "") -> TestResponse:
    return client.post("/api/queue/add", json=body, headers={"Idempotency-Key": key} if key else {})


def under(client: FlaskClient, prefix: str, key: str = "", **fields: Any) -> TestResponse:
    return add(client, {"input_bucket": "videos", "input_prefix": prefix} | fields, key)


def ids(response: TestResponse) -> list[str]:
    assert response.status_code == 200, response.get_json()
    return [one["task_id"] for one in response.get_json()["items"]]


def test_every_item_gets_its_task_in_the_order_asked(client: FlaskClient, full: Bench) -> None:
    wishes = {"transcode_types": ["thumbnail"], "output_prefix": "team/", "metadata": {"order": "4711"}}
    response = add(client, {"items": [item(KEYS[1], **wishes), item(KEYS[0])]})
    tasks = [full.store.read(task_id) for task_id in ids(response)]
    assert [task.input_key for task in tasks] == [KEYS[1], KEYS[0]]
    assert (tasks[0].transcode_types, tasks[0].output_prefix) == (("thumbnail",), "team/")
    assert tasks[0].metadata == {"order": "4711"}
    assert tasks[1].transcode_types == full.settings.default_transcode_types
    found = response.get_json()
    assert (found["success"], found["added"], found["failed"], found["next_after"]) == (True, 2, 0, None)
    assert sorted(full.queue.ids) == sorted(task.task_id for task in tasks)


def test_an_item_that_is_refused_leaves_the_others_alone(client: FlaskClient, full: Bench) -> None:
    bad = [
        (item("gone.mp4"), "input_not_found"),
        (item(KEYS[0], input_bucket="other"), "bucket_not_allowed"),
        (item(KEYS[0], transcode_types=["nothing"]), "unknown_type"),
    ]
    response = add(client, {"items": [item(KEYS[0]), *(one for one, _ in bad), item(KEYS[1])]})
    found = response.get_json()
    assert (response.status_code, found["success"], found["added"], found["failed"]) == (200, False, 2, 3)
    assert [one["code"] for one in found["items"]] == [None, *(code for _, code in bad), None]
    assert all(one["error"] and not one["task_id"] for one in found["items"] if not one["success"])
    assert found["items"][2]["input_bucket"] == "other"
    assert len(full.store.items) == 2


def test_when_the_table_is_down_the_rest_is_not_tried(full: Bench) -> None:
    class Down(MemoryTasks):
        asked = 0

        def create(self, task: Task) -> bool:
            Down.asked += 1
            raise ServiceUnavailable("AWS did not answer PutItem on the table tasks.")

    client = full.app(store=Down()).test_client()
    found = add(client, {"items": [item(KEYS[0])] * 100}).get_json()
    assert {one["code"] for one in found["items"]} == {"service_unavailable"}
    assert (found["failed"], found["success"]) == (100, False)
    # Those that were on their way at the same time, and no more.
    assert Down.asked <= 4


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"items": []}, ["body", "items"]),
        ({"items": [item("a")] * 101}, ["body", "items"]),
        ({"items": [item("a"), {"input_bucket": "videos"}]}, ["body", "items", 1, "input_key"]),
        ({"items": [item("a", owner="x")]}, ["body", "items", 0, "owner"]),
        ({"items": [item("a")], "input_key": "b"}, ["body", "input_key"]),
        ({"items": [item("a")], "input_prefix": "b"}, ["body", "input_prefix"]),
        ({"items": {"0": item("a")}}, ["body", "items"]),
        ({"input_prefix": "b"}, ["body", "input_bucket"]),
        ({"input_bucket": "videos", "input_prefix": "b", "input_key": "c"}, ["body", "input_key"]),
        ({"input_bucket": "videos", "input_prefix": "a\nb"}, ["body", "input_prefix"]),
        ({"input_bucket": "videos", "input_prefix": "", "after": "é" * 513}, ["body", "after"]),
        ({"input_bucket": "other", "input_prefix": ""}, ["body", "input_bucket"]),
        ({"input_bucket": "videos", "input_prefix": "", "transcode_types": ["no"]}, ["body", "transcode_types", 0]),
        ({"<one>": 1}, ["body", "<one>"]),
    ],
)  # fmt: skip
def test_a_body_that_fits_no_form_is_refused_with_the_place(
    client: FlaskClient, full: Bench, body: dict[str, Any], where: list[Any]
) -> None:
    response = add(client, body)
    assert response.status_code == 422
    assert where in [bad["loc"] for bad in response.get_json()["errors"]]
    assert full.store.items == {}


def test_a_prefix_means_the_videos_under_it(client: FlaskClient, full: Bench) -> None:
    response = under(client, "2025/", transcode_types=["thumbnail"], metadata={"order": "4711"})
    tasks = [full.store.read(task_id) for task_id in ids(response)]
    assert [task.input_key for task in tasks] == list(KEYS)
    assert {task.transcode_types for task in tasks} == {("thumbnail",)}
    assert {task.metadata["order"] for task in tasks} == {"4711"}


def test_a_prefix_without_videos_makes_nothing(client: FlaskClient, full: Bench) -> None:
    found = under(client, "2023/").get_json()
    assert (found["success"], found["added"], found["items"]) == (True, 0, [])


def test_a_prefix_with_more_than_a_thousand_videos_goes_on_where_it_ended(client: FlaskClient, bench: Bench) -> None:
    for number in range(1001):
        bench.storage.put("more-videos", f"many/{number:04}.mp4", b"a video")
    body = {"input_bucket": "more-videos", "input_prefix": "many/"}
    first = add(client, body).get_json()
    assert (first["added"], first["next_after"]) == (1000, "many/0999.mp4")
    second = add(client, body | {"after": first["next_after"]}).get_json()
    assert [one["input_key"] for one in second["items"]] == ["many/1000.mp4"]
    assert second["next_after"] is None


def test_a_bucket_full_of_other_things_is_not_read_to_its_end(client: FlaskClient, bench: Bench) -> None:
    class Endless:
        listings = 0

        def keys(self, bucket: str, prefix: str, limit: int, after: str = "") -> tuple[str, ...]:
            Endless.listings += 1
            return tuple(f"{Endless.listings:03}-{number:04}.txt" for number in range(limit))

    found = under(bench.app(storage=Endless()).test_client(), "").get_json()
    assert (found["added"], found["next_after"], Endless.listings) == (0, "010-0999.txt", 10)


def test_our_own_outputs_are_no_inputs(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(output_bucket="videos", output_key_template="made/{input_bucket}/{input_key}/{type}.{ext}")
    for key in ("film.mp4", "made/videos/film.mp4/mp4_smooth.mp4"):
        bench.storage.put("videos", key, b"a video")
    found = under(bench.app().test_client(), "").get_json()
    assert [one["input_key"] for one in found["items"]] == ["film.mp4"]


def test_the_same_bulk_request_again_makes_no_second_task(client: FlaskClient, full: Bench) -> None:
    body = {"items": [item(key) for key in (*KEYS, KEYS[0])]}
    first = ids(add(client, body, "k1"))
    assert len(set(first)) == 4
    assert ids(add(client, body, "k1")) == first
    assert len(full.store.items) == 4
    assert set(ids(add(client, body, "k2"))).isdisjoint(first)


def test_the_same_prefix_again_makes_only_what_is_new(client: FlaskClient, full: Bench) -> None:
    first = ids(under(client, "2025/", "k1"))
    full.storage.put("videos", "2025/a-new.mp4", b"a video")
    second = ids(under(client, "2025/", "k1"))
    assert [task_id for task_id in second if task_id in first] == first
    assert len(full.store.items) == 4


def test_an_item_that_is_another_one_under_the_same_key_is_told_so(client: FlaskClient, full: Bench) -> None:
    add(client, {"items": [item(KEYS[0]), item(KEYS[1])]}, "k1")
    found = add(client, {"items": [item(KEYS[0]), item(KEYS[2])]}, "k1").get_json()
    assert [one["code"] for one in found["items"]] == [None, "idempotency_key_reused"]


def test_every_task_of_many_has_its_line_in_the_audit(client: FlaskClient, full: Bench) -> None:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        response = client.post(
            "/api/queue/add", json={"items": [item(key) for key in KEYS]}, headers={"X-Request-Id": "r"}
        )
    changes: list[MutableMapping[str, Any]] = [line for line in lines if line["event"] == "Change made"]
    assert [line["task_id"] for line in changes] == ids(response)
    assert {line["request_id"] for line in lines if line["event"] == "Task created"} == {"r"}
