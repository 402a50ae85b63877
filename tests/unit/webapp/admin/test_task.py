"""The page of one task: its wishes, its callback, its errors; and the list's chips."""

import json
import re
import shlex
from html import unescape
from typing import Any

import pytest

from tests.fakes import START
from tests.unit.webapp.admin.conftest import Visitor, add
from tests.unit.webapp.admin.test_pages import text
from tests.unit.webapp.conftest import Bench
from transcode import counts
from transcode.clock import timestamp
from transcode.errors import ServiceUnavailable
from transcode.ports import Counts
from transcode.states import Priority, Status
from transcode.task import ASIDE, ErrorDetail

WISHES: dict[str, Any] = {
    "priority": Priority.URGENT, "output_prefix": "team-<a>/", "metadata": {"order": "<4711>", "客户": "it's"},
    "callback": "orders",
}  # fmt: skip


def page_of(visitor: Visitor, task_id: str) -> str:
    return visitor.get(f"/tasks/{task_id}").text


def test_what_was_wished_is_shown(visitor: Visitor, bench: Bench) -> None:
    page = page_of(visitor, add(bench, **WISHES).task_id)
    shown = text(page)
    for words in (
        "Priority urgent", "Output prefix team-&lt;a&gt;/", "order &lt;4711&gt;", "客户 it&#39;s", "Target orders",
        "It is told when the task ends.",
    ):  # fmt: skip
        assert words in shown
    plain = text(page_of(visitor, add(bench).task_id))
    for words in ("Priority", "Output prefix", "Metadata", "Callback"):
        assert words not in plain


def test_the_curl_command_has_every_wish(visitor: Visitor, bench: Bench) -> None:
    def asked(task_id: str) -> Any:
        found = re.search(r'<pre id="curl"[^>]*>([^<]*)<', page_of(visitor, task_id))
        assert found
        return json.loads(shlex.split(unescape(found[1]))[-1])

    plain = asked(add(bench).task_id)
    assert set(plain) == {"input_bucket", "input_key", "transcode_types"}
    assert asked(add(bench, **WISHES).task_id) == {
        "input_bucket": "videos", "input_key": "holiday/beach.mp4", "transcode_types": ["mp4_standard", "thumbnail"],
        **WISHES,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("told", "words", "asks"),
    [
        ({}, ["It was not tried yet."], True),
        (
            {"generation": 1, "state": "waiting", "attempts": 2, "status": 503, "error": "It answered <503>.",
             "at": timestamp(START), "next_at": timestamp(START + 600)},
            ["Callback waiting", "Tries 2 · 2025-01-15 10:00", "HTTP 503", "It answered &lt;503&gt;.",
             "Next try 2025-01-15 10:10"], True,
        ),
        ({"generation": 1, "state": "delivered", "attempts": 1, "status": 200}, ["Callback delivered"], False),
        ({"generation": 1, "state": "failed", "attempts": 30}, ["Callback given up"], False),
        # What became of the end before a retry is no news.
        ({"generation": 0, "state": "delivered", "attempts": 1}, ["It was not tried yet."], True),
    ],
)  # fmt: skip
def test_the_callback_tells_how_far_it_is_and_asks_until_it_is_there(
    visitor: Visitor, bench: Bench, told: dict[str, Any], words: list[str], asks: bool
) -> None:
    task = add(bench, status=Status.COMPLETED, generation=1, callback="orders")
    bench.store.merge_aside(task.task_id, ASIDE.CALLBACK, told)
    page = page_of(visitor, task.task_id)
    for one in words:
        assert one in text(page)
    assert ('hx-select="#callback"' in page) is asks


def test_errors_come_newest_first_and_only_the_newest_is_open(visitor: Visitor, bench: Bench) -> None:
    details = tuple(
        ErrorDetail(
            transcode_type="thumbnail", stage="transcode", error=f"Try {n}.", timestamp=timestamp(START + n),
            command="ffmpeg", output=f"words {n}",
        )
        for n in (0, 2, 1)
    )  # fmt: skip
    page = page_of(visitor, add(bench, status=Status.FAILED, error_details=details).task_id)
    assert re.findall(r"Try (\d)\.", page) == re.findall(r"words (\d)", page) == ["2", "1", "0"]
    opened = re.findall(r"<details( open)?><summary>Last lines of ffmpeg", page)
    assert opened == [" open", "", ""]


def chips(visitor: Visitor) -> dict[str, str]:
    page = visitor.get("/tasks").text
    found = re.search(r'<nav class="chips".*?</nav>', page, re.S)
    assert found
    named = re.findall(r'<a class="(\w+)".*?>(.*?)</a>', found[0], re.S)
    return {name: text(words).strip() for name, words in named}


def test_the_chips_count_what_they_say(visitor: Visitor, bench: Bench) -> None:
    for status in (Status.COMPLETED, Status.COMPLETED, Status.FAILED):
        counts.ended(bench.store, add(bench, status=status, completed_at=timestamp(START)))
    counts.ended(bench.store, add(bench, status=Status.CANCELLED, completed_at=timestamp(START - 86400)))
    add(bench, status=Status.PROCESSING)
    assert chips(visitor) == {
        "pending": "pending ≈ 4", "processing": "processing 1", "completed": "completed 2 today",
        "failed": "failed 1 today", "cancelled": "cancelled 0 today",
    }  # fmt: skip


def test_the_list_costs_the_same_however_many_tasks_there_are(visitor: Visitor, bench: Bench, calls: list[str]) -> None:
    for many in (1, 40):
        for _ in range(many):
            add(bench, status=Status.PROCESSING)
        calls.clear()
        visitor.get("/tasks")
        assert sorted(calls) == ["page", "page", "read_aside"]


def test_more_than_a_hundred_running_are_not_counted_on(visitor: Visitor, bench: Bench) -> None:
    for _ in range(101):
        add(bench, status=Status.PROCESSING)
    assert chips(visitor)["processing"] == "processing 100+"


def test_when_nobody_tells_the_counts_the_list_stands_without(bench: Bench) -> None:
    def out() -> Counts:
        raise ServiceUnavailable("SQS did not answer.")

    visitor = Visitor(bench.app(counts=out).test_client())
    task = add(bench)
    assert chips(visitor)["completed"] == "completed"
    assert task.task_id in visitor.get("/tasks").text
