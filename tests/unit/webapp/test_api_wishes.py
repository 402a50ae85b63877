"""POST /api/queue/add: the idempotency key, the prefix of the outputs, and the caller's own words."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr
from werkzeug.test import TestResponse

from tests.unit.webapp.conftest import KEY, Bench
from transcode import outputs
from transcode.errors import ServiceUnavailable

GOOD = {"input_bucket": "videos", "input_key": "holiday/beach.mp4"}
OTHER_KEY = "another-key-of-more-than-16"


def add(client: FlaskClient, key: str = "", caller: str = "", **fields: Any) -> TestResponse:
    headers = ({"Idempotency-Key": key} if key else {}) | ({"X-API-Key": caller} if caller else {})
    return client.post("/api/queue/add", json=GOOD | fields, headers=headers)


def task_id(response: TestResponse) -> str:
    assert response.status_code == 200, response.get_json()
    return str(response.get_json()["task_id"])


def refused(response: TestResponse) -> tuple[str, list[Any]]:
    assert response.status_code == 422
    found = response.get_json()
    return found["code"], [bad["loc"] for bad in found["errors"]]


def test_the_same_request_again_is_the_same_task(client: FlaskClient, bench: Bench) -> None:
    first = task_id(add(client, "order 4711"))
    assert task_id(add(client, "order 4711")) == first
    assert len(bench.store.items) == 1
    assert bench.queue.ids == [first]


def test_the_same_request_to_another_process_is_the_same_task(bench: Bench) -> None:
    first, second = (bench.app().test_client() for _ in range(2))
    assert task_id(add(first, "k")) == task_id(add(second, "k"))


def test_without_a_key_every_request_is_a_new_task(client: FlaskClient) -> None:
    assert task_id(add(client)) != task_id(add(client))


def test_another_key_is_another_task(client: FlaskClient) -> None:
    assert task_id(add(client, "a")) != task_id(add(client, "b"))


def test_callers_do_not_meet_each_others_keys(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(api_keys=(SecretStr(KEY), SecretStr(OTHER_KEY)))
    bench.storage.put("videos", "holiday/beach.mp4", b"a video")
    client = bench.app().test_client()
    assert task_id(add(client, "k", KEY)) != task_id(add(client, "k", OTHER_KEY))


@pytest.mark.parametrize(
    "change",
    [
        {"input_key": "holiday/other.mp4"},
        {"transcode_types": ["thumbnail"]},
        {"output_prefix": "a/"},
        {"metadata": {"a": "b"}},
    ],
)
def test_the_same_key_with_another_request_is_refused(
    client: FlaskClient, bench: Bench, change: dict[str, Any]
) -> None:
    bench.storage.put("videos", "holiday/other.mp4", b"a video")
    first = task_id(add(client, "k"))
    assert refused(add(client, "k", **change)) == ("idempotency_key_reused", [["header", "Idempotency-Key"]])
    assert list(bench.store.items) == [first]


def test_a_request_that_comes_again_finds_its_task_after_the_object_is_gone(client: FlaskClient, bench: Bench) -> None:
    first = task_id(add(client, "k"))
    bench.storage.objects.clear()
    assert task_id(add(client, "k")) == first


def test_a_request_that_comes_again_shows_the_task_as_it_is_now(client: FlaskClient) -> None:
    first = task_id(add(client, "k"))
    client.post(f"/api/tasks/{first}/cancel")
    assert add(client, "k").get_json()["task"]["status"] == "cancelled"


def test_a_request_that_was_refused_may_come_again_under_its_key(client: FlaskClient, bench: Bench) -> None:
    assert add(client, "k", input_key="late.mp4").status_code == 404
    bench.storage.put("videos", "late.mp4", b"a video")
    assert add(client, "k", input_key="late.mp4").status_code == 200


def test_a_message_that_was_not_sent_the_first_time_is_left_to_the_reconciler(
    client: FlaskClient, bench: Bench
) -> None:
    bench.queue.outage = ServiceUnavailable("The queue does not answer.")
    first = task_id(add(client, "k"))
    bench.queue.outage = None
    assert task_id(add(client, "k")) == first
    assert bench.store.read(first).sent_at == ""


def test_two_at_once_make_one_task(bench: Bench) -> None:
    app, together, found = bench.app(), threading.Barrier(8), list[str]()

    def ask() -> None:
        with app.test_client() as client:
            together.wait(30)
            found.append(task_id(add(client, "k")))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 8
    assert set(found) == set(bench.store.items) == set(bench.queue.ids)
    assert len(bench.queue.ids) == 1


def test_two_different_ones_at_once_make_one_task_and_one_refusal(bench: Bench) -> None:
    """The other one comes between our look and our write."""
    other = bench.app().test_client()

    class Between:
        def head(self, bucket: str, key: str) -> Any:
            if key == "slow.mp4":
                task_id(add(other, "k"))
            return bench.storage.head(bucket, key)

    bench.storage.put("videos", "slow.mp4", b"a video")
    slow = add(bench.app(storage=Between()).test_client(), "k", input_key="slow.mp4")
    assert refused(slow)[0] == "idempotency_key_reused"
    assert len(bench.store.items) == 1


@pytest.mark.parametrize("key", ["x" * 256, "é", "a\tb", "中".encode().decode("latin-1"), "\x7f"])
def test_a_key_that_is_no_plain_text_is_refused(client: FlaskClient, bench: Bench, key: str) -> None:
    assert refused(add(client, key)) == ("validation_failed", [["header", "Idempotency-Key"]])
    assert bench.store.items == {}


def test_an_empty_key_is_not_taken_for_none(client: FlaskClient) -> None:
    response = client.post("/api/queue/add", json=GOOD, headers={"Idempotency-Key": ""})
    assert refused(response) == ("validation_failed", [["header", "Idempotency-Key"]])


@pytest.mark.parametrize("key", ["x" * 255, " ~!", "6f1c 4711/é".encode("ascii", "replace").decode()])
def test_any_other_key_is_taken(client: FlaskClient, key: str) -> None:
    assert add(client, key).status_code == 200


def test_the_prefix_stands_before_every_output_key(client: FlaskClient, bench: Bench) -> None:
    found = add(client, output_prefix="团队/a b/").get_json()["task"]
    assert found["output_prefix"] == "团队/a b/"
    task = bench.store.read(found["task_id"])
    assert outputs.key(bench.settings, task, "thumbnail", "jpg") == "团队/a b/videos/holiday/beach.mp4/thumbnail.jpg"


@pytest.mark.parametrize(
    "prefix", ["/a/", "..", "../a/", "a/../b/", "a/..", "./a/", "a\nb/", "a\0b", "\x7f", "x" * 513, 7]
)
def test_a_prefix_that_leads_astray_is_refused(client: FlaskClient, bench: Bench, prefix: object) -> None:
    assert refused(add(client, output_prefix=prefix)) == ("validation_failed", [["body", "output_prefix"]])
    assert bench.store.items == {}


@pytest.mark.parametrize("prefix", ["", "a", "a/", "..a/", "a../", "a...b", "-", "%2e%2e/", "\\..\\"])
def test_any_other_prefix_is_taken_literally(client: FlaskClient, prefix: str) -> None:
    assert add(client, output_prefix=prefix).get_json()["task"]["output_prefix"] == (prefix or None)


def test_a_prefix_that_makes_a_key_too_long_is_refused(client: FlaskClient, bench: Bench) -> None:
    key = "k" * 600
    bench.storage.put("videos", key, b"a video")
    assert add(client, input_key=key, output_prefix="p" * 380).status_code == 200
    found = refused(add(client, input_key=key, output_prefix="p" * 420))
    assert found == ("output_prefix_unusable", [["body", "output_prefix"]])


def test_in_a_shared_bucket_the_prefix_stays_where_outputs_go(make_bench: Callable[..., Bench]) -> None:
    """Else the bridge would take the renditions for uploads, and transcode them without end."""
    bench = make_bench(output_bucket="videos", output_key_template="made/{input_bucket}/{input_key}/{type}.{ext}")
    bench.storage.put("videos", "holiday/beach.mp4", b"a video")
    client = bench.app().test_client()
    for prefix in ("team/", "mad", "made"):
        assert refused(add(client, output_prefix=prefix)) == ("output_prefix_unusable", [["body", "output_prefix"]])
    found = add(client, output_prefix="made/team/").get_json()["task"]
    key = outputs.key(bench.settings, bench.store.read(found["task_id"]), "thumbnail", "jpg")
    assert outputs.is_own(bench.settings, "videos", key)


def test_the_callers_words_are_shown_again(client: FlaskClient) -> None:
    words = {"order": "4711", "客户": "某公司\n", "empty": ""}
    first = add(client, metadata=words).get_json()["task"]
    assert first["metadata"] == words
    assert client.get(f"/api/tasks/{first['task_id']}").get_json()["metadata"] == words
    assert client.get("/api/tasks").get_json()["tasks"][0]["metadata"] == words


def test_a_task_without_words_says_so(client: FlaskClient) -> None:
    found = add(client).get_json()["task"]
    assert (found["metadata"], found["output_prefix"]) == ({}, None)
    assert "request_hash" not in found


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": "b" * 1024},
        {"a": "é" * 512},
        {f"name-{n}": "x" for n in range(17)},
        {"": "x"},
        {"a": 1},
        {"a": None},
        {"a": {"b": "c"}},
        ["a"],
        "a",
        None,
    ],
)  # fmt: skip
def test_words_that_are_none_or_too_many_are_refused(client: FlaskClient, metadata: object) -> None:
    code, places = refused(add(client, metadata=metadata))
    assert code == "validation_failed"
    assert all(loc[:2] == ["body", "metadata"] for loc in places)


def test_an_urgent_task_is_sent_as_such_and_again_after_a_retry(client: FlaskClient, bench: Bench) -> None:
    found = add(client, priority="urgent").get_json()
    assert found["task"]["priority"] == "urgent"
    client.post(f"/api/tasks/{found['task_id']}/cancel")
    client.post(f"/api/tasks/{found['task_id']}/retry")
    assert [(m.urgent, m.group) for m in bench.queue.messages] == [(True, "videos")] * 2
    add(client)
    assert not bench.queue.messages[-1].urgent


def test_a_priority_that_there_is_not_is_refused_with_those_that_there_are(client: FlaskClient) -> None:
    response = add(client, priority="asap")
    assert refused(response) == ("validation_failed", [["body", "priority"]])
    assert "'normal' or 'urgent'" in response.get_json()["error"]


CALLBACKS: dict[str, Any] = {
    "callback_targets": ("orders=https://orders.example.com/hook", "billing=https://billing.example.com/"),
    "callback_secrets": (SecretStr("orders=0123456789abcdef"), SecretStr("billing=0123456789abcdef")),
    "callback_queue_url": "https://sqs.eu-west-1.amazonaws.com/1/callbacks",
}


def test_a_callback_names_a_target_of_the_operator(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(**CALLBACKS)
    bench.storage.put("videos", "holiday/beach.mp4", b"a video")
    client = bench.app().test_client()
    made = task_id(add(client, callback="orders"))
    assert client.get(f"/api/tasks/{made}").get_json()["callback"] == "orders"
    assert client.get(f"/api/tasks/{made}").get_json()["callback_delivery"] is None
    assert client.get(f"/api/tasks/{task_id(add(client))}").get_json()["callback"] is None
    bench.store.merge_aside(made, "callback", {"state": "waiting", "attempts": 2, "status": 500, "error": "No."})
    told = client.get(f"/api/tasks/{made}").get_json()["callback_delivery"]
    assert (told["state"], told["attempts"], told["status"], told["next_at"]) == ("waiting", 2, 500, None)
    bench.store.merge_aside(made, "callback", {"generation": 7})
    assert client.get(f"/api/tasks/{made}").get_json()["callback_delivery"] is None
    response = add(client, callback="https://evil.example.com/")
    assert refused(response) == ("unknown_callback", [["body", "callback"]])
    assert "these are: orders, billing" in response.get_json()["error"]


def test_a_callback_where_none_is_set_up_is_refused(client: FlaskClient) -> None:
    assert refused(add(client, callback="orders")) == ("unknown_callback", [["body", "callback"]])


def test_tasks_that_name_no_target_have_the_default_one(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(**CALLBACKS, default_callback="billing")
    bench.storage.put("videos", "holiday/beach.mp4", b"a video")
    client = bench.app().test_client()
    assert add(client).get_json()["task"]["callback"] == "billing"
    assert add(client, callback="orders").get_json()["task"]["callback"] == "orders"


def test_another_callback_under_the_same_key_is_another_request(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(**CALLBACKS)
    bench.storage.put("videos", "holiday/beach.mp4", b"a video")
    client = bench.app().test_client()
    task_id(add(client, "k", callback="orders"))
    assert refused(add(client, "k", callback="billing"))[0] == "idempotency_key_reused"
