"""Where outputs go when the caller has a wish, and which keys a shared bucket's bridge leaves alone."""

from dataclasses import replace

import pytest

from tests.unit.conftest import Farm, Letter
from transcode import submit
from transcode.errors import IdempotencyKeyReused, PrefixUnusable
from transcode.events import Skipped, Upload
from transcode.keys import unusable_prefix
from transcode.run import run
from transcode.states import Status
from transcode.submit import Wishes
from transcode.task import request_id

KEY = "a/film.mp4"


def test_outputs_are_published_under_the_callers_prefix(farm: Farm, letter: Letter) -> None:
    farm.storage.put("in-bucket", KEY, b"film")
    wishes = Wishes(output_prefix="team/", metadata={"order": "4711"})
    task = submit.add(farm.desk, "in-bucket", KEY, ("thumbnail",), wishes)
    run(task.task_id, letter, farm.tools)
    done = farm.store.read(task.task_id)
    assert (done.status, done.metadata) == (Status.COMPLETED, {"order": "4711"})
    assert done.output_files == {"thumbnail": "team/a/film.mp4/thumbnail.jpg"}
    assert farm.storage.head("out-bucket", "team/a/film.mp4/thumbnail.jpg").size > 0


def test_an_output_under_a_prefix_in_a_shared_bucket_starts_no_loop(farm: Farm, letter: Letter) -> None:
    changes = {"output_bucket": "in-bucket", "output_key_template": "made/{input_key}/{type}.{ext}"}
    desk = replace(farm.desk, settings=farm.desk.settings.model_copy(update=changes))
    farm.storage.put("in-bucket", KEY, b"film")
    with pytest.raises(PrefixUnusable, match="must begin with 'made/'"):
        submit.add(desk, "in-bucket", KEY, ("mp4_smooth",), Wishes(output_prefix="team/"))
    task = submit.add(desk, "in-bucket", KEY, ("mp4_smooth",), Wishes(output_prefix="made/team/"))
    run(task.task_id, letter, replace(farm.tools, desk=desk))
    (key,) = farm.store.read(task.task_id).output_files.values()
    assert key == "made/team/made/a/film.mp4/mp4_smooth.mp4"
    assert isinstance(submit.accept(desk, Upload("in-bucket", key, 100, etag="e")), Skipped)


@pytest.mark.parametrize("prefix", ["/a", "../a", "a/..", "a/./b", "\n", "\x7f"])
def test_a_prefix_that_leads_astray_is_named(prefix: str) -> None:
    assert unusable_prefix(prefix)


@pytest.mark.parametrize("prefix", ["", "a/", "..a", "a//b/", "团队/"])
def test_any_other_prefix_will_do(prefix: str) -> None:
    assert unusable_prefix(prefix) == ""


def test_words_that_differ_anywhere_give_another_id() -> None:
    ids = {request_id(*words) for words in (("a", "b"), ("ab", ""), ("a", "b", ""), ("b", "a"), ("a", "b", "item 0"))}
    assert len(ids) == 5


def test_a_task_that_was_made_without_a_key_is_never_taken_for_another(farm: Farm) -> None:
    farm.storage.put("in-bucket", KEY, b"film")
    wishes = Wishes(task_id=request_id("me", "k"))
    first = submit.add(farm.desk, "in-bucket", KEY, None, wishes)
    assert submit.add(farm.desk, "in-bucket", KEY, None, wishes) == farm.store.read(first.task_id)
    with pytest.raises(IdempotencyKeyReused):
        submit.add(farm.desk, "in-bucket", KEY, ("thumbnail",), wishes)
    assert len(farm.queue.messages) == 1
