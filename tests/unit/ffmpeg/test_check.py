import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.ffmpeg.sources import ABLE, PRESETS, preset, source
from transcode.errors import InputTruncated, OutputInvalid, TranscodeError
from transcode.ffmpeg.check import film, picture
from transcode.ffmpeg.lanes import Lane
from transcode.ffmpeg.plan import Plan, plan
from transcode.ports import Rendition

PATH = Path("mp4_standard.mp4")


def answer(video: dict[str, Any] | None = None, audio: dict[str, Any] | None = None, **container: Any) -> str:
    """What ffprobe says of a right mp4_standard of a minute, but for these values; None takes one away."""
    picture_ = {
        "codec_type": "video", "codec_name": "h264", "pix_fmt": "yuv420p", "width": 848, "height": 480,
        "duration": "60.0", "nb_read_packets": "1800", **(video or {}),
    }  # fmt: skip
    sound = {"codec_type": "audio", "codec_name": "aac", "duration": "60.0", "nb_read_packets": "2800", **(audio or {})}
    streams = [s for s in (picture_, sound) if not s.get("gone")]
    return json.dumps(
        {"streams": streams, "format": {"duration": "60.02", "size": "100", "bit_rate": "9", **container}}
    )


def planned(name: str = "mp4_standard", **values: Any) -> Plan:
    return plan(source(**values), PRESETS.pick([name]), ABLE)


def checked(text: str, made: Plan | None = None) -> Rendition:
    made = made or planned()
    return film(made, made.outputs[0], PATH, text, "so and so")


def test_a_right_film_becomes_a_rendition() -> None:
    assert checked(answer()) == Rendition(
        type="mp4_standard", path=PATH, content_type="video/mp4", bytes=100, codec="h264", width=848, height=480,
        duration=60.02, bitrate=9, audio_codec="aac", lane="cpu", warning="so and so",
    )  # fmt: skip


def test_a_card_that_loses_pictures_in_the_middle_is_seen() -> None:
    made = planned()
    on_card = made.on(Lane.NVDEC_NVENC, made.outputs)
    assert checked(answer({"nb_read_packets": "1790"}), on_card).lane == "nvdec+nvenc"
    with pytest.raises(OutputInvalid, match="about 1800 pictures should be in it, and 1700 are"):
        checked(answer({"nb_read_packets": "1700"}), on_card)
    assert checked(answer({"nb_read_packets": "1700"}), made)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (answer({"codec_name": "hevc"}), "codec should be h264 and is hevc"),
        (answer({"pix_fmt": "yuv422p10le"}), "pixel format should be yuv420p"),
        (answer({"width": 640}), "size should be 848x480 and is 640x480"),
        (answer({"side_data_list": [{"rotation": -90}]}), "rotation"),
        (answer(audio={"gone": 1}), "sound should be aac and is none"),
        (answer({"nb_read_packets": "0"}), "video stream is empty"),
        (answer(audio={"nb_read_packets": "0"}), "audio stream is empty"),
        (answer({"codec_type": "data"}), "number of streams"),
        ("", "cannot be read back"),
        ("{}", "cannot be read back"),
    ],
)
def test_a_wrong_film_says_what_was_wanted_and_what_came(text: str, words: str) -> None:
    with pytest.raises(OutputInvalid, match=f"mp4_standard: .*{words}"):
        checked(text)


def test_sound_where_none_is_wanted_is_wrong() -> None:
    made = planned("h265_mute")
    with pytest.raises(OutputInvalid, match="sound should be none and is aac"):
        film(made, made.outputs[0], PATH, answer({"codec_name": "hevc", "width": 1920, "height": 1080}))


@pytest.mark.parametrize(
    ("video", "audio", "error"),
    [
        (60.0, 60.0, None),
        (58.3, 58.3, None),  # 3 % and frames
        (80.0, 80.0, None),  # headers of joined recordings tell the first part's length
        (57.0, 60.0, InputTruncated),
        (60.0, 30.0, InputTruncated),
    ],
)
def test_a_source_that_ends_early_is_a_broken_upload(
    video: float, audio: float, error: type[TranscodeError] | None
) -> None:
    text = answer({"duration": str(video)}, {"duration": str(audio)})
    if error is None:
        assert checked(text)
    else:
        with pytest.raises(error, match=r"source says its (video|sound) lasts 60\.0 seconds"):
            checked(text)


def test_sound_may_be_longer_than_a_film_that_does_not_say_its_own_length() -> None:
    film_ = source()
    assert film_.audio is not None
    unknown = replace(film_, audio=replace(film_.audio, duration=0.0), video=replace(film_.video, duration=0.0))
    made = plan(unknown, PRESETS.pick(["mp4_standard"]), ABLE)
    assert checked(answer({"duration": "20.0"}), made)
    with pytest.raises(InputTruncated, match="its film lasts 60"):
        checked(answer({"duration": "20.0"}, {"duration": "30.0"}), made)


def test_a_length_that_is_not_known_is_not_expected() -> None:
    assert checked(answer({"duration": "3.0"}, {"duration": "3.0"}), planned(duration=0.0))


def test_a_slide_show_may_lack_its_last_slide() -> None:
    text = answer({"duration": "50.0"}, {"gone": 1})
    assert checked(text, planned(fps=0.1, sound=False))


def test_a_clip_longer_than_asked_is_wrong() -> None:
    made = plan(source(sound=False), [preset(duration=5.0, box=(848, 480))], ABLE)
    film(made, made.outputs[0], PATH, answer({"duration": "5.2"}, {"gone": 1}))
    with pytest.raises(OutputInvalid, match=r"should last 5\.0 seconds and lasts 60\.0"):
        film(made, made.outputs[0], PATH, answer(audio={"gone": 1}))


def test_a_picture_is_checked_too() -> None:
    (still,) = planned("thumbnail").stills
    right = answer({"codec_name": "mjpeg", "width": 1280, "height": 720, "pix_fmt": "yuvj420p"}, {"gone": 1})
    assert picture(still, Path("thumbnail.jpg"), right).content_type == "image/jpeg"
    with pytest.raises(OutputInvalid, match="size should be 1280x720 and is 848x480"):
        picture(still, Path("thumbnail.jpg"), answer({"codec_name": "mjpeg"}, {"gone": 1}))
