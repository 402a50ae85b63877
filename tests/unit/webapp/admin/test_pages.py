"""What the pages of the admin show and do, over the fakes."""

import re

import pytest
import structlog

from tests.fakes import START
from tests.unit.test_roll import FULL
from tests.unit.webapp.admin.conftest import Visitor, add, failed
from tests.unit.webapp.conftest import Bench
from transcode import counts, roll
from transcode.clock import timestamp
from transcode.errors import ServiceUnavailable
from transcode.states import Status
from transcode.task import ASIDE, FARM, ErrorDetail, Output

THUMB = Output(key="beach/thumbnail.jpg", bytes=1000, codec="mjpeg", width=640, height=360)
FILM = Output(key="beach/mp4_standard.mp4", bytes=2_500_000, codec="h264", width=848, height=480, duration=75.0)


def text(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_the_dashboard_shows_what_waits_ended_and_runs(visitor: Visitor, bench: Bench) -> None:
    for status in (Status.COMPLETED, Status.COMPLETED, Status.FAILED):
        counts.ended(bench.store, add(bench, status=status, completed_at=timestamp(START)))
    add(bench, "now/running.mp4", status=Status.PROCESSING)
    bench.store.merge_aside(FARM, roll.page(FULL.node), {FULL.node: roll.told(FULL)})
    page = visitor.get("").text
    shown = text(page)
    for words in (
        "Waiting 3", "In flight 2", "Delayed 1", "Dead letters 4", "completed 2", "failed 1", "now/running.mp4",
        "gpu0@here", "Tesla T4", "2 of 2 busy", "0.1 per hour on average, 67% of them completed",
    ):  # fmt: skip
        assert words in shown
    assert page.count('<rect class="completed"') == page.count('<rect class="failed"') == 1


def test_a_look_at_the_dashboard_costs_the_same_however_many_tasks_there_are(
    visitor: Visitor, bench: Bench, calls: list[str]
) -> None:
    for many in (1, 40):
        for _ in range(many):
            add(bench, status=Status.PROCESSING)
        calls.clear()
        visitor.get("")
        assert sorted(calls) == [*["page"] * len(Status), "read_aside", "read_aside", "read_asides"]


def test_htmx_gets_the_living_part_alone(visitor: Visitor, bench: Bench) -> None:
    task = add(bench)
    for path in ("", "/queue", "/workers", f"/tasks/{task.task_id}"):
        part = visitor.get(path, HX_Request="true").text
        assert "<html" not in part
        assert 'id="live"' in part


def test_the_list_is_filtered_by_status_day_and_beginning_of_the_key(visitor: Visitor, bench: Bench) -> None:
    add(bench, "holiday/one.mp4")
    failed(bench, "holiday/two.mp4")
    failed(bench, "work/three.mp4")
    for query, keys in (
        ("", {"one", "two", "three"}), ("?status=failed", {"two", "three"}), ("?key=holiday/", {"one", "two"}),
        ("?status=failed&key=holiday", {"two"}), ("?date=2025-01-15&status=pending", {"one"}),
        ("?date=2025-01-14", set()), ("?date=nonsense&status=nonsense", {"one", "two", "three"}),
    ):  # fmt: skip
        shown = visitor.get(f"/tasks{query}").text
        assert {key for key in ("one", "two", "three") if f"{key}.mp4</a>" in shown} == keys, query
    assert "No task fits." in visitor.get("/tasks?date=2025-01-14").text


def test_pages_of_the_list_follow_each_other_without_a_gap(visitor: Visitor, bench: Bench) -> None:
    made = [add(bench, f"n/{number}.mp4", status=Status.COMPLETED).task_id for number in range(60)]
    seen: list[str] = []
    path: str | None = "/tasks?status=completed"
    while path:
        page = visitor.get(path).text
        seen += re.findall(r'type="checkbox" name="task" value="([^"]+)"', page)
        older = re.search(r'rel="next" href="/admin([^"]+)"', page)
        path = older[1].replace("&amp;", "&") if older else None
    assert seen == made[::-1]


def test_a_search_by_key_reads_on_until_it_finds_and_is_bounded(visitor: Visitor, bench: Bench) -> None:
    add(bench, "rare/one.mp4", status=Status.COMPLETED)
    for number in range(60):
        add(bench, f"n/{number}.mp4", status=Status.COMPLETED)
    assert "rare/one.mp4</a>" in visitor.get("/tasks?key=rare/").text
    for number in range(500):
        add(bench, f"n/{number}.mp4", status=Status.COMPLETED)
    page = visitor.get("/tasks?key=rare/").text
    assert "500 tasks looked at" in text(page)
    assert 'rel="next"' in page


def test_a_wrong_cursor_is_a_page_with_a_sentence(visitor: Visitor) -> None:
    answer = visitor.get("/tasks?cursor=nonsense")
    assert (answer.status_code, "cursor" in answer.text) == (400, True)


def test_many_tasks_are_cancelled_after_a_look(visitor: Visitor, bench: Bench) -> None:
    ids = [add(bench, f"{number}.mp4").task_id for number in range(3)]
    asked = visitor.post("/tasks/confirm", task=ids, change="cancel", back="/admin/tasks?status=pending")
    assert "3 tasks are to be cancelled." in asked.text
    assert {bench.store.read(one).status for one in ids} == {Status.PENDING}
    with structlog.testing.capture_logs() as lines:
        done = visitor.post("/tasks/change", task=ids, change="cancel", back="/admin/tasks?status=pending")
    assert done.headers["Location"] == "/admin/tasks?status=pending"
    assert {bench.store.read(one).status for one in ids} == {Status.CANCELLED}
    told = [(line["what"], line["task_id"]) for line in lines if line["event"] == "Change made"]
    assert told == [("cancel", one) for one in ids]
    assert "3 tasks are being cancelled." in visitor.get("/tasks").text


def test_what_cannot_be_changed_says_why_and_the_rest_is_changed(visitor: Visitor, bench: Bench) -> None:
    bad, good = add(bench, status=Status.COMPLETED), failed(bench)
    page = visitor.post("/tasks/change", follow=True, task=[bad.task_id, good.task_id, "gone"], change="retry").text
    assert "1 task will be tried again." in page
    assert "The task is completed" in page
    assert bench.store.read(good.task_id).status is Status.PENDING
    assert bench.queue.ids == [good.task_id]


def test_nothing_ticked_and_unknown_changes_are_said(visitor: Visitor, bench: Bench) -> None:
    assert "No task was ticked." in visitor.post("/tasks/confirm", follow=True, change="retry").text
    assert visitor.post("/tasks/change", task=add(bench).task_id, change="delete").status_code == 422


def test_the_task_page_shows_how_far_a_running_task_is_and_asks_again(visitor: Visitor, bench: Bench) -> None:
    task = add(bench, status=Status.PROCESSING, epoch=2, attempts=1, worker="gpu0@here")
    live = {"epoch": 2, "phase": "encode", "percent": 41.5, "fps": 120.0, "speed": 4.25, "eta": 75.0}
    bench.store.merge_aside(task.task_id, ASIDE.LIVE, live)
    page = visitor.get(f"/tasks/{task.task_id}").text
    for words in ("42 %", "encoding", "120 fps", "4.25×", "1:15 to go", "gpu0@here"):
        assert words in text(page)
    assert 'hx-trigger="every 2s"' in page
    bench.store.merge_aside(task.task_id, ASIDE.LIVE, live | {"epoch": 1})
    assert "120 fps" not in visitor.get(f"/tasks/{task.task_id}").text


def test_the_task_page_shows_outputs_attempts_and_source(visitor: Visitor, bench: Bench) -> None:
    bench.storage.put("renditions", THUMB.key, b"jpeg")
    bench.storage.put("renditions", FILM.key, b"film")
    source = {"duration": 75.2, "width": 1920, "codec": "h264", "hdr": "", "interlaced": True, "rotation": 90}
    task = add(
        bench, status=Status.COMPLETED, outputs={"thumbnail": THUMB, "mp4_standard": FILM}, source=source,
        started_at=timestamp(START), completed_at=timestamp(START + 90), phases={"encode": 81.0},
    )  # fmt: skip
    story = {
        "attempt": 1, "worker": "cpu@there", "started_at": timestamp(START), "ended_at": timestamp(START + 4),
        "code": "worker_lost", "error": "The lease ran out.", "stage": "transcode", "phases": {},
    }  # fmt: skip
    bench.store.merge_aside(task.task_id, ASIDE.HISTORY, {"000001": story})
    page = visitor.get(f"/tasks/{task.task_id}").text
    for words in (
        "1:15", "2.5 MB", "848×480 · h264", "1,920", "90°", "✓", "The lease ran out. worker_lost", "cpu@there",
        "1:30", "encoding 1:21",
    ):  # fmt: skip
        assert words in text(page)
    film = bench.storage.address("renditions", FILM.key, 4 * 3600)
    assert f'<video controls preload="none" src="{film}"' in page
    assert "hx-get" not in page


def test_errors_are_shown_with_their_command_and_last_words_and_as_text(visitor: Visitor, bench: Bench) -> None:
    error = ErrorDetail(
        transcode_type="mp4_standard", stage="transcode", error="It broke.", timestamp=timestamp(START),
        command="ffmpeg -i <in>", output="<script>alert(1)</script>",
    )  # fmt: skip
    task = failed(bench, "<img src=x>.mp4")
    bench.store.save(task, task.model_copy(update={"error_details": (error,), "ver": task.ver + 1}))
    page = visitor.get(f"/tasks/{task.task_id}").text
    assert "ffmpeg -i &lt;in&gt;" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert "<img src=x>" not in page
    assert "It is &lt;b&gt;no&lt;/b&gt; video." in page


def test_the_curl_command_asks_for_the_same_and_is_safe_to_paste(visitor: Visitor, bench: Bench) -> None:
    task = add(bench, "it's $(rm) `x`.mp4", status=Status.FAILED)
    page = visitor.get(f"/tasks/{task.task_id}").text
    assert "curl http://localhost/api/queue/add" in page
    assert "it&#39;&#34;&#39;&#34;&#39;s $(rm) `x`.mp4" in page


def test_a_task_that_is_not_there_is_a_page(visitor: Visitor) -> None:
    answer = visitor.get("/tasks/01946a30-0000-7000-8000-000000000000")
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "No task has the id" in answer.text


def test_a_purge_wants_the_queues_name_typed(visitor: Visitor, bench: Bench) -> None:
    add(bench)
    refused = visitor.post("/queue/purge", follow=True, name="something")
    assert "Nothing was purged" in refused.text
    assert bench.store.read_aside(FARM, ASIDE.PURGE) == {}
    with structlog.testing.capture_logs() as lines:
        done = visitor.post("/queue/purge", follow=True, name=" transcode ")
    assert "The waiting tasks are being cancelled" in done.text
    assert bench.store.read_aside(FARM, ASIDE.PURGE) == {"before": timestamp(bench.clock())}
    assert [line["what"] for line in lines if line["event"] == "Change made"] == ["purge"]


def test_the_queue_page_tells_why_tasks_failed(visitor: Visitor, bench: Bench) -> None:
    failed(bench)
    page = visitor.get("/queue").text
    assert "It is &lt;b&gt;no&lt;/b&gt; video." in page
    assert "<code>transcode</code>" in page


def test_the_form_offers_buckets_and_types_with_the_defaults_ticked(visitor: Visitor) -> None:
    page = visitor.get("/add").text
    assert re.findall(r"<option>([^<]+)", page) == ["videos", "more-videos"] * 2
    ticked = re.findall(r'name="type" value="(\w+)" checked', page)
    assert ticked == ["mp4_standard", "mp4_smooth", "thumbnail"]
    assert page.count('name="type"') == 7
    assert "at most 800 kb/s" in page


def test_the_form_makes_a_task_of_the_ticked_types(visitor: Visitor, bench: Bench) -> None:
    answer = visitor.post("/add", bucket="videos", key="holiday/beach.mp4", type=["thumbnail", "h265_mute"])
    (task_id,) = bench.store.items
    assert answer.headers["Location"] == f"/admin/tasks/{task_id}"
    assert bench.store.read(task_id).transcode_types == ("thumbnail", "h265_mute")
    assert bench.queue.ids == [task_id]


@pytest.mark.parametrize(
    ("wrong", "status", "words"),
    [
        ({"key": "nowhere.mp4"}, 404, "nowhere.mp4 is not in the bucket"),
        ({"bucket": "foreign"}, 422, "is not an input bucket"),
        ({"type": []}, 422, "Tick at least one type."),
        ({"type": ["nonsense"]}, 422, "Unknown transcode type"),
    ],
)
def test_a_form_that_cannot_be_done_comes_back_with_the_reason_and_what_was_typed(
    visitor: Visitor, bench: Bench, wrong: dict[str, object], status: int, words: str
) -> None:
    form = {"bucket": "videos", "key": "holiday/beach.mp4", "type": ["thumbnail"]} | wrong
    answer = visitor.post("/add", **form)
    assert answer.status_code == status
    assert words in answer.text
    assert f'value="{form["key"]}"' in answer.text
    assert not bench.store.items


def test_the_workers_page_tells_everything_of_a_node(visitor: Visitor, bench: Bench) -> None:
    bench.store.merge_aside(FARM, roll.page(FULL.node), {FULL.node: roll.told(FULL)})
    shown = text(visitor.get("/workers").text)
    for words in ("gpu0@here", "running", "Tesla T4", "580.95.05", "40 %", "61 °C", "bwrap", "它坏了"):
        assert words in shown
    bench.clock.advance(120)
    assert "silent" in text(visitor.get("/workers").text)


def test_an_outage_is_a_page_that_says_so(bench: Bench) -> None:
    def out() -> None:
        raise ServiceUnavailable("SQS did not answer.")

    answer = Visitor(bench.app(counts=out).test_client()).get("")
    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    assert "SQS did not answer." in answer.text


def test_an_unforeseen_error_is_a_page_without_a_trace(bench: Bench) -> None:
    def broken() -> None:
        raise ZeroDivisionError("secret words")

    for language, words in (("en", "Something went wrong on our side"), ("zh", "服务器出错")):
        answer = Visitor(bench.app(counts=broken).test_client()).get("/queue", Accept_Language=language)
        assert (answer.status_code, answer.mimetype) == (500, "text/html")
        assert words in answer.text
        assert "secret words" not in answer.text
