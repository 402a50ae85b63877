from dataclasses import replace
from typing import Any

import pytest

from tests.unit.ffmpeg.sources import ABLE, PRESETS, T4, preset, source
from transcode.ffmpeg import coders
from transcode.ffmpeg.plan import Plan, Span, plan
from transcode.presets import Preset

CAPPED = ("mp4_standard", "mp4_smooth", "hdlbr_h265", "h265_mute")


def told(made: Plan, place: int = 0) -> dict[str, str]:
    """The options of one encode, by name."""
    words = coders.options(made, made.videos[place], 0)
    return {name.partition(":")[0]: value for name, value in zip(words[::2], words[1::2], strict=True)}


def seconds(wanted: Preset, **values: Any) -> tuple[float, float]:
    """What may flow in per second, and what the buffer holds, both as seconds of the ceiling."""
    found = told(plan(source(**values), [wanted], ABLE))
    assert wanted.max_bitrate is not None
    return int(found["-maxrate"]) / wanted.max_bitrate, int(found["-bufsize"]) / wanted.max_bitrate


@pytest.mark.parametrize("name", CAPPED)
@pytest.mark.parametrize("length", [1.0, 2.0, 5.0, 10.0, 30.0, 7200.0])
def test_what_flows_in_and_what_was_there_keep_the_ceiling_whatever_the_length(name: str, length: float) -> None:
    (wanted,) = PRESETS.pick([name])
    inflow, buffer = seconds(wanted, duration=length)
    assert inflow * length + buffer <= length


def test_less_than_a_second_may_take_the_bits_of_one() -> None:
    wanted = preset(max_bitrate=1_000_000)
    assert seconds(wanted, duration=0.04) == seconds(wanted, duration=1.0)


@pytest.mark.parametrize(("length", "least"), [(5.0, 0.83), (30.0, 0.93), (60.0, 0.96), (7200.0, 0.999)])
def test_the_longer_the_film_the_more_of_its_ceiling_flows_in(length: float, least: float) -> None:
    inflow, _ = seconds(preset(max_bitrate=1_000_000), duration=length)
    assert least <= inflow < 1


@pytest.mark.parametrize(("length", "wanted"), [(2.0, 1.0), (15.0, 1.5), (60.0, 2.0)])
def test_the_buffer_is_of_one_second_in_a_short_film_and_of_two_in_a_long_one(length: float, wanted: float) -> None:
    inflow, buffer = seconds(preset(max_bitrate=1_000_000), duration=length)
    assert buffer / inflow == pytest.approx(wanted, rel=1e-3)


def test_a_clip_of_a_long_film_is_a_short_film() -> None:
    alone = seconds(preset(max_bitrate=1_000_000, start=10.0, duration=5.0))
    assert alone == seconds(preset(max_bitrate=1_000_000), duration=5.0)
    clip = preset(max_bitrate=1_000_000, start=10.0, duration=5.0)
    beside = plan(source(), [clip, preset(name="whole", max_bitrate=1_000_000)], ABLE)
    assert [int(told(beside, place)["-maxrate"]) < 850_000 for place in (0, 1)] == [True, False]


def test_a_time_range_of_a_film_is_a_film() -> None:
    wanted = preset(max_bitrate=1_000_000)
    part = told(plan(source(), [wanted], ABLE, Span(50.0, None)))
    assert part["-maxrate"] == told(plan(source(duration=10.0), [wanted], ABLE))["-maxrate"]


def test_sound_that_goes_on_gives_the_picture_no_bits() -> None:
    short = source(duration=5.0)
    long = replace(short, duration=60.0)
    wanted = preset(max_bitrate=1_000_000)
    assert told(plan(long, [wanted], ABLE))["-maxrate"] == told(plan(short, [wanted], ABLE))["-maxrate"]


def test_where_only_the_file_says_how_long_it_is_it_is_believed() -> None:
    whole = source(duration=5.0)
    silent = replace(whole, video=replace(whole.video, duration=0.0))
    wanted = preset(max_bitrate=1_000_000)
    assert told(plan(silent, [wanted], ABLE))["-maxrate"] == told(plan(whole, [wanted], ABLE))["-maxrate"]


def test_a_film_of_unknown_length_is_taken_for_a_short_one() -> None:
    wanted = preset(max_bitrate=1_000_000)
    assert seconds(wanted, duration=0.0) == seconds(wanted, duration=10.0)


def test_the_card_is_told_the_same_ceiling() -> None:
    short = source(duration=5.0)
    here, there = (told(plan(short, PRESETS.pick(["h265_mute"]), replace(ABLE, gpu=gpu))) for gpu in (None, T4))
    assert [here[name] for name in ("-maxrate", "-bufsize")] == [there[name] for name in ("-maxrate", "-bufsize")]


def test_without_a_ceiling_there_is_none() -> None:
    assert not {"-maxrate", "-bufsize"} & told(plan(source(), PRESETS.pick(["lcd_h265"]), ABLE)).keys()
