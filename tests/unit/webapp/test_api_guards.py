"""Who may call, what browsers are told, and what a request leaves in the log."""

import hashlib
import logging
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import pytest
import structlog
from flask.testing import FlaskClient
from pydantic import SecretStr

from tests.unit.webapp.conftest import KEY, Bench
from webapp import auth

NAMED_KEY = "the-secret-of-the-editor"
NAMED = f"editor:sha256:{hashlib.sha256(NAMED_KEY.encode()).hexdigest()}"


@pytest.fixture
def locked(make_bench: Callable[..., Bench]) -> Bench:
    bench = make_bench(api_keys=(SecretStr(KEY), SecretStr(NAMED)), api_host="0.0.0.0")
    bench.storage.put("videos", "beach.mp4", b"a video")
    return bench


@pytest.fixture
def lines() -> Iterator[list[MutableMapping[str, Any]]]:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as found:
        yield found


def test_every_route_but_the_open_ones_wants_a_key(locked: Bench) -> None:
    app = locked.app()
    client = app.test_client()
    closed = 0
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/admin"):
            # The admin has a door of its own.
            continue
        path = rule.rule.replace("<task_id>", "01946a2e-0000-7000-8000-000000000000")
        path = path.replace("<path:filename>", "docs.js")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            response = client.open(path, method=method, buffered=True)
            if rule.endpoint in auth.OPEN:
                assert response.status_code in (200, 302), path
                continue
            closed += 1
            assert response.status_code == 401, path
            assert response.headers["WWW-Authenticate"].startswith("ApiKey ")
            assert response.get_json()["code"] == "key_missing"
    assert closed == 11


def test_the_open_routes_are_these(locked: Bench) -> None:
    endpoints = {rule.endpoint for rule in locked.app().url_map.iter_rules()}
    assert endpoints >= auth.OPEN
    assert {"health.get_health", "openapi.spec", "docs.show_docs", "docs.go_to_docs", "static"} == auth.OPEN


@pytest.mark.parametrize("key", [KEY, NAMED_KEY])
def test_a_known_key_opens(locked: Bench, key: str) -> None:
    assert locked.app().test_client().get("/api/tasks", headers={"X-API-Key": key}).status_code == 200


@pytest.mark.parametrize("key", ["wrong", KEY[:-1], KEY + "x", NAMED, NAMED.rsplit(":", maxsplit=1)[-1], "ключ"])
def test_any_other_key_does_not(locked: Bench, key: str) -> None:
    header = {"X-API-Key": key.encode().decode("latin-1")}
    response = locked.app().test_client().get("/api/tasks", headers=header)
    assert (response.status_code, response.get_json()["code"]) == (401, "key_wrong")


def test_a_wrong_key_is_logged_without_the_key(locked: Bench, lines: list[MutableMapping[str, Any]]) -> None:
    locked.app().test_client().get("/api/tasks", headers={"X-API-Key": "wrong-but-secret"})
    (line,) = [one for one in lines if one["event"] == "Wrong API key"]
    assert "wrong-but-secret" not in str(line)


def test_a_key_in_the_address_is_no_key(locked: Bench) -> None:
    assert locked.app().test_client().get(f"/api/tasks?X-API-Key={KEY}").status_code == 401


def test_an_unknown_address_needs_no_key_to_be_unknown(locked: Bench) -> None:
    client = locked.app().test_client()
    assert client.get("/api/nothing").status_code == 404
    assert client.put("/api/tasks").status_code == 405


def test_a_password_for_the_admin_alone_does_not_open_the_api(make_bench: Callable[..., Bench]) -> None:
    client = make_bench(admin_password_hash=SecretStr("scrypt:x")).app().test_client()
    assert client.get("/api/tasks").status_code == 401


def test_who_says_auth_disabled_is_taken_at_their_word(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(auth_disabled=True, api_host="0.0.0.0")
    client = bench.app().test_client()
    assert client.get("/api/tasks", headers={"Host": "farm.example"}).status_code == 200


def test_open_on_loopback_only_loopback_names_are_answered(client: FlaskClient) -> None:
    for host in ("localhost:9999", "127.0.0.1:9999", "[::1]:9999"):
        assert client.get("/api/tasks", headers={"Host": host}).status_code == 200
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9999", "[::2]", "a b", ""):
        response = client.get("/api/tasks", headers={"Host": host})
        assert (response.status_code, response.get_json()["code"]) == (400, "host_unknown"), host


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://localhost:8000"},
    ],
)  # fmt: skip
def test_a_foreign_page_changes_nothing(client: FlaskClient, bench: Bench, headers: dict[str, str]) -> None:
    body = {"input_bucket": "videos", "input_key": "holiday/beach.mp4"}
    response = client.post("/api/queue/add", json=body, headers=headers)
    assert (response.status_code, response.get_json()["code"]) == (403, "foreign_origin")
    assert bench.store.items == {}


def test_our_own_page_may_change_things(client: FlaskClient) -> None:
    body = {"input_bucket": "videos", "input_key": "holiday/beach.mp4"}
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/queue/add", json=body, headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/api/health", "/docs", "/api/nothing", "/openapi.json", "/static/docs.js"])
def test_every_answer_has_the_security_headers(client: FlaskClient, path: str) -> None:
    headers = client.get(path, buffered=True).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_every_answer_names_its_request(client: FlaskClient) -> None:
    assert client.get("/api/health", headers={"X-Request-Id": "abc-1"}).headers["X-Request-Id"] == "abc-1"
    first = client.get("/api/nothing").headers["X-Request-Id"]
    assert len(first) == 32
    assert client.get("/api/nothing").headers["X-Request-Id"] != first


def test_a_request_id_that_is_no_plain_word_is_replaced(client: FlaskClient) -> None:
    for bad in ("a b", 'a"b', "x" * 65, ""):
        assert len(client.get("/api/health", headers={"X-Request-Id": bad}).headers["X-Request-Id"]) == 32


def test_every_line_of_a_request_carries_its_id(client: FlaskClient, lines: list[MutableMapping[str, Any]]) -> None:
    body = {"input_bucket": "videos", "input_key": "holiday/beach.mp4"}
    client.post("/api/queue/add", json=body, headers={"X-Request-Id": "r-1"})
    assert {"Task created", "Change made", "Request served"} <= {line["event"] for line in lines}
    assert {line.get("request_id") for line in lines} == {"r-1"}


def test_a_change_is_written_down_with_who_and_what(locked: Bench, lines: list[MutableMapping[str, Any]]) -> None:
    client = locked.app().test_client()
    headers = {"X-API-Key": NAMED_KEY}
    body = {"input_bucket": "videos", "input_key": "beach.mp4"}
    task_id = client.post("/api/queue/add", json=body, headers=headers).get_json()["task_id"]
    client.post(f"/api/tasks/{task_id}/cancel", headers=headers)
    client.post(f"/api/tasks/{task_id}/retry", headers={"X-API-Key": KEY})
    changes = [(line["who"], line["what"], line["task_id"]) for line in lines if line["event"] == "Change made"]
    assert changes == [("editor", "add", task_id), ("editor", "cancel", task_id), ("key-1", "retry", task_id)]


def test_a_presigned_address_is_not_kept_by_caches(client: FlaskClient) -> None:
    assert client.get("/api/tasks").headers["Cache-Control"] == "no-store"


def test_logging_at_debug_is_quiet_about_bodies(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        client.post("/api/queue/add", json={"input_bucket": "videos", "input_key": "very-private-name"})
    assert not [record for record in caplog.records if record.name.startswith("werkzeug")]
