"""Permissions for uploads from the browser, and the task that an upload becomes."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from tests.unit.webapp.admin.conftest import READ_PASSWORD, Visitor, add
from tests.unit.webapp.conftest import Bench
from transcode.events import VIDEO_SUFFIXES
from transcode.states import Status
from webapp.admin import upload

FILE: dict[str, Any] = {"bucket": "videos", "prefix": "uploads/2025-01-15/", "name": "beach.mp4", "size": "1000"}


def test_a_file_gets_one_key_one_type_and_a_size(visitor: Visitor) -> None:
    with structlog.testing.capture_logs() as lines:
        told = visitor.post("/add/upload", **FILE).json
    assert told
    assert re.fullmatch(r"uploads/2025-01-15/beach-[0-9a-f]{8}\.mp4", told["key"])
    assert told["fields"] == {
        "key": told["key"], "Content-Type": "video/mp4", "largest": str(5 * 1024**3), "seconds": "900",
    }  # fmt: skip
    [line] = [line for line in lines if line["event"] == "Change made"]
    assert (line["what"], line["who"], line["input_key"]) == ("upload", "anonymous", told["key"])


def test_the_page_offers_a_dated_folder_and_the_limits(make_bench: Callable[..., Bench]) -> None:
    visitor = Visitor(make_bench(max_input_bytes=2_000_000).app().test_client())
    page = visitor.get("/add").text
    assert 'name="prefix" value="uploads/2025-01-15/"' in page
    assert 'data-most="2000000"' in page
    assert "At most 2 MB each" in page
    assert "mp4_standard, mp4_smooth, thumbnail" in page
    assert visitor.post("/add/upload", **FILE).json["fields"]["largest"] == "2000000"  # type: ignore[index]


def test_the_pages_scripts_may_send_to_the_bucket_and_nowhere_else(visitor: Visitor) -> None:
    policy = visitor.get("/add").headers["Content-Security-Policy"]
    assert "connect-src 'self' file:;" in policy
    assert "connect-src 'self';" in visitor.get("/tasks").headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Ferien am Meer.MOV", "Ferien-am-Meer.mov"), ("片 1.mp4", "片-1.mp4"), ("../../etc/passwd.mp4", "passwd.mp4"),
        ("C:\\Videos\\a.mp4", "a.mp4"), ("<img src=x>.mp4", "img-src-x.mp4"), ("$(rm -rf).webm", "(rm-rf).webm"),
        ("${filename}.mp4", "filename.mp4"), ("a\x00b\nc.mp4", "a-b-c.mp4"), (".mp4.mp4", "mp4.mp4"),
        ("???.mp4", "video.mp4"), ("x" * 500 + ".mkv", "x" * 100 + ".mkv"),
    ],
)  # fmt: skip
def test_names_are_made_safe(visitor: Visitor, name: str, key: str) -> None:
    told = visitor.post("/add/upload", **(FILE | {"name": name})).json
    assert told
    stem, _, suffix = key.rpartition(".")
    assert re.fullmatch(rf"uploads/2025-01-15/{re.escape(stem)}-[0-9a-f]{{8}}\.{suffix}", told["key"])


def test_every_ending_that_is_taken_has_a_type_of_video(visitor: Visitor) -> None:
    for suffix in VIDEO_SUFFIXES:
        told = visitor.post("/add/upload", **(FILE | {"name": f"a{suffix}"})).json
        assert told
        assert told["fields"]["Content-Type"].startswith("video/")
        assert told["fields"]["Content-Type"] != "video/mp4" or suffix == ".mp4"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": "clip\\.mp4"}, "is no video by its name"),
        ({"name": "notes.txt"}, "notes.txt is no video by its name; these endings are taken: .avi"),
        ({"name": ""}, "no video by its name"), ({"name": ".mp4"}, "no video by its name"),
        ({"size": "0"}, "no bytes"), ({"size": ""}, "no bytes"), ({"size": "-1"}, "no bytes"),
        ({"size": "9" * 400}, "no bytes"), ({"size": str(6 * 1024**3)}, "The file has 6.4 GB; at most 5.4 GB"),
        ({"bucket": "renditions"}, "is not an input bucket"), ({"bucket": ""}, "is not an input bucket"),
        ({"prefix": "/x/"}, "Nothing can be uploaded"), ({"prefix": "../"}, "Nothing can be uploaded"),
        ({"prefix": "a\x07/"}, "Nothing can be uploaded"), ({"prefix": "${filename}/"}, "Nothing can be uploaded"),
        ({"prefix": "x" * 1020}, "Nothing can be uploaded"),
    ],
)  # fmt: skip
def test_what_may_not_be_uploaded_gets_a_sentence(visitor: Visitor, wrong: dict[str, str], words: str) -> None:
    answer = visitor.post("/add/upload", **(FILE | wrong))
    assert answer.status_code == 422
    assert answer.json
    assert words in answer.json["wrong"]
    assert "fields" not in answer.json


def test_the_folder_of_our_outputs_takes_no_upload(make_bench: Callable[..., Bench]) -> None:
    shared = {
        "input_bucket": ("videos",),
        "output_bucket": "videos",
        "output_key_template": "made/{input_key}/{type}.{ext}",
    }
    visitor = Visitor(make_bench(**shared).app().test_client())
    assert visitor.post("/add/upload", **(FILE | {"prefix": "made/"})).status_code == 422


def test_an_upload_replaces_no_other_by_chance(visitor: Visitor) -> None:
    first, second = (visitor.post("/add/upload", **FILE).json for _ in range(2))
    assert first
    assert second
    assert first["key"] != second["key"]


def test_only_operators_upload_and_only_with_the_token(stranger: Visitor) -> None:
    assert stranger.post("/add/upload", **FILE).status_code == 302
    stranger.sign_in(READ_PASSWORD)
    assert stranger.post("/add/upload", **FILE).status_code == 403
    stranger.client.get("/admin/sign-in")
    stranger.post("/sign-out")
    stranger.sign_in()
    assert stranger.post("/add/upload", **FILE).status_code == 200
    assert stranger.client.post("/admin/add/upload", data=FILE | {"token": "guessed"}).status_code == 403


class TestFollowing:
    def follow(self, visitor: Visitor, address: str) -> str:
        answer = visitor.get(address.removeprefix("/admin"), HX_Request="true")
        assert answer.status_code == 200
        return answer.text

    def again(self, part: str) -> str:
        found = re.search(r'hx-get="([^"]+)"', part)
        return found[1].replace("&amp;", "&") if found else ""

    def test_the_task_of_an_upload_is_found_and_watched_to_its_end(self, visitor: Visitor, bench: Bench) -> None:
        told = visitor.post("/add/upload", **FILE).json
        assert told
        part = self.follow(visitor, told["follow"])
        assert "Uploaded; its task is on the way." in part
        task = add(bench, told["key"], status=Status.PROCESSING)
        part = self.follow(visitor, self.again(part))
        assert f"/admin/tasks/{task.task_id}" in part
        assert "processing" in part
        bench.store.save(task, task.model_copy(update={"status": Status.COMPLETED, "ver": task.ver + 1}))
        part = self.follow(visitor, self.again(part))
        assert "completed" in part
        assert not self.again(part)

    def test_a_task_of_another_bucket_or_an_earlier_upload_is_not_it(self, visitor: Visitor, bench: Bench) -> None:
        told = visitor.post("/add/upload", **FILE).json
        assert told
        add(bench, told["key"], input_bucket="more-videos", status=Status.PENDING)
        assert "its task is on the way" in self.follow(visitor, told["follow"])

    def test_one_that_never_comes_is_told_and_then_left_alone(self, visitor: Visitor, bench: Bench) -> None:
        told = visitor.post("/add/upload", **FILE).json
        assert told
        part = self.follow(visitor, told["follow"])
        bench.clock.advance(60)
        part = self.follow(visitor, self.again(part))
        assert "does the bridge run" in part
        bench.clock.advance(3600)
        part = self.follow(visitor, self.again(part))
        assert "no task was seen" in part
        assert not self.again(part)

    def test_what_was_typed_into_the_address_is_text(self, visitor: Visitor) -> None:
        part = self.follow(visitor, "/admin/add/uploaded?bucket=<b>&key=<script>&since=nonsense&began=1e400")
        assert "<script>" not in part

    def test_the_size_of_a_form_is_what_s3_takes(self, bench: Bench) -> None:
        with bench.app().app_context():
            assert upload.largest() == 5 * 1024**3
