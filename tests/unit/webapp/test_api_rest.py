"""Health, queue status, transcode types, the documentation, and what every route has in common."""

import json
import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.webapp.conftest import Bench
from transcode import errors, presets
from transcode.errors import ServiceUnavailable, TranscodeError
from webapp.errors import STATUS, problem
from webapp.readiness import Readiness


def down() -> None:
    raise ServiceUnavailable("AWS did not answer GetItem on the table tasks.")


def test_health_tells_liveness_and_readiness(client: FlaskClient) -> None:
    response = client.get("/api/health")
    assert response.status_code == 200
    assert response.get_json() == {
        "status": "ok", "timestamp": "2025-01-15T10:00:00.000000Z", "ready": True,
        "dependencies": {"queue": "ok", "table": "ok", "buckets": "ok"},
    }  # fmt: skip


def test_a_dependency_that_is_down_leaves_the_api_alive(bench: Bench) -> None:
    client = bench.app(readiness=Readiness({"queue": lambda: None, "table": down})).test_client()
    response = client.get("/api/health")
    found = response.get_json()
    assert (response.status_code, found["status"], found["ready"]) == (200, "ok", False)
    assert found["dependencies"] == {"queue": "ok", "table": "AWS did not answer GetItem on the table tasks."}


def test_a_load_balancer_that_asks_for_readiness_is_told_503(bench: Bench) -> None:
    client = bench.app(readiness=Readiness({"queue": lambda: None, "table": down})).test_client()
    response = client.get("/api/health?ready=1")
    found = response.get_json()
    assert (response.status_code, found["code"]) == (503, "not_ready")
    assert found["dependencies"]["queue"] == "ok"
    assert response.headers["Retry-After"] == "5"


def test_queue_status_has_the_old_names_beside_the_new_ones(client: FlaskClient, bench: Bench) -> None:
    assert client.get("/api/queue/status").get_json() == {
        "available_messages": 3, "in_flight_messages": 2, "queue_url": bench.settings.sqs_queue_url,
        "waiting": 3, "in_flight": 2, "delayed": 1, "dead_letter": 4,
    }  # fmt: skip


def test_a_queue_that_does_not_answer_is_503(bench: Bench) -> None:
    response = bench.app(counts=down).test_client().get("/api/queue/status")
    assert (response.status_code, response.get_json()["code"]) == (503, "service_unavailable")
    assert response.headers["Retry-After"] == "5"


def test_every_preset_is_listed_as_a_transcode_type(client: FlaskClient) -> None:
    found = client.get("/api/transcode-types").get_json()
    assert [t["name"] for t in found["transcode_types"]] == list(presets.load().names)
    assert found["count"] == len(found["transcode_types"])
    by_name = {t["name"]: t for t in found["transcode_types"]}
    assert by_name["h265_mute"]["has_audio"] is False
    assert [name for name, t in by_name.items() if t["is_default"]] == ["mp4_standard", "mp4_smooth", "thumbnail"]


def test_an_unknown_address_is_a_problem(client: FlaskClient) -> None:
    response = client.get("/api/nothing")
    assert (response.status_code, response.get_json()["code"]) == (404, "route_not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/tasks", {"GET", "HEAD"}),
        ("TRACE", "/api/health", {"GET", "HEAD"}),
        ("GET", "/api/queue/add", {"POST"}),
        ("HEAD", "/api/queue/add", {"POST"}),
        ("OPTIONS", "/api/queue/status", {"GET", "HEAD"}),
    ],
)  # fmt: skip
def test_a_method_that_a_route_does_not_take_is_told_what_it_takes(
    client: FlaskClient, method: str, path: str, allowed: set[str]
) -> None:
    response = client.open(path, method=method)
    assert response.status_code == 405
    assert set(re.split(r", *", response.headers["Allow"])) == allowed
    assert response.content_type == "application/problem+json"


def test_the_bare_address_leads_to_the_documentation(client: FlaskClient) -> None:
    response = client.get("/")
    assert (response.status_code, response.headers["Location"]) == (302, "/docs")


def test_the_documentation_asks_no_foreign_server(client: FlaskClient) -> None:
    page = client.get("/docs").get_data(as_text=True)
    addresses = re.findall(r'(?:src|href|data-spec)="([^"]+)"', page)
    assert len(addresses) >= 5
    assert "<script>" not in page
    for address in addresses:
        assert address.startswith("/")
        assert client.get(address, buffered=True).status_code == 200


def walk(value: Any) -> list[dict[str, Any]]:
    found = [value] if isinstance(value, dict) else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return found + [one for item in inner for one in walk(item)]


def test_the_description_lists_every_route(client: FlaskClient, bench: Bench) -> None:
    paths = client.get("/openapi.json").get_json()["paths"]
    rules = [r for r in bench.app().url_map.iter_rules() if r.rule.startswith("/api/")]
    assert len(rules) == 11
    for rule in rules:
        path = rule.rule.replace("<", "{").replace(">", "}")
        assert {m.upper() for m in paths[path]} == set(rule.methods or ()) - {"HEAD", "OPTIONS"}


def test_the_description_documents_errors_as_problems(client: FlaskClient) -> None:
    spec = client.get("/openapi.json").get_json()
    for path, operations in spec["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                kinds = set(response["content"])
                assert kinds == {"application/json" if status[0] == "2" else "application/problem+json"}, path
            assert ("401" in operation["responses"]) == (path != "/api/health")
    add = spec["paths"]["/api/queue/add"]["post"]
    assert set(add["responses"]) == {"200", "400", "401", "404", "413", "415", "422", "429", "500", "502", "503"}
    assert add["requestBody"]["required"] is True


def test_the_description_points_at_nothing_that_is_missing(client: FlaskClient) -> None:
    spec = client.get("/openapi.json").get_json()
    refs = {one["$ref"] for one in walk(spec) if "$ref" in one}
    assert refs
    names = {f"#/components/schemas/{name}" for name in spec["components"]["schemas"]}
    assert refs <= names


def test_the_description_has_every_model_once(client: FlaskClient) -> None:
    names = list(client.get("/openapi.json").get_json()["components"]["schemas"])
    assert not [name for name in names if "." in name]
    assert {"TaskOut", "TaskDetail", "AddIn", "Problem"} <= set(names)


def test_the_description_is_valid(client: FlaskClient) -> None:
    validator = pytest.importorskip("openapi_spec_validator", reason="openapi-spec-validator is not installed")
    validator.validate(client.get("/openapi.json").get_json())


def all_errors(kind: type[TranscodeError] = TranscodeError) -> list[type[TranscodeError]]:
    return [kind, *(one for sub in kind.__subclasses__() for one in all_errors(sub))]


def test_every_error_of_ours_has_an_http_status() -> None:
    ours = [kind for kind in all_errors() if kind.__module__ == errors.__name__]
    assert len(ours) > 30
    for kind in ours[1:]:
        nearest = next(parent for parent in kind.__mro__ if parent in STATUS)
        assert nearest is not TranscodeError, f"{kind.__name__} has no row in webapp.errors.STATUS"


def test_a_task_that_is_busy_says_when_to_come_back() -> None:
    found = problem(errors.Busy("Another worker holds the task.", 12.2))
    assert (found.status, found.headers) == (409, {"Retry-After": "13"})


def test_texts_in_answers_are_readable_utf8(client: FlaskClient, bench: Bench) -> None:
    bench.storage.put("videos", "电影.mp4", b"a video")
    body = json.dumps({"input_bucket": "videos", "input_key": "电影.mp4"})
    response = client.post("/api/queue/add", data=body, content_type="application/json")
    assert "电影.mp4" in response.get_data(as_text=True)


def test_a_purge_answers_at_once_and_leaves_the_work_to_the_reconciler(client: FlaskClient, bench: Bench) -> None:
    response = client.post("/api/queue/purge")
    assert (response.status_code, response.get_json()["success"]) == (202, True)
    assert bench.store.read_aside("farm", "purge")["before"]
