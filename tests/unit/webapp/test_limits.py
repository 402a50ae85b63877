"""How often a caller may change something, and what one hears who asks too often."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr
from werkzeug.test import TestResponse

from tests.unit.webapp.conftest import KEY, Bench
from transcode.errors import SettingsError
from transcode.settings import Settings

OTHER_KEY = "another-key-of-more-than-16-characters"
BODY = {"input_bucket": "videos", "input_key": "beach.mp4"}
NOWHERE = "01946a2e-0000-7000-8000-000000000000"


def add(client: FlaskClient, key: str = "", address: str = "127.0.0.1") -> TestResponse:
    headers = {"X-API-Key": key} if key else {}
    return client.post("/api/queue/add", json=BODY, headers=headers, environ_base={"REMOTE_ADDR": address})


@pytest.fixture
def limited(make_bench: Callable[..., Bench]) -> Callable[..., FlaskClient]:
    """An API that takes two changes an hour."""

    def make(**fields: Any) -> FlaskClient:
        bench = make_bench(**({"rate_limit": "2/hour"} | fields))
        bench.storage.put("videos", "beach.mp4", b"a video")
        return bench.app().test_client()

    return make


def test_who_asks_too_often_hears_for_how_long_to_wait(limited: Callable[..., FlaskClient]) -> None:
    client = limited()
    answers = [add(client) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    refusal = answers[-1]
    assert refusal.mimetype == "application/problem+json"
    wait = int(refusal.headers["Retry-After"])
    assert 3500 < wait <= 3601
    told = refusal.get_json()
    assert (told["code"], told["type"]) == ("too_many_requests", "/problems/too-many-requests")
    assert told["error"] == f"Of one caller at most 2 per 1 hour changing calls are taken; try again in {wait} s."


def test_all_changing_calls_count_together_and_reading_is_free(limited: Callable[..., FlaskClient]) -> None:
    client = limited()
    assert add(client).status_code == 200
    assert client.post(f"/api/tasks/{NOWHERE}/cancel").status_code == 404
    for path in ("/api/queue/purge", f"/api/tasks/{NOWHERE}/retry", f"/api/tasks/{NOWHERE}/cancel"):
        assert client.post(path).status_code == 429, path
    for path in ("/api/health", "/metrics", "/api/tasks", "/api/stats", "/admin"):
        assert {client.get(path).status_code for _ in range(3)} == {200}, path


def test_each_key_has_its_own_count_wherever_it_comes_from(limited: Callable[..., FlaskClient]) -> None:
    client = limited(api_keys=(SecretStr(KEY), SecretStr(OTHER_KEY)))
    places = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
    assert [add(client, KEY, place).status_code for place in places] == [200, 200, 429]
    assert add(client, OTHER_KEY).status_code == 200


def test_without_keys_an_address_has_its_own_count(limited: Callable[..., FlaskClient]) -> None:
    client = limited(auth_disabled=True)
    assert [add(client, address="10.0.0.1").status_code for _ in range(3)] == [200, 200, 429]
    assert add(client, address="10.0.0.2").status_code == 200


def test_who_shows_no_key_spends_nothing_of_anybody(limited: Callable[..., FlaskClient]) -> None:
    client = limited(api_keys=(SecretStr(KEY),))
    assert {add(client).status_code for _ in range(5)} == {401}
    assert add(client, KEY).status_code == 200


def test_forms_of_the_admin_are_not_counted(limited: Callable[..., FlaskClient]) -> None:
    client = limited()
    assert {client.post("/admin/queue/purge").status_code for _ in range(4)} == {403}
    assert add(client).status_code == 200


def test_no_limit_where_none_is_wanted(limited: Callable[..., FlaskClient]) -> None:
    client = limited(rate_limit="none")
    assert {add(client).status_code for _ in range(5)} == {200}


def test_the_default_lets_a_busy_client_work(make_settings: Callable[..., Settings]) -> None:
    assert make_settings().rate_limit == "3000/minute"


@pytest.mark.parametrize("wrong", ["fast", "10", "0/minute", "10/week", "10 minute", "10/minute; 5/hour", "none/day"])
def test_a_limit_that_is_none_stops_the_start(make_settings: Callable[..., Settings], wrong: str) -> None:
    with pytest.raises(SettingsError, match=r"RATE_LIMIT is wrong \(given: .* like 3000/minute; none: no limit"):
        make_settings(rate_limit=wrong)


@pytest.mark.parametrize("right", ["10/second", "600 per minute", "1/hour", "5000 per day"])
def test_a_limit_as_people_write_it_is_taken(limited: Callable[..., FlaskClient], right: str) -> None:
    assert add(limited(rate_limit=right)).status_code == 200


def test_the_description_tells_of_the_limit_where_there_is_one(client: FlaskClient) -> None:
    for path, operations in client.get("/openapi.json").get_json()["paths"].items():
        for method, operation in operations.items():
            answer = operation["responses"].get("429")
            assert (answer is not None) == (method != "get"), path
            assert answer is None or answer["headers"]["Retry-After"]["schema"] == {"type": "integer"}
