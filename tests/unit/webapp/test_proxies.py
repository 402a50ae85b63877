"""Behind proxies: whom the API takes a caller for, and that strangers cannot pretend."""

from collections.abc import Callable

import pytest
import structlog
from flask.testing import FlaskClient

from tests.unit.webapp.conftest import Bench

BODY = {"input_bucket": "videos", "input_key": "beach.mp4"}
# As a proxy of ours sends it on, for a browser at 203.0.113.7 that may have lied itself.
FORWARDED = {
    "X-Forwarded-For": "198.51.100.1, 203.0.113.7", "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "farm.example", "Host": "10.0.0.5:9999",
}  # fmt: skip
OURS = {"Origin": "https://farm.example", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def behind(make_bench: Callable[..., Bench]) -> Callable[[int], FlaskClient]:
    """An API with so many proxies before it."""

    def make(count: int, rate_limit: str = "none") -> FlaskClient:
        bench = make_bench(trusted_proxy_count=count, auth_disabled=True, rate_limit=rate_limit)
        bench.storage.put("videos", "beach.mp4", b"a video")
        return bench.app().test_client()

    return make


def address_of(client: FlaskClient, **headers: str) -> str:
    """The address that the audit line of an added task has."""
    sent = FORWARDED | {name.replace("_", "-"): value for name, value in headers.items()}
    with structlog.testing.capture_logs() as lines:
        assert client.post("/api/queue/add", json=BODY, headers=sent).status_code == 200
    (line,) = [line for line in lines if line["event"] == "Change made"]
    return str(line["address"])


@pytest.mark.parametrize(("count", "address"), [(0, "127.0.0.1"), (1, "203.0.113.7"), (2, "198.51.100.1")])
def test_the_audit_line_has_the_address_that_trusted_proxies_tell(
    behind: Callable[[int], FlaskClient], count: int, address: str
) -> None:
    sent = {"X_Forwarded_Host": "farm.example, inner.example"} if count == 2 else {}
    assert address_of(behind(count), **sent) == address


def test_an_address_that_fewer_than_the_trusted_tell_is_not_believed(behind: Callable[[int], FlaskClient]) -> None:
    assert address_of(behind(3)) == "127.0.0.1"


def test_an_own_page_behind_a_proxy_may_change_things(behind: Callable[[int], FlaskClient]) -> None:
    sent = FORWARDED | OURS
    assert behind(1).post("/api/queue/add", json=BODY, headers=sent).status_code == 200
    on_a_port = sent | {"X-Forwarded-Host": "farm.example:8443", "Origin": "https://farm.example:8443"}
    assert behind(1).post("/api/queue/add", json=BODY, headers=on_a_port).status_code == 200


def test_a_foreign_page_behind_a_proxy_may_not(behind: Callable[[int], FlaskClient]) -> None:
    for origin in ("https://evil.example", "https://10.0.0.5:9999", "https://farm.example:8443"):
        answer = behind(1).post("/api/queue/add", json=BODY, headers=FORWARDED | {"Origin": origin})
        assert (answer.status_code, answer.get_json()["code"]) == (403, "foreign_origin"), origin


def test_without_trust_no_forwarded_host_makes_a_foreign_page_ours(behind: Callable[[int], FlaskClient]) -> None:
    with structlog.testing.capture_logs() as lines:
        answer = behind(0).post("/api/queue/add", json=BODY, headers=FORWARDED | OURS)
    assert answer.status_code == 403
    (line,) = [line for line in lines if line["event"] == "Foreign page refused"]
    assert (line["origin"], line["host"]) == ("https://farm.example", "10.0.0.5:9999")


@pytest.mark.parametrize(("count", "secure"), [(0, False), (1, True)])
def test_cookies_are_secure_where_a_trusted_proxy_speaks_tls(
    behind: Callable[[int], FlaskClient], count: int, secure: bool
) -> None:
    client = behind(count)
    answer = client.get("/admin", headers=FORWARDED)
    assert ("Secure" in answer.headers["Set-Cookie"]) == secure


def test_callers_behind_a_proxy_are_limited_one_by_one(behind: Callable[..., FlaskClient]) -> None:
    client = behind(1, "1/hour")

    def ask(address: str) -> int:
        sent = FORWARDED | {"X-Forwarded-For": address}
        return client.post("/api/queue/add", json=BODY, headers=sent).status_code

    assert [ask("203.0.113.7"), ask("203.0.113.8")] == [200, 200]
    # What a caller writes itself stands further left, and changes nothing.
    assert ask("192.0.2.1, 203.0.113.7") == 429


def test_open_on_loopback_a_forwarded_host_opens_no_door(make_bench: Callable[..., Bench]) -> None:
    """A foreign site's page that reaches us under a name of its own may write any such header."""
    client = make_bench(trusted_proxy_count=1).app().test_client()
    for host, told in (("evil.example", "localhost"), ("localhost", "evil.example"), ("evil.example", "")):
        answer = client.get("/api/tasks", headers={"Host": host, "X-Forwarded-Host": told})
        assert (answer.status_code, answer.get_json()["code"]) == (400, "host_unknown"), (host, told)
    assert client.get("/api/tasks", headers={"Host": "localhost", "X-Forwarded-Host": "localhost"}).status_code == 200
