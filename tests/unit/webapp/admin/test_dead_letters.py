"""Dead letters on the queue page: what they are, what becomes of them, and what a hand can do."""

import re

import pytest
import structlog

from tests.unit.webapp.admin.conftest import READ_PASSWORD, Visitor, add, failed
from tests.unit.webapp.admin.test_pages import text
from tests.unit.webapp.conftest import Bench
from transcode.clock import timestamp
from transcode.errors import ServiceUnavailable
from transcode.ports import DeadLetter
from transcode.states import Status


def letter(bench: Bench, task_id: str | None, body: str = "a body") -> str:
    number = len(bench.dead_letters.letters)
    sent_at = timestamp(bench.clock() + number)
    bench.dead_letters.letters.append(DeadLetter(f"m{number}", task_id, body, sent_at, 10 + number))
    return f"m{number}"


@pytest.fixture
def four(bench: Bench) -> list[str]:
    """Letters of a task that waits, of one that failed, of one that is gone, and one that nobody can read."""
    ids = [add(bench, status=Status.PENDING).task_id, failed(bench).task_id, "01946a30-0000-7000-8000-000000000000"]
    return [*(letter(bench, one) for one in ids), letter(bench, None, "<script>alert(1)</script>")]


def test_letters_are_shown_with_their_task_reason_count_and_fate(
    visitor: Visitor, bench: Bench, four: list[str]
) -> None:
    bench.dead_letters.away = 2
    page = visitor.get("/queue").text
    shown = text(page)
    for words in (
        "holiday/beach.mp4 pending Its task waits: it will be sent again.",
        "failed Its task needs no message any more: it will be dropped. It is &lt;b&gt;no&lt;/b&gt; video.",
        "01946a30-0000-7000-8000-000000000000 Its task is gone: it will be dropped.",
        "Unreadable message &lt;script&gt;alert(1)&lt;/script&gt; Nobody can read it",
        "received 12 times", "2 cannot be seen now",
    ):  # fmt: skip
        assert words in shown
    assert "<script>alert" not in page
    assert shown.count("Sent 2025-01-15 10:00 UTC") == 4


def test_without_letters_there_is_no_word_of_them(visitor: Visitor) -> None:
    assert 'id="dead"' not in visitor.get("/queue").text


def test_a_refreshed_part_does_not_look(visitor: Visitor, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.dead_letters, "look", lambda _: pytest.fail("it looked"))
    assert visitor.get("/queue", HX_Request="true").status_code == 200


def test_a_queue_that_may_not_be_read_says_so_and_the_page_stands(visitor: Visitor, bench: Bench) -> None:
    bench.dead_letters.outage = ServiceUnavailable("AWS refuses these credentials sqs:ReceiveMessage.")
    answer = visitor.get("/queue")
    assert (answer.status_code, "sqs:ReceiveMessage" in answer.text) == (200, True)
    assert 'id="purge"' in answer.text


def test_all_are_sent_again_after_a_question(visitor: Visitor, bench: Bench, four: list[str]) -> None:
    asked = visitor.post("/queue/dead/confirm")
    assert "tasks that wait are sent again" in asked.text
    assert bench.queue.ids == []
    with structlog.testing.capture_logs() as lines:
        page = visitor.post("/queue/dead/redrive", follow=True).text
    assert "3 dead letters were dealt with." in page
    # Only the task that waits needs a message; what nobody can read stays for people.
    [waiting] = [one for one in bench.store.items if bench.store.read(one).status is Status.PENDING]
    assert bench.queue.ids == [waiting]
    assert [one.id for one in bench.dead_letters.letters] == four[3:]
    assert [line["what"] for line in lines if line["event"] == "Change made"] == ["redrive"]


def test_a_letter_whose_task_cannot_be_sent_now_is_kept(
    visitor: Visitor, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter(bench, add(bench, status=Status.PENDING).task_id)

    def out(_: str) -> None:
        raise ServiceUnavailable("DynamoDB is out.")

    monkeypatch.setattr(bench.store, "read", out)
    assert visitor.post("/queue/dead/redrive").status_code == 503
    assert len(bench.dead_letters.letters) == 1


def test_one_letter_is_deleted_after_a_question(visitor: Visitor, bench: Bench, four: list[str]) -> None:
    asked = visitor.post("/queue/dead/confirm", letter=four[3]).text
    assert "what nobody can read is lost" in asked
    assert "&lt;script&gt;" in asked
    assert "holiday/beach.mp4" not in asked
    assert re.search(rf'name="letter" value="{four[3]}"', asked)
    assert len(bench.dead_letters.letters) == 4
    with structlog.testing.capture_logs() as lines:
        page = visitor.post("/queue/dead/delete", follow=True, letter=four[3]).text
    assert "The dead letter was deleted." in page
    assert [one.id for one in bench.dead_letters.letters] == four[:3]
    assert [line["what"] for line in lines if line["event"] == "Change made"] == ["delete dead letter"]


def test_one_that_is_gone_by_now_is_said(visitor: Visitor, bench: Bench, four: list[str]) -> None:
    assert "no longer there" in visitor.post("/queue/dead/delete", follow=True, letter="<gone>").text
    assert len(bench.dead_letters.letters) == 4


@pytest.mark.parametrize("path", ["confirm", "redrive", "delete"])
def test_only_operators_touch_them_and_only_with_the_token(stranger: Visitor, closed: Bench, path: str) -> None:
    one = letter(closed, None)
    assert stranger.post(f"/queue/dead/{path}", letter=one).status_code == 302
    stranger.sign_in(READ_PASSWORD)
    page = stranger.get("/queue").text
    assert "Unreadable message" in page
    assert "/queue/dead/" not in page
    assert stranger.post(f"/queue/dead/{path}", letter=one).status_code == 403
    assert len(closed.dead_letters.letters) == 1
    stranger.post("/sign-out")
    stranger.sign_in()
    answer = stranger.client.post(f"/admin/queue/dead/{path}", data={"token": "guessed", "letter": one})
    assert (answer.status_code, len(closed.dead_letters.letters)) == (403, 1)
