from dataclasses import replace

import pytest

from tests.unit.ffmpeg.sources import ABLE, PRESETS, preset, source
from transcode.errors import BuildLacks
from transcode.ffmpeg.plan import BT601, BT709, Span, plan
from transcode.ffmpeg.probe import Colour
from transcode.presets import Audio


def test_seven_types_are_five_encodes_two_loudnesses_and_a_picture() -> None:
    made = plan(source(), PRESETS.all, ABLE)
    assert len(made.outputs) == 6
    assert len(made.videos) == 5
    assert len(made.audios) == 3
    assert [still.type for still in made.stills] == ["thumbnail"]


def test_signage_and_preview_share_an_encode() -> None:
    made = {output.type: output for output in plan(source(), PRESETS.all, ABLE).outputs}
    assert made["lcd_h265"].video == made["custom_mute_preview"].video
    assert made["custom_mute_preview"].audio is None


def test_apart_each_encode_is_a_plan_of_its_own() -> None:
    parts = plan(source(), PRESETS.all, ABLE).apart()
    assert [[output.type for output in part.outputs] for part in parts] == [
        ["mp4_standard"], ["mp4_smooth"], ["hdlbr_h265"], ["lcd_h265", "custom_mute_preview"], ["h265_mute"],
    ]  # fmt: skip
    assert not any(part.stills for part in parts)


def test_a_small_source_makes_equal_sizes_but_not_equal_encodes() -> None:
    made = plan(source(width=320, height=180), PRESETS.pick(["mp4_standard", "mp4_smooth"]), ABLE)
    assert len({video.frame for video in made.videos}) == 1
    assert len(made.videos) == 2


def test_a_source_without_sound_makes_outputs_without_sound() -> None:
    made = plan(source(sound=False), PRESETS.all, ABLE)
    assert made.audios == ()
    assert all(output.audio is None and output.audio_duration == 0 for output in made.outputs)


def test_a_mute_preset_has_no_sound_though_the_source_has() -> None:
    (output,) = plan(source(), PRESETS.pick(["h265_mute"]), ABLE).outputs
    assert output.audio is None


def test_a_clip_lies_inside_its_film() -> None:
    late = preset(start=50.0, duration=30.0, audio=Audio())
    (output,) = plan(source(), [late, preset(name="other")], ABLE).outputs[:1]
    assert output.video.clip == Span(50.0, 10.0)
    assert (output.video_duration, output.audio_duration) == (10.0, 10.0)


def test_a_clip_that_begins_after_the_end_takes_the_end() -> None:
    output = plan(source(), [preset(start=100.0, duration=5.0), preset(name="other")], ABLE).outputs[0]
    assert output.video.clip == Span(55.0, 5.0)


def test_a_clip_longer_than_the_film_is_the_film() -> None:
    output = plan(source(duration=2.0), [preset(duration=5.0), preset(name="other")], ABLE).outputs[0]
    assert output.video.clip == Span(0.0, 2.0)


def test_a_clip_of_an_unknown_length_is_taken_as_asked() -> None:
    output = plan(source(duration=0.0), [preset(start=3.0, duration=5.0), preset(name="other")], ABLE).outputs[0]
    assert (output.video.clip, output.video_duration) == (Span(3.0, 5.0), 0.0)


def test_where_only_a_clip_is_wanted_only_the_clip_is_read() -> None:
    made = plan(source(), [preset(start=10.0, duration=3.0, audio=Audio())], ABLE)
    assert made.span == Span(10.0, 3.0)
    assert made.outputs[0].video.clip is None
    assert (made.duration, made.outputs[0].video_duration, made.outputs[0].audio_duration) == (3.0, 3.0, 3.0)


def test_where_the_streams_do_not_say_how_long_they_are_the_longer_one_is_as_long_as_the_file() -> None:
    film = source()
    assert film.audio is not None
    film = replace(film, audio=replace(film.audio, duration=0.0), video=replace(film.video, duration=0.0))
    with_sound, mute = plan(film, PRESETS.pick(["lcd_h265", "h265_mute"]), ABLE).outputs
    assert (with_sound.video_duration, with_sound.audio_duration, with_sound.duration) == (0.0, 0.0, 60.0)
    assert (mute.video_duration, mute.duration) == (0.0, 0.0)


def test_a_silent_film_that_does_not_say_is_as_long_as_the_file() -> None:
    film = source(sound=False)
    film = replace(film, video=replace(film.video, duration=0.0))
    assert plan(film, PRESETS.pick(["lcd_h265"]), ABLE).outputs[0].video_duration == 60.0


def test_a_clip_after_the_end_of_the_sound_has_none() -> None:
    film = source()
    assert film.audio is not None
    film = replace(film, audio=replace(film.audio, duration=5.0))
    output = plan(film, [preset(start=10.0, duration=3.0, audio=Audio()), preset(name="other")], ABLE).outputs[0]
    assert output.audio is None


def test_a_time_range_is_planned_as_the_whole_is() -> None:
    made = plan(source(), PRESETS.all, ABLE, Span(20.0, 10.0))
    assert made.duration == 10.0
    assert {output.video_duration for output in made.outputs} == {10.0}


@pytest.mark.parametrize(
    ("fps", "asked", "forced", "key_frames", "capped"),
    [
        (30.0, None, None, 60, False),
        (59.94, None, None, 120, False),
        (120.0, None, None, 120, True),
        (0.0, None, None, 50, False),
        (0.1, None, None, 1, False),
        (50.0, 25.0, 25.0, 50, False),
        (5.0, 25.0, 25.0, 50, False),
        (0.0001, 25.0, None, 1, False),  # two frames ten hours apart stay two
    ],
)
def test_frame_rates(fps: float, asked: float | None, forced: float | None, key_frames: int, capped: bool) -> None:
    made = plan(source(fps=fps), [preset(fps=asked)], ABLE)
    assert (made.videos[0].fps, made.videos[0].key_frames, made.capped) == (forced, key_frames, capped)


def test_a_picture_is_taken_at_four_seconds_or_before_the_end() -> None:
    wanted = PRESETS.pick(["thumbnail"])
    assert plan(source(), wanted, ABLE).stills[0].at == 4.0
    assert plan(source(duration=1.0), wanted, ABLE).stills[0].at == pytest.approx(0.9)
    assert plan(source(duration=0.0), wanted, ABLE).stills[0].at == 4.0


def test_colours_are_kept_or_what_players_would_assume() -> None:
    def of(**values: object) -> Colour:
        return plan(source(**values), [preset()], ABLE).colour

    assert of() == BT709
    assert of(width=640, height=480) == BT601
    assert of(width=640, height=480, colour=Colour(space="bt709")) == BT709
    assert of(colour=Colour(space="bt470bg")).space == "bt470bg"
    assert of(width=640, height=480, pix_fmt="gbrp") == BT709
    assert of(width=640, height=480, colour=Colour(transfer="smpte2084", space="bt2020nc")) == BT709


def test_hdr_needs_a_build_that_can_tone_map() -> None:
    film = source(colour=Colour(transfer="smpte2084"))
    assert plan(film, PRESETS.all, ABLE)
    with pytest.raises(BuildLacks, match="zscale"):
        plan(film, PRESETS.all, replace(ABLE, filters=frozenset({"tonemap"})))


def test_a_codec_without_decoder_names_it() -> None:
    assert plan(source(codec="av1"), PRESETS.all, ABLE)
    with pytest.raises(BuildLacks, match="cannot decode av1: it lacks libdav1d"):
        plan(source(codec="av1"), PRESETS.all, replace(ABLE, decoders=frozenset({"h264", "av1"})))
