"""Who may enter the admin, and what a browser is told."""

import re
from collections.abc import Callable

import pytest
import structlog

from tests.unit.webapp.admin.conftest import HASH, READ_PASSWORD, Visitor, add, failed
from tests.unit.webapp.conftest import KEY, Bench
from transcode.states import Status

PAGES = ("", "/", "/tasks", "/queue", "/add", "/workers")


@pytest.mark.parametrize("path", PAGES)
def test_an_open_admin_shows_every_page_and_says_that_it_is_open(visitor: Visitor, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status_code == 200
    assert "Set ADMIN_PASSWORD_HASH to close it" in answer.text
    assert "Sign out" not in answer.text


@pytest.mark.parametrize("path", [*PAGES, "/nowhere", "/tasks/01946a30-0000-7000-8000-000000000000"])
def test_a_stranger_is_sent_to_sign_in_wherever_they_go(stranger: Visitor, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/admin/sign-in")


@pytest.mark.parametrize("path", ["/add", "/queue/purge", "/tasks/confirm", "/tasks/change", "/sign-out"])
def test_a_stranger_changes_nothing(stranger: Visitor, closed: Bench, path: str) -> None:
    task = add(closed)
    answer = stranger.post(path, task=task.task_id, change="cancel", name="transcode", bucket="videos", key="x.mp4")
    assert answer.headers["Location"] == "/admin/sign-in"
    assert closed.store.read(task.task_id).status is Status.PENDING
    assert len(closed.store.items) == 1
    assert not closed.store.aside


def test_the_password_lets_an_operator_in_where_they_wanted_to_go(stranger: Visitor) -> None:
    answer = stranger.sign_in(next="/admin/tasks?status=failed")
    assert answer.headers["Location"] == "/admin/tasks?status=failed"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/admin" in cookie
    assert stranger.get("/tasks").status_code == 200


def test_over_tls_the_cookie_is_secure(stranger: Visitor) -> None:
    answer = stranger.client.get("/admin/sign-in", base_url="https://localhost")
    assert "Secure" in answer.headers["Set-Cookie"]


def test_a_wrong_password_lets_nobody_in(stranger: Visitor) -> None:
    answer = stranger.sign_in("a guess")
    assert (answer.status_code, "This is not the password." in answer.text) == (403, True)
    assert stranger.get("").status_code == 302


def test_guessing_is_slowed_down(stranger: Visitor) -> None:
    token = stranger.token()
    tries = [stranger.client.post("/admin/sign-in", data={"token": token, "password": "x"}) for _ in range(11)]
    assert [answer.status_code for answer in tries] == [403] * 10 + [429]
    assert "Too many attempts" in tries[-1].text
    assert tries[-1].mimetype == "text/html"
    assert 0 < int(tries[-1].headers["Retry-After"]) <= 61


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/", "//evil.example/admin", "/\\evil.example", "/admin\\@evil.example",
        "javascript:alert(1)", "/adminevil", "/api/tasks", "/admin/\r\nX: y", "http:/admin/tasks", "",
    ],
)  # fmt: skip
def test_signing_in_leads_nowhere_else(stranger: Visitor, wanted: str) -> None:
    assert stranger.sign_in(next=wanted).headers["Location"] in ("/admin", "/admin/")


def test_signing_out_ends_the_session(stranger: Visitor) -> None:
    stranger.sign_in()
    assert stranger.post("/sign-out").status_code == 302
    assert stranger.get("").status_code == 302


def test_a_changed_password_ends_the_sessions_of_the_old_one(
    stranger: Visitor, closed: Bench, make_bench: Callable[..., Bench]
) -> None:
    stranger.sign_in()
    cookie = stranger.client.get_cookie("transcode_admin", path="/admin")
    assert cookie is not None
    other = make_bench(admin_password_hash=HASH[:-1] + "0", secret_key="s" * 16).app().test_client()
    same = closed.app().test_client()
    for client, status in ((same, 200), (other, 302)):
        client.set_cookie("transcode_admin", cookie.value, path="/admin")
        assert client.get("/admin").status_code == status


def test_a_reader_sees_everything_and_changes_nothing(stranger: Visitor, closed: Bench) -> None:
    task = failed(closed)
    stranger.sign_in(READ_PASSWORD)
    page = stranger.get(f"/tasks/{task.task_id}").text
    assert "You are signed in to read" in page
    assert ">Retry<" not in page
    assert stranger.post("/tasks/change", task=task.task_id, change="retry").status_code == 403
    assert stranger.post("/queue/purge", name="transcode").status_code == 403
    assert closed.store.read(task.task_id).status is Status.FAILED
    assert stranger.post("/sign-out").status_code == 302


def test_without_a_password_nobody_signs_in_and_the_page_says_how(make_bench: Callable[..., Bench]) -> None:
    visitor = Visitor(make_bench(api_keys=(KEY,)).app().test_client())
    assert visitor.get("").status_code == 302
    assert "set ADMIN_PASSWORD_HASH" in visitor.get("/sign-in").text
    assert visitor.sign_in("").status_code == 403


def test_a_hash_that_is_none_fits_no_password(make_bench: Callable[..., Bench]) -> None:
    for wrong in ("plain words", "md5$salt$00", "scrypt:a:b:c$salt$00"):
        visitor = Visitor(make_bench(admin_password_hash=wrong).app().test_client())
        assert visitor.sign_in(wrong).status_code == 403


def test_a_form_without_the_token_changes_nothing(visitor: Visitor, bench: Bench) -> None:
    task = add(bench)
    for token in ("", "guessed"):
        answer = visitor.client.post(
            "/admin/tasks/change", data={"token": token, "task": task.task_id, "change": "cancel"}
        )
        assert (answer.status_code, "expired" in answer.text) == (403, True)
    assert bench.store.read(task.task_id).status is Status.PENDING


def test_a_foreign_page_cannot_send_a_form(visitor: Visitor) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    answer = visitor.client.post("/admin/queue/purge", data={"token": visitor.token()}, headers=headers)
    assert answer.status_code == 403


def test_a_key_of_the_api_opens_no_page_and_a_session_no_api(make_bench: Callable[..., Bench]) -> None:
    client = make_bench(api_keys=(KEY,), admin_password_hash=HASH).app().test_client()
    assert client.get("/admin/tasks", headers={"X-API-Key": KEY}).status_code == 302
    Visitor(client).sign_in()
    assert client.get("/admin/tasks").status_code == 200
    assert client.get("/api/tasks").status_code == 401


def test_only_scripts_of_this_answer_run(visitor: Visitor) -> None:
    first, second = visitor.get(""), visitor.get("")
    policy = first.headers["Content-Security-Policy"]
    nonce = re.search(r"script-src 'nonce-([^']+)'", policy)
    assert nonce
    assert "unsafe" not in policy
    assert first.text.count(f'nonce="{nonce[1]}"') == first.text.count("<script") == 2
    assert nonce[1] not in second.text
    assert " style=" not in first.text
    assert not re.search(r"\son\w+=", first.text)


def test_a_fragment_of_an_ended_session_leads_its_page_to_the_door(stranger: Visitor) -> None:
    answer = stranger.get("", HX_Request="true")
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (200, "/admin/sign-in")


def test_every_other_address_is_answered_by_a_page(visitor: Visitor) -> None:
    for path in ("/nowhere", "/tasks/not-an-id", "/tasks/", "/static/admin.css"):
        answer = visitor.get(path)
        assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert visitor.client.get("/nowhere").mimetype == "application/problem+json"


def test_signing_in_and_out_leaves_a_line(stranger: Visitor) -> None:
    with structlog.testing.capture_logs() as lines:
        stranger.sign_in("a guess")
        stranger.sign_in()
        stranger.post("/sign-out")
    told = [line["event"] for line in lines if line["event"] != "Request served"]
    assert told == ["Wrong password", "Signed in", "Signed out"]
    assert "a guess" not in str(lines)


def test_the_description_of_the_api_knows_nothing_of_the_admin(visitor: Visitor) -> None:
    assert "/admin" not in visitor.client.get("/openapi.json").text
