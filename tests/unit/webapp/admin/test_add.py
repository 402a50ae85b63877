"""The add page: the form's wishes, the bucket's folders, many videos at once."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
import structlog

from tests.unit.webapp.admin.conftest import READ_PASSWORD, Visitor, add
from tests.unit.webapp.admin.test_pages import text
from tests.unit.webapp.conftest import Bench
from transcode.errors import InputAccessDenied, ServiceUnavailable
from transcode.states import Priority
from transcode.task import Task
from webapp.admin import wanted

ASKED: dict[str, Any] = {"bucket": "videos", "key": "holiday/beach.mp4", "type": ["thumbnail"]}
CALLED: dict[str, Any] = {
    "callback_targets": ("orders=https://example.com/hook", "team=https://example.com/team"),
    "callback_secrets": ("orders=a-secret-of-16-bytes", "team=a-secret-of-16-bytes"),
    "callback_queue_url": "https://sqs.eu-central-1.amazonaws.com/123456789012/callbacks",
}


def fill(bench: Bench, *keys: str, bucket: str = "videos") -> None:
    for key in keys:
        bench.storage.put(bucket, key, b"a video")


def made(bench: Bench) -> list[Task]:
    return sorted((bench.store.read(one) for one in bench.store.items), key=lambda task: task.input_key)


class TestWishes:
    def test_all_that_the_api_takes_is_asked_for(self, make_bench: Callable[..., Bench]) -> None:
        bench = make_bench(**CALLED)
        fill(bench, "holiday/beach.mp4")
        answer = Visitor(bench.app().test_client()).post(
            "/add", **ASKED, priority="urgent", output_prefix=" team-a/ ", callback="team",
            metadata="order=4711\r\n\r\n name of it = a = b \r\nempty=",
        )  # fmt: skip
        [task] = made(bench)
        assert answer.headers["Location"] == f"/admin/tasks/{task.task_id}"
        assert (task.priority, task.output_prefix, task.callback) == (Priority.URGENT, "team-a/", "team")
        assert task.metadata == {"order": "4711", "name of it": "a = b", "empty": ""}
        assert bench.queue.messages[0].urgent

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"key": ""}, "Type the key of a video"),
            ({"metadata": "no equals sign <b>"}, "is not written name=value: no equals sign &lt;b&gt;"),
            ({"metadata": "=value"}, "is not written name=value"),
            ({"metadata": "a=1\na=2"}, "The metadata names a twice."),
            ({"metadata": f"a={'x' * 2000}"}, "The metadata has 2001 bytes"),
            ({"metadata": "\n".join(f"n{n}=1" for n in range(17))}, "at most 16"),
            ({"output_prefix": "/absolute"}, "begins with a slash"),
            ({"priority": "huge"}, "priority: "),
            ({"callback": "evil"}, "No target of callbacks is called"),
        ],
    )
    def test_a_wish_that_cannot_be_is_said_and_nothing_is_lost_of_what_was_typed(
        self, visitor: Visitor, bench: Bench, wrong: dict[str, str], words: str
    ) -> None:
        form = ASKED | {"metadata": "kept=yes", "output_prefix": "kept/"} | wrong
        answer = visitor.post("/add", **form)
        assert answer.status_code == 422
        assert words in answer.text
        assert not bench.store.items
        if "metadata" not in wrong:
            assert ">kept=yes</textarea>" in answer.text
        assert re.search(r"<details\s+open", answer.text) or words.startswith("Type")

    def test_targets_are_offered_where_there_are_any(self, visitor: Visitor, make_bench: Callable[..., Bench]) -> None:
        assert 'name="callback"' not in visitor.get("/add").text
        page = Visitor(make_bench(**CALLED, default_callback="team").app().test_client()).get("/add").text
        select = page[page.index('name="callback"') :]
        assert re.findall(r'<option value="(\w*)"', select)[:3] == ["", "orders", "team"]
        assert "team, as usual" in select
        assert "example.com" not in page

    def test_a_task_is_asked_for_again_with_all_its_wishes(self, visitor: Visitor, bench: Bench) -> None:
        wishes = {"priority": Priority.URGENT, "output_prefix": "team-a/", "metadata": {"a": "1", "b": "<2>"}}
        task = add(bench, transcode_types=("h265_mute",), **wishes)
        assert f"/admin/add?like={task.task_id}" in visitor.get(f"/tasks/{task.task_id}").text
        page = visitor.get(f"/add?like={task.task_id}").text
        assert re.findall(r'name="type" value="(\w+)" checked', page) == ["h265_mute"]
        assert '<option value="urgent" selected>' in page
        assert 'value="team-a/"' in page
        assert ">a=1\nb=&lt;2&gt;</textarea>" in page
        assert visitor.get("/add?like=01946a30-0000-7000-8000-000000000000").status_code == 404


class TestBrowsing:
    def test_the_bucket_is_looked_at_only_when_asked(
        self, visitor: Visitor, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bench.storage, "folder", lambda *_: pytest.fail("it was listed"))
        assert "Look into the bucket" in visitor.get("/add").text

    def test_folders_and_videos_are_shown_and_lead_on(self, visitor: Visitor, bench: Bench) -> None:
        fill(bench, "holiday/2025/a b.mp4", "holiday/notes.txt", "top.MOV")
        root = visitor.get("/add?bucket=videos&prefix=").text
        assert 'href="/admin/add?bucket=videos&amp;prefix=holiday/#browse"' in root
        assert 'data-fill="top.MOV"' in root
        assert ">holiday/</a>" in visitor.get("/add?bucket=videos&prefix=hol").text
        under = visitor.get("/add?bucket=videos&prefix=holiday/").text
        assert ">2025/</a>" in under
        assert "prefix=holiday/2025/#browse" in under
        assert 'name="tick" value="holiday/beach.mp4"' in under
        assert "1 object is no video." in under
        assert "notes.txt" not in under
        # Without scripts a click fills the form by an ordinary link.
        link = re.search(r'data-fill="holiday/beach.mp4" href="/admin([^"#]+)', under)
        assert link
        assert 'name="key" value="holiday/beach.mp4"' in visitor.get(link[1].replace("&amp;", "&")).text

    def test_a_folder_comes_in_pages(self, visitor: Visitor, bench: Bench) -> None:
        fill(bench, *(f"many/{number:03d}.mp4" for number in range(150)))
        first = visitor.get("/add?bucket=videos&prefix=many/").text
        more = re.search(r'rel="next" href="/admin([^"#]+)', first)
        assert more
        second = visitor.get(more[1].replace("&amp;", "&")).text
        ticks = [re.findall(r'name="tick" value="([^"]+)"', page) for page in (first, second)]
        assert [len(one) for one in ticks] == [100, 50]
        assert 'rel="next"' not in second

    def test_our_own_outputs_are_not_offered(self, make_bench: Callable[..., Bench]) -> None:
        shared = {
            "input_bucket": ("videos",),
            "output_bucket": "videos",
            "output_key_template": "made/{input_key}/{type}.{ext}",
        }
        bench = make_bench(**shared)
        fill(bench, "made/a.mp4/mp4_smooth.mp4", "a.mp4")
        visitor = Visitor(bench.app().test_client())
        page = visitor.get("/add?prefix=").text
        assert 'value="a.mp4"' in page
        assert "made/" not in page
        assert "No folder and no video here." in visitor.get("/add?prefix=made/a.mp4/").text

    @pytest.mark.parametrize("name", ["<script>alert(1)</script>.mp4", "\"onclick='x'.mp4", "片 & 山.mp4", "a%2Fb.mp4"])
    def test_hostile_names_are_text_and_lead_to_themselves(self, visitor: Visitor, bench: Bench, name: str) -> None:
        fill(bench, f"{name}/{name}")
        root = visitor.get("/add?bucket=videos&prefix=").text
        folder = "" if "/script" in name else f"{name}/"
        page = root if not folder else visitor.get(f"/add?bucket=videos&prefix={quote(folder)}").text
        for shown in (root, page):
            assert "<script>alert" not in shown
            assert " onclick=" not in shown
            assert "'x'.mp4\"" not in shown
        link = re.search(rf'href="/admin([^"#]+)[^>]*>{re.escape(name)}<', page) if folder == "片 & 山.mp4/" else None
        assert link is None or visitor.get(link[1].replace("&amp;", "&")).status_code == 200

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (InputAccessDenied("That needs s3:ListBucket."), "That needs s3:ListBucket."),
            (ServiceUnavailable("S3 is out."), "S3 is out."),
        ],
    )
    def test_a_bucket_that_may_not_be_listed_says_so_and_a_key_can_still_be_typed(
        self, visitor: Visitor, bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
    ) -> None:
        def refuse(*_: object) -> None:
            raise error

        monkeypatch.setattr(bench.storage, "folder", refuse)
        answer = visitor.get("/add?bucket=videos&prefix=")
        assert (answer.status_code, words in answer.text) == (200, True)
        assert 'name="key"' in answer.text

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("bucket=secrets&prefix=", "is not an input bucket"), ("bucket=videos&prefix=%00", "control characters"),
            ("bucket=videos&prefix=&cursor=made-up", "cannot go on there"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_looked_at_says_so(self, visitor: Visitor, query: str, words: str) -> None:
        assert words in visitor.get(f"/add?{query}").text

    def test_htmx_gets_the_bucket_alone(self, visitor: Visitor) -> None:
        part = visitor.get("/add?bucket=videos&prefix=holiday/", HX_Request="true").text
        assert part.lstrip().startswith('<section id="browse"')
        assert "holiday/beach.mp4" in part

    def test_a_reader_looks_and_has_nothing_to_tick_or_upload(self, stranger: Visitor) -> None:
        stranger.sign_in(READ_PASSWORD)
        answer = stranger.get("/add?bucket=videos&prefix=holiday/")
        assert 'data-fill="holiday/beach.mp4"' in answer.text
        assert 'name="tick"' not in answer.text
        assert 'id="uploader"' not in answer.text
        assert "connect-src 'self';" in answer.headers["Content-Security-Policy"]


class TestMany:
    def test_ticked_videos_become_tasks_with_the_same_wishes(self, visitor: Visitor, bench: Bench) -> None:
        fill(bench, "a.mp4", "b.mp4", bucket="more-videos")
        with structlog.testing.capture_logs() as lines:
            # The form's own bucket is another one by now: ticks belong to what was browsed.
            answer = visitor.post(
                "/add", what="ticked", bucket="videos", key="", browsed="more-videos", prefix="", type=["thumbnail"],
                tick=["a.mp4", "b.mp4", "a.mp4"], metadata="x=1",
            )  # fmt: skip
        assert answer.headers["Location"] == "/admin/tasks"
        assert [(t.input_bucket, t.input_key, t.metadata) for t in made(bench)] == [
            ("more-videos", "a.mp4", {"x": "1"}), ("more-videos", "b.mp4", {"x": "1"}),
        ]  # fmt: skip
        assert len([line for line in lines if line["event"] == "Change made"]) == 2
        assert "2 tasks were added." in visitor.get("/tasks").text

    def test_one_that_is_gone_leaves_the_others_alone_and_is_told(self, visitor: Visitor, bench: Bench) -> None:
        page = visitor.post(
            "/add", follow=True, what="ticked", browsed="videos", type=["thumbnail"],
            tick=["holiday/beach.mp4", "<b>gone.mp4"],
        ).text  # fmt: skip
        assert "1 task was added." in page
        assert "1 video got no task." in page
        assert "&lt;b&gt;gone.mp4 is not in the bucket" in page

    @pytest.mark.parametrize(
        ("wrong", "status", "words"),
        [
            ({"tick": []}, 422, "Tick at least one video."),
            ({"tick": [f"{n}.mp4" for n in range(wanted.MOST_TICKED + 1)]}, 422, "At most 100 videos"),
            ({"type": []}, 422, "Tick at least one type."),
            ({"type": ["nonsense"]}, 422, "Unknown transcode type"),
        ],
    )
    def test_what_cannot_be_added_comes_back_with_the_folder(
        self, visitor: Visitor, bench: Bench, wrong: dict[str, Any], status: int, words: str
    ) -> None:
        form = {"browsed": "videos", "prefix": "holiday/", "type": ["thumbnail"], "tick": ["holiday/beach.mp4"]}
        answer = visitor.post("/add", what="ticked", **(form | wrong))
        assert (answer.status_code, words in answer.text) == (status, True)
        assert 'data-fill="holiday/beach.mp4"' in answer.text
        assert not bench.store.items

    def test_a_whole_folder_is_added_after_a_question(self, visitor: Visitor, bench: Bench) -> None:
        fill(bench, "holiday/2025/b.mp4", "holiday/notes.txt", "work/c.mp4")
        form = {
            "browsed": "videos",
            "prefix": "holiday/",
            "type": ["thumbnail"],
            "output_prefix": "t/",
            "metadata": "a=1\nb=2",
        }
        asked = visitor.post("/add", what="folder", **form).text
        assert "2 videos are to become tasks, one each." in asked
        assert "holiday/2025/b.mp4" in asked
        assert not bench.store.items
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', asked[asked.index("</dl>") :]))
        metadata = re.search(r'name="metadata" hidden>([^<]*)<', asked)
        assert metadata
        visitor.post("/add", what="folder-sure", **(hidden | {"metadata": metadata[1]}))
        assert [(t.input_key, t.output_prefix, t.metadata) for t in made(bench)] == [
            ("holiday/2025/b.mp4", "t/", {"a": "1", "b": "2"}), ("holiday/beach.mp4", "t/", {"a": "1", "b": "2"}),
        ]  # fmt: skip

    def test_more_than_a_thousand_go_on_where_they_ended(
        self, visitor: Visitor, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("webapp.admin.add.MOST_KEYS", 2)
        fill(bench, "holiday/a.mp4", "holiday/b.mp4")
        form: dict[str, Any] = {"browsed": "videos", "prefix": "holiday/", "type": ["thumbnail"]}
        assert "There are more" in visitor.post("/add", what="folder", **form).text
        first = visitor.post("/add", what="folder-sure", **form)
        assert first.headers["Location"] == "/admin/add?bucket=videos&prefix=holiday/&after=holiday/b.mp4"
        page = visitor.get("/add?bucket=videos&prefix=holiday/&after=holiday/b.mp4").text
        assert 'name="after" value="holiday/b.mp4"' in page
        last = visitor.post("/add", what="folder-sure", after="holiday/b.mp4", **form)
        assert last.headers["Location"] == "/admin/tasks"
        assert [t.input_key for t in made(bench)] == ["holiday/a.mp4", "holiday/b.mp4", "holiday/beach.mp4"]

    @pytest.mark.parametrize(
        ("form", "words"),
        [
            ({"browsed": "videos", "prefix": "nowhere/", "type": ["thumbnail"]}, "No video lies in this folder."),
            ({"browsed": "secrets", "prefix": "", "type": ["thumbnail"]}, "is not an input bucket"),
            ({"browsed": "videos", "prefix": "", "type": ["nonsense"]}, "Unknown transcode type"),
        ],
    )
    def test_a_folder_that_cannot_be_added_says_why(self, visitor: Visitor, form: dict[str, Any], words: str) -> None:
        for what in ("folder", "folder-sure"):
            answer = visitor.post("/add", what=what, **form)
            assert (answer.status_code, words in text(answer.text)) == (422, True)

    @pytest.mark.parametrize("what", ["one", "ticked", "folder", "folder-sure"])
    def test_a_reader_adds_nothing(self, stranger: Visitor, closed: Bench, what: str) -> None:
        stranger.sign_in(READ_PASSWORD)
        form = ASKED | {"browsed": "videos", "prefix": "holiday/", "tick": ["holiday/beach.mp4"]}
        assert stranger.post("/add", what=what, **form).status_code == 403
        assert not closed.store.items
