"""What a card can do is found by doing, and what it cannot is told with what to do about it."""

import pytest

from tests.gpu.bench import Bench, bench
from transcode.ffmpeg import gpu
from transcode.ffmpeg.lanes import Nvenc

__all__ = ["bench"]


def test_a_t4_encodes_and_decodes_and_is_examined_once(bench: Bench) -> None:
    folder = bench.folder / "card"
    found = gpu.device.__wrapped__(bench.tools, bench.card, folder)
    assert found.gpu.encoders == {"h264": Nvenc(), "hevc": Nvenc()}
    assert found.gpu.decoders >= {"h264", "hevc", "hevc 10", "mpeg2video"}
    assert (found.gpu.deinterlacer, found.gpu.sessions) == ("yadif_cuda", None)
    sessions = len(bench.sim.events("enc_open"))
    assert gpu.device.__wrapped__(bench.tools, bench.card, folder) == found
    assert len(bench.sim.events("enc_open")) == sessions


def test_a_card_without_encoders_is_good_for_decoding(bench: Bench) -> None:
    bench.sim.control(nvenc=0)
    found = bench.examined()
    assert (found.kind, found.gpu.encoders) == ("nvdec", {})
    assert "A100, H100 and H200 have none" in found.notes[0]
    assert gpu.canary(bench.tools, bench.card, bench.folder / "card") == ""


@pytest.mark.slow
def test_a_session_limit_is_found(bench: Bench) -> None:
    bench.sim.control(sessions=3, nvdec="h264")
    assert bench.examined().gpu.sessions == 3


@pytest.mark.slow
def test_a_driver_that_is_too_old_is_told_with_the_one_that_is_needed(bench: Bench) -> None:
    bench.sim.control(nvenc_api="11.0")
    found = bench.examined()
    assert found.kind == "nvdec"
    assert "needs the NVIDIA driver 470.57.02 or newer; update it, or set FFMPEG_PATH" in found.notes[0]


@pytest.mark.slow
def test_a_card_that_no_longer_encodes_fails_its_canary_though_it_decodes(bench: Bench) -> None:
    folder = bench.folder / "card"
    bench.sim.control(nvdec="h264")
    assert gpu.canary(bench.tools, bench.card, folder) == ""
    bench.sim.control(nvdec="h264", fail_at=20)
    assert "can no longer encode h264, encode hevc" in gpu.canary(bench.tools, bench.card, folder)
    bench.sim.control(nvdec="h264")
    assert gpu.canary(bench.tools, bench.card, folder) == ""


def test_what_a_busy_card_could_not_show_is_not_remembered(bench: Bench) -> None:
    folder = bench.folder / "card"
    bench.sim.control(sessions=0, nvdec="h264")
    assert gpu.canary(bench.tools, bench.card, folder) == ""
    assert not (folder / "seen.json").exists()


def test_a_card_that_is_gone_fails_its_canary(bench: Bench) -> None:
    bench.sim.control(count=0)
    assert "finds no NVIDIA GPU" in gpu.canary(bench.tools, bench.card, bench.folder / "card")


@pytest.mark.slow
def test_decoders_are_those_that_yield_frames_of_the_card(bench: Bench) -> None:
    bench.sim.control(nvdec="hevc")
    assert bench.examined().gpu.decoders == {"hevc", "hevc 10"}


@pytest.mark.parametrize("damage", ["{", "[]", '{"of": 1}'])
def test_what_was_kept_and_cannot_be_read_is_examined_anew(bench: Bench, damage: str) -> None:
    folder = bench.folder / "card"
    folder.mkdir()
    (folder / "seen.json").write_text(damage)
    assert gpu._kept(bench.tools, bench.card, folder) is None
