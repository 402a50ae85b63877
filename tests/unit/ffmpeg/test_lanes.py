"""Which lanes take a film, and in which order."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.ffmpeg.sources import A100, ABLE, PRESETS, T4, source
from transcode.ffmpeg.lanes import Gpu, Lane, Nvenc
from transcode.ffmpeg.plan import Plan, plan
from transcode.ffmpeg.probe import Colour

ON_GPU, ENCODED, DECODED, CPU = Lane.NVDEC_NVENC, Lane.NVENC, Lane.NVDEC, Lane.CPU


def planned(gpu: Gpu | None = T4, **film: Any) -> Plan:
    able = replace(ABLE, gpu=gpu, decoders=ABLE.decoders | {"vp9", "prores", "mpeg2video"})
    return plan(source(**film), PRESETS.all, able)


@pytest.mark.parametrize(
    "film",
    [{}, {"codec": "hevc"}, {"codec": "hevc", "bit_depth": 10, "pix_fmt": "yuv420p10le"}, {"interlaced": True},
     {"fps": 120.0}, {"width": 1080, "height": 1920}],
)  # fmt: skip
def test_what_the_card_can_do_alone_stays_in_its_memory(film: dict[str, Any]) -> None:
    assert planned(**film).lanes == (ON_GPU, ENCODED, CPU)


@pytest.mark.parametrize(
    "film",
    [{"rotation": 90}, {"colour": Colour(transfer="smpte2084")}, {"colour": Colour(range="pc")}, {"cropped": True},
     {"pix_fmt": "gbrp"}, {"pix_fmt": "yuv422p"}, {"bit_depth": 10, "pix_fmt": "yuv420p10le"}, {"codec": "prores"},
     {"width": 320, "height": 136}],
)  # fmt: skip
def test_what_needs_the_cpu_first_is_still_encoded_on_the_card(film: dict[str, Any]) -> None:
    assert planned(**film).lanes == (ENCODED, CPU)


def test_pictures_that_no_card_encodes_go_to_the_cpu() -> None:
    assert planned(width=144, height=144).lanes == (CPU,)
    assert plan(source(width=8192, height=4096), PRESETS.pick(["h265_mute"]), replace(ABLE, gpu=T4)).lanes[0] is ON_GPU


def test_without_a_deinterlacer_of_the_card_fields_become_frames_on_the_cpu() -> None:
    assert planned(replace(T4, deinterlacer=""), interlaced=True).lanes == (ENCODED, CPU)


def test_a_card_that_encodes_one_codec_only_takes_only_films_of_that_codec() -> None:
    half = replace(T4, encoders={"h264": Nvenc()})
    assert planned(half).lanes == (CPU,)
    assert plan(source(), PRESETS.pick(["mp4_smooth"]), replace(ABLE, gpu=half)).lanes[0] is ON_GPU


def test_a_card_without_encoders_decodes_where_that_is_worth_it() -> None:
    assert planned(A100).lanes == (CPU,)
    assert planned(A100, width=3840, height=2160).lanes == (DECODED, CPU)
    assert planned(A100, codec="hevc", bit_depth=10, pix_fmt="yuv420p10le").lanes == (DECODED, CPU)
    assert planned(A100, codec="prores", width=3840, height=2160).lanes == (CPU,)


def test_without_a_card_and_without_films_there_is_only_the_cpu() -> None:
    assert planned(None).lanes == (CPU,)
    assert plan(source(), PRESETS.pick(["thumbnail"]), replace(ABLE, gpu=T4)).lanes == (CPU,)


def test_the_lanes_agree_in_sizes_lengths_and_tracks() -> None:
    made = planned(rotation=0)
    for lane in made.lanes:
        other = made.on(lane, made.outputs)
        assert (other.outputs, other.videos, other.audios) == (made.outputs, made.videos, made.audios)
        assert other.lane is lane
