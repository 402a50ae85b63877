"""GET /api/tasks, one task, retry and cancel."""

import urllib.request
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.fakes import MemoryTasks
from tests.unit.webapp.conftest import Bench
from transcode import steps
from transcode.errors import InputCorrupt
from transcode.states import Status
from transcode.task import ASIDE, Output, Task, new_id
from transcode.task import made as made_task

UNKNOWN = "01946a2e-0000-7000-8000-000000000000"


def made(bench: Bench, key: str = "holiday/beach.mp4", types: tuple[str, ...] = ("mp4_smooth", "thumbnail")) -> Task:
    bench.clock.advance(1)
    now = bench.clock()
    task = made_task(
        new_id(now), now, input_bucket="videos", input_key=key, output_bucket="renditions", transcode_types=types
    )
    assert bench.store.create(task)
    return task


def moved(bench: Bench, task: Task, *steps_taken: Any) -> Task:
    for step in steps_taken:
        wanted = step(task)
        bench.store.save(task, wanted)
        task = wanted
    return task


def claim(task: Task) -> Task:
    return steps.claimed(task, "owner", "gpu0@host", 1736935300.0)


def commit(task: Task) -> Task:
    return steps.committed(task, "owner", 1736935310.0, source={"codec": "h264"}, phases={"encode": 4.5})


def publish(task: Task) -> Task:
    outputs = {
        t: Output(key=f"{task.input_key}/{t}.bin", bytes=7, codec="hevc", width=640) for t in task.transcode_types
    }
    return steps.published(task, 1736935320.0, outputs)


def fail(task: Task) -> Task:
    return steps.failed(task, "owner", 1736935310.0, InputCorrupt("The file cannot be decoded."), ())


def problem(response: Any) -> tuple[int, str]:
    assert response.content_type == "application/problem+json"
    return response.status_code, response.get_json()["code"]


def test_the_list_is_newest_first_with_its_count(client: FlaskClient, bench: Bench) -> None:
    tasks = [made(bench) for _ in range(3)]
    found = client.get("/api/tasks").get_json()
    assert [t["task_id"] for t in found["tasks"]] == [t.task_id for t in reversed(tasks)]
    assert (found["count"], found["limit"], found["next_cursor"]) == (3, 20, None)


def test_the_cursor_leads_through_every_task_once(client: FlaskClient, bench: Bench) -> None:
    tasks = [made(bench).task_id for _ in range(5)]
    seen, cursor = [], ""
    for _ in range(3):
        found = client.get("/api/tasks", query_string={"limit": 2, "cursor": cursor}).get_json()
        seen += [t["task_id"] for t in found["tasks"]]
        cursor = found["next_cursor"]
    assert cursor is None
    assert seen == tasks[::-1]


def test_filters_combine(client: FlaskClient, bench: Bench) -> None:
    failed = moved(bench, made(bench), claim, fail)
    made(bench)
    query = {"date": "2025-01-15", "status": "failed"}
    assert [t["task_id"] for t in client.get("/api/tasks", query_string=query).get_json()["tasks"]] == [failed.task_id]
    assert client.get("/api/tasks", query_string=query | {"date": "2025-01-14"}).get_json()["count"] == 0


def test_a_query_for_pending_finds_retrying_tasks_of_the_predecessor(client: FlaskClient, bench: Bench) -> None:
    task = made(bench)
    bench.store.items[task.task_id]["status"] = "retrying"
    (found,) = client.get("/api/tasks?status=pending").get_json()["tasks"]
    assert (found["task_id"], found["status"]) == (task.task_id, "pending")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("date=2025-13-40", "date"),
        ("date=0", "date"),
        ("date=2025-1-5", "date"),
        ("date=", "date"),
        ("date=２０２５-01-15", "date"),
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=101", "limit"),
        ("limit=1000000000", "limit"),
        ("limit=abc", "limit"),
        ("status=done", "status"),
        ("status=retrying", "status"),
        ("page=2", "page"),
        (f"cursor={'a' * 3000}", "cursor"),
    ],
)  # fmt: skip
def test_a_bad_filter_is_named(client: FlaskClient, query: str, field: str) -> None:
    response = client.get(f"/api/tasks?{query}")
    assert problem(response) == (422, "validation_failed")
    assert [bad["loc"] for bad in response.get_json()["errors"]] == [["query", field]]


def test_a_bad_status_is_told_with_the_five_that_there_are(client: FlaskClient) -> None:
    detail = client.get("/api/tasks?status=done").get_json()["detail"]
    assert all(status in detail for status in Status)


def test_a_cursor_of_other_filters_or_of_nobody_is_refused(client: FlaskClient, bench: Bench) -> None:
    for _ in range(3):
        made(bench)
    cursor = client.get("/api/tasks?limit=1").get_json()["next_cursor"]
    for query in ({"status": "pending", "cursor": cursor}, {"cursor": cursor[:-5]}, {"cursor": "rubbish"}):
        assert problem(client.get("/api/tasks", query_string=query)) == (400, "bad_cursor")


def test_a_completed_task_tells_where_its_outputs_can_be_read(client: FlaskClient, bench: Bench) -> None:
    task = moved(bench, made(bench), claim, commit, publish)
    bench.storage.put("renditions", "holiday/beach.mp4/thumbnail.bin", b"a picture")
    found = client.get(f"/api/tasks/{task.task_id}").get_json()
    assert found["status"] == "completed"
    assert found["output_files"]["thumbnail"] == "holiday/beach.mp4/thumbnail.bin"
    output = found["outputs"]["thumbnail"]
    assert (output["bytes"], output["codec"], output["audio_codec"]) == (7, "hevc", None)
    assert output["url"].endswith("#expires=900")
    with urllib.request.urlopen(output["url"]) as file:
        assert file.read() == b"a picture"
    assert (found["source"], found["phases"]) == ({"codec": "h264"}, {"encode": 4.5})
    assert (found["live"], found["history"]) == (None, [])


def test_no_answer_shows_who_may_write(client: FlaskClient, bench: Bench) -> None:
    task = moved(bench, made(bench), claim)
    found = client.get(f"/api/tasks/{task.task_id}").get_json()
    assert not {"owner", "ver", "epoch", "lease_until", "generation", "winner", "output_order"} & set(found)
    assert found["worker"] == "gpu0@host"


def test_a_processing_task_shows_how_far_it_is(client: FlaskClient, bench: Bench) -> None:
    task = moved(bench, made(bench), claim)
    told = {"epoch": task.epoch, "phase": "encode", "percent": 41.5, "fps": 80, "cancel": True, "done": ["thumbnail"]}
    bench.store.merge_aside(task.task_id, ASIDE.LIVE, told)
    live = client.get(f"/api/tasks/{task.task_id}").get_json()["live"]
    expected = {"phase": "encode", "percent": 41.5, "fps": 80.0, "speed": None, "eta": None, "done": ["thumbnail"]}
    assert live == expected


def test_what_an_earlier_attempt_said_is_not_shown(client: FlaskClient, bench: Bench) -> None:
    task = moved(bench, made(bench), claim)
    bench.store.merge_aside(task.task_id, ASIDE.LIVE, {"epoch": task.epoch - 1, "percent": 99.0})
    assert client.get(f"/api/tasks/{task.task_id}").get_json()["live"] is None


def test_the_attempts_are_told_oldest_first(client: FlaskClient, bench: Bench) -> None:
    task = made(bench)
    for epoch, ended in ((10, "completed"), (2, "worker_lost")):
        story = {"attempt": epoch, "code": ended, "error": "", "phases": {"encode": 1.5}}
        bench.store.merge_aside(task.task_id, ASIDE.HISTORY, {f"{epoch:06d}": story})
    history = client.get(f"/api/tasks/{task.task_id}").get_json()["history"]
    assert [attempt["code"] for attempt in history] == ["worker_lost", "completed"]
    assert history[0]["phases"] == {"encode": 1.5}


@pytest.mark.parametrize("call", [("GET", ""), ("POST", "/retry"), ("POST", "/cancel")])
def test_an_unknown_task_is_404_and_no_uuid_is_422(client: FlaskClient, call: tuple[str, str]) -> None:
    method, step = call
    assert problem(client.open(f"/api/tasks/{UNKNOWN}{step}", method=method)) == (404, "task_not_found")
    for bad in ("7", UNKNOWN.upper().replace("0", "A"), f"{UNKNOWN}%23live", "output%23x"):
        response = client.open(f"/api/tasks/{bad}{step}", method=method)
        assert problem(response) == (422, "validation_failed")
        assert [b["loc"] for b in response.get_json()["errors"]] == [["path", "task_id"]]


def test_a_failed_task_is_retried(client: FlaskClient, bench: Bench) -> None:
    task = moved(bench, made(bench), claim, fail)
    found = client.post(f"/api/tasks/{task.task_id}/retry").get_json()
    assert (found["success"], found["task_id"], found["task"]["status"]) == (True, task.task_id, "pending")
    assert bench.queue.ids == [task.task_id]


@pytest.mark.parametrize("taken", [(), (claim,), (claim, commit, publish)])
def test_only_a_failed_or_cancelled_task_is_retried(client: FlaskClient, bench: Bench, taken: tuple[Any, ...]) -> None:
    task = moved(bench, made(bench), *taken)
    response = client.post(f"/api/tasks/{task.task_id}/retry")
    assert problem(response) == (409, "conflict")
    assert str(task.status) in response.get_json()["error"]
    assert bench.queue.ids == []


def test_a_pending_task_is_cancelled_at_once(client: FlaskClient, bench: Bench) -> None:
    found = client.post(f"/api/tasks/{made(bench).task_id}/cancel").get_json()
    assert (found["task"]["status"], found["message"]) == ("cancelled", "The task was cancelled.")


def test_a_processing_task_is_asked_to_stop(client: FlaskClient, bench: Bench) -> None:
    task = moved(bench, made(bench), claim)
    found = client.post(f"/api/tasks/{task.task_id}/cancel").get_json()
    assert (found["task"]["status"], found["task"]["cancel_requested"]) == ("processing", True)
    assert bench.store.read_aside(task.task_id, ASIDE.LIVE)["cancel"] == task.epoch


@pytest.mark.parametrize("taken", [(claim, commit), (claim, commit, publish), (claim, fail)])
def test_what_is_over_or_being_published_is_not_cancelled(
    client: FlaskClient, bench: Bench, taken: tuple[Any, ...]
) -> None:
    task = moved(bench, made(bench), *taken)
    assert problem(client.post(f"/api/tasks/{task.task_id}/cancel")) == (409, "conflict")


def test_a_record_with_an_expiry_and_a_delay_shows_them_as_times(client: FlaskClient, bench: Bench) -> None:
    task = made(bench)
    bench.store.items[task.task_id] |= {"expires_at": 1736935260, "not_before": 1736935200.5}
    found = client.get(f"/api/tasks/{task.task_id}").get_json()
    assert found["expires_at"] == "2025-01-15T10:01:00.000000Z"
    assert found["not_before"] == "2025-01-15T10:00:00.500000Z"


def test_a_bug_is_answered_without_its_trace(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(MemoryTasks):
        def read(self, task_id: str) -> Task:
            raise RuntimeError("secret detail")

    response = bench.app(store=Broken()).test_client().get(f"/api/tasks/{UNKNOWN}")
    assert problem(response) == (500, "internal_error")
    assert "secret detail" not in response.get_data(as_text=True)
