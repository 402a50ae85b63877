import json
from fractions import Fraction
from typing import Any

import pytest

from tests.unit.ffmpeg.sources import ANSWERS, answered
from transcode import errors
from transcode.ffmpeg.probe import read


def changed(name: str, **values: Any) -> str:
    """A stored answer with other values in its first video stream."""
    found = json.loads((ANSWERS / f"{name}.json").read_text())
    next(s for s in found["streams"] if s["codec_type"] == "video").update(values)
    return json.dumps(found)


def test_a_phone_held_upright_is_turned_clockwise() -> None:
    found = answered("rotated_phone").video
    assert (found.rotation, found.display_size) == (90, (480, 640))


def test_the_rotate_tag_of_older_files_is_read_too() -> None:
    assert read(changed("ten_bit", tags={"rotate": "270"})).video.rotation == 270


def test_an_odd_angle_turns_nothing() -> None:
    assert read(changed("ten_bit", side_data_list=[{"rotation": 30}])).video.rotation == 0


def test_of_two_films_the_first_default_one_is_taken() -> None:
    found = answered("two_videos")
    assert (found.video.index, found.videos, found.audios, found.others) == (0, 2, 2, 2)


def test_the_default_film_goes_before_the_first() -> None:
    two = json.loads((ANSWERS / "two_videos.json").read_text())
    two["streams"][0]["disposition"]["default"] = 0
    assert read(json.dumps(two)).video.index == 3


def test_of_eight_tracks_the_default_one_is_taken() -> None:
    found = answered("eight_tracks_422")
    assert found.audio is not None
    assert (found.audio.index, found.audios, found.video.bit_depth, found.video.pix_fmt) == (1, 8, 10, "yuv422p10le")


def test_the_default_track_goes_before_the_first() -> None:
    eight = json.loads((ANSWERS / "eight_tracks_422.json").read_text())
    eight["streams"][1]["disposition"]["default"], eight["streams"][4]["disposition"]["default"] = 0, 1
    found = read(json.dumps(eight)).audio
    assert found is not None
    assert found.index == 4


def test_a_stream_without_average_rate_has_its_nominal_one_and_counts_as_uneven() -> None:
    found = answered("portrait_ts").video
    assert (found.fps, found.vfr) == (30.0, True)


def test_an_even_film_is_not_uneven() -> None:
    assert answered("two_videos").video.vfr is False


def test_matroska_tells_lengths_in_tags() -> None:
    found = answered("webm_duration_in_tag")
    assert found.video.duration == pytest.approx(5.229)
    assert found.audio is not None
    assert found.audio.duration == pytest.approx(5.178)


def test_a_cover_beside_a_film_is_no_film() -> None:
    found = answered("with_cover")
    assert (found.video.codec, found.videos) == ("h264", 1)


def test_a_cover_alone_is_no_film() -> None:
    with pytest.raises(errors.NoVideoStream, match="only a cover picture and audio"):
        answered("cover_only")


def test_sound_alone_is_no_film() -> None:
    with pytest.raises(errors.NoVideoStream, match="only audio"):
        answered("audio_only")


def test_wide_pixels_widen_the_picture() -> None:
    assert answered("anamorphic").video.display_size == (1920, 1080)


@pytest.mark.parametrize("ratio", ["0:1", "N/A", "1:100", "1000:1", "1:0"])
def test_an_absurd_pixel_shape_is_not_believed(ratio: str) -> None:
    assert read(changed("anamorphic", sample_aspect_ratio=ratio)).video.sar == Fraction(1)


def test_interlaced_film_is_seen() -> None:
    assert answered("interlaced").video.interlaced is True


def test_hdr_is_seen_by_its_transfer() -> None:
    found = answered("hdr10").video
    assert (found.colour.hdr, found.colour.space, found.bit_depth) == ("PQ", "bt2020nc", 10)
    assert read(changed("hdr10", color_transfer="arib-std-b67")).video.colour.hdr == "HLG"


def test_motion_jpeg_has_full_range() -> None:
    assert answered("motion_jpeg").video.colour.range == "pc"


def test_rgb_is_seen() -> None:
    assert answered("rgb").video.rgb is True


@pytest.mark.parametrize(
    ("pix_fmt", "bits"),
    [("yuv420p", 8), ("yuv420p10le", 10), ("p010le", 10), ("p210le", 10), ("gbrp12le", 12), ("yuv444p16be", 16)],
)
def test_bits_are_read_off_the_pixel_format(pix_fmt: str, bits: int) -> None:
    assert read(changed("two_videos", pix_fmt=pix_fmt)).video.bit_depth == bits


def test_a_rate_that_is_a_clock_is_not_believed() -> None:
    assert read(changed("ten_bit", avg_frame_rate="90000/1", r_frame_rate="25/1")).video.fps == 25.0


def test_what_the_container_crops_is_not_counted() -> None:
    crop = {"crop_top": 4, "crop_bottom": 4, "crop_left": 10, "crop_right": 6}
    found = read(changed("ten_bit", side_data_list=[crop])).video
    assert (found.width, found.height) == (184, 192)


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"codec_name": "magicyuv"}, errors.CodecNotAllowed, "magicyuv"),
        ({"codec_name": "png"}, errors.CodecNotAllowed, "png"),
        ({"codec_tag_string": "encv"}, errors.CodecNotAllowed, "DRM"),
        ({"side_data_list": [{"dv_profile": 5}]}, errors.CodecNotAllowed, "Dolby"),
        ({"width": 0, "height": 0}, errors.InputCorrupt, "how large"),
        ({"width": 16000, "height": 16000}, errors.PictureUnusable, "16000x16000"),
        ({"width": 8000, "height": 8000}, errors.PictureUnusable, "8000x8000"),
        ({"width": 65535, "height": 1}, errors.PictureUnusable, "65535x1"),
        ({"width": 8, "height": 8}, errors.PictureUnusable, "8x8"),
        ({"width": 8000, "height": 64}, errors.PictureUnusable, "20 times"),
    ],
)
def test_what_cannot_be_transcoded_says_why(
    values: dict[str, Any], error: type[errors.TranscodeError], words: str
) -> None:
    with pytest.raises(error, match=words):
        read(changed("ten_bit", **values))


def test_a_film_of_more_than_twelve_hours_is_refused() -> None:
    found = json.loads((ANSWERS / "ten_bit.json").read_text())
    found["format"]["duration"] = "90000.0"
    with pytest.raises(errors.InputTooLarge, match=r"25\.0 hours"):
        read(json.dumps(found))


@pytest.mark.parametrize("lie", ["N/A", "-5", "inf", "nan", "", "9e99"])
def test_a_length_that_lies_is_not_known(lie: str) -> None:
    found = json.loads((ANSWERS / "ten_bit.json").read_text())
    found["format"]["duration"] = lie
    assert read(json.dumps(found)).duration == 0.0


def test_sound_of_an_unknown_codec_is_refused_not_lost() -> None:
    found = json.loads((ANSWERS / "rotated_phone.json").read_text())
    del found["streams"][1]["codec_name"]
    with pytest.raises(errors.CodecNotAllowed, match="sound"):
        read(json.dumps(found))


def test_a_track_without_channels_is_no_sound() -> None:
    found = json.loads((ANSWERS / "rotated_phone.json").read_text())
    found["streams"][1]["channels"] = 0
    assert read(json.dumps(found)).audio is None


@pytest.mark.parametrize("text", ["", "{}", "null", "[]", '{"streams": 1}'])
def test_an_answer_that_is_none_means_a_damaged_file(text: str) -> None:
    with pytest.raises(errors.InputCorrupt):
        read(text)


@pytest.mark.parametrize("path", sorted(ANSWERS.glob("*.json")), ids=lambda p: p.stem)
def test_the_facts_of_a_source_are_plain_json(path: Any) -> None:
    try:
        facts = read(path.read_text()).facts()
    except errors.NoVideoStream:
        return
    assert json.loads(json.dumps(facts)) == facts
