"""Output keys: what templates make, and which are refused."""

import pytest

from transcode.keys import DEFAULT, KeyTemplate, check

ONE = ("uploads",)


def key(template: str, input_key: str = "a/b/clip.mov") -> str:
    return KeyTemplate(template).key(
        input_bucket="uploads", input_key=input_key, type="mp4_smooth", ext="mp4", task_id="t1", date="2025-01-15"
    )


@pytest.mark.parametrize(
    ("template", "made"),
    [
        (DEFAULT, "a/b/clip.mov/mp4_smooth.mp4"),
        ("{dir}/{stem}_{type}.{ext}", "a/b/clip_mp4_smooth.mp4"),
        ("{input_bucket}/{date}/{task_id}/{type}.{ext}", "uploads/2025-01-15/t1/mp4_smooth.mp4"),
        ("{{x}}/{stem}/{type}.{ext}", "{x}/clip/mp4_smooth.mp4"),
    ],
)
def test_fields_are_filled_in(template: str, made: str) -> None:
    assert key(template) == made


def test_a_source_at_the_root_makes_no_leading_slash() -> None:
    assert key("{dir}/{stem}/{type}.{ext}", "clip.mov") == "clip/mp4_smooth.mp4"


@pytest.mark.parametrize("name", ["视频 一.mp4", "{type}.mp4", "a/../b.mp4", "100%.mp4", "noext"])
def test_a_key_is_taken_literally(name: str) -> None:
    assert key(DEFAULT, name) == f"{name}/mp4_smooth.mp4"


@pytest.mark.parametrize(
    ("template", "prefix"),
    [(DEFAULT, ""), ("renditions/{input_key}/{type}.{ext}", "renditions/"), ("a/b-{task_id}/{type}", "a/b-")],
)
def test_the_prefix_is_the_text_before_the_first_field(template: str, prefix: str) -> None:
    assert KeyTemplate(template).prefix == prefix


@pytest.mark.parametrize("template", [DEFAULT, "{dir}/{stem}/{type}.{ext}", "{task_id}/{type}.{ext}"])
def test_good_templates_pass(template: str) -> None:
    assert check(template, buckets=ONE, output_bucket="renditions") == ""


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{input_key}/{type", "cannot be read"),
        ("{input_key}/{}/{type}", "cannot be read"),
        ("{input_key}/{0}/{type}", "cannot be read"),
        ("{input_key.nothing}/{type}", "cannot be read"),
        ("{input_key.__class__}/{type}", "{input_key.__class__} is unknown"),
        ("{input_key}/{size}/{type}", "cannot be read"),
        ("{input_key}/out.{ext}", "{type} is missing"),
        ("{dir}/{type}.{ext}", "{dir} with {stem} is missing"),
    ],
)
def test_bad_templates_are_explained(template: str, told: str) -> None:
    assert told in check(template, buckets=ONE, output_bucket="renditions")


@pytest.mark.parametrize(
    ("template", "good"),
    [(DEFAULT, False), ("{input_bucket}/{input_key}/{type}.{ext}", True), ("{task_id}/{type}.{ext}", True)],
)
def test_several_buckets_must_not_meet(template: str, good: bool) -> None:
    found = check(template, buckets=("one", "two"), output_bucket="renditions")
    assert (found == "") is good
    assert good or "{input_bucket} is missing" in found


@pytest.mark.parametrize(
    ("template", "good"),
    [(DEFAULT, False), ("/{input_key}/{type}.{ext}", False), ("renditions/{input_key}/{type}.{ext}", True)],
)
def test_one_bucket_for_both_needs_a_literal_prefix(template: str, good: bool) -> None:
    found = check(template, buckets=ONE, output_bucket="uploads")
    assert (found == "") is good
    assert good or "literal prefix" in found
