"""Real ffmpeg on a simulated card: every lane makes what was planned, and every failure leads where it should."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.clips import make
from tests.gpu.bench import ALL, FILMS, T4, Bench, bench
from tests.gpu.conftest import GpuSim
from transcode import errors
from transcode.ffmpeg import stall
from transcode.ffmpeg.lanes import Gpu
from transcode.ports import Rendition

__all__ = ["bench"]
QUICK = ["mp4_smooth", "h265_mute"]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("gpu") / "clip.mp4", size="426x240", seconds=2.0, rate=25)


def made_of(clip: Path, path: Path, *options: str) -> Path:
    """A variant of a clip."""
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", str(clip), *options, str(path)], check=True)
    return path


def likeness(one: Path, other: Path) -> float:
    """PSNR of two films in dB, by their pictures' order."""
    done = subprocess.run(
        ["ffmpeg", "-hide_banner", "-nostdin", "-i", str(one), "-i", str(other), "-lavfi",
         "[0:v]setpts=N[a];[1:v]setpts=N[b];[a][b]psnr", "-f", "null", "-"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stderr.partition("average:")[2].split()[0])


def opened(sim: GpuSim) -> tuple[int, int]:
    """Sessions that were opened: decoders, encoders."""
    return len(sim.events("dec_open")), len(sim.events("enc_open"))


def shape(made: list[Rendition]) -> list[tuple[object, ...]]:
    return [(r.type, r.codec, r.width, r.height, r.audio_codec, round(r.duration, 1)) for r in made]


def test_all_types_are_one_decode_and_five_encodes_on_the_card(bench: Bench, clip: Path) -> None:
    made = bench.made(clip, ALL)
    assert {r.lane for r in made if r.type != "thumbnail"} == {"nvdec+nvenc"}
    assert opened(bench.sim) == (1, 5)
    assert {e["frames"] for e in bench.sim.events("enc_close")} == {50}
    assert {e["uuid"] for e in bench.sim.events()} == {bench.sim.uuid()}
    assert bench.device.health.suspicions() == ()


def test_the_lanes_agree(bench: Bench, clip: Path) -> None:
    on_card = bench.made(clip, ALL)
    encoded = Bench(bench.sim, bench.folder, replace(T4, decoders=frozenset())).made(clip, ALL)
    on_cpu = Bench(bench.sim, bench.folder, Gpu()).made(clip, ALL)
    assert shape(on_card) == shape(encoded) == shape(on_cpu)
    assert {r.lane for r in encoded} == {"nvenc", ""}
    assert {r.lane for r in on_cpu} == {"cpu", ""}
    for one, other in zip(encoded, on_cpu, strict=True):
        assert likeness(one.path, other.path) > 30, one.type


def test_a_turned_film_stands_upright_on_the_card(bench: Bench, clip: Path, tmp_path: Path) -> None:
    turned = made_of(clip, tmp_path / "turned.mp4", "-c", "copy", "-metadata:s:v:0", "rotate=90")
    made = bench.made(turned, QUICK)
    assert [(r.lane, r.width, r.height) for r in made] == [("nvenc", 240, 426)] * 2
    on_cpu = Bench(bench.sim, bench.folder, Gpu()).made(turned, QUICK)
    assert likeness(made[0].path, on_cpu[0].path) > 30
    assert opened(bench.sim) == (0, 2)


def test_hdr_becomes_the_same_ordinary_colours_on_the_card(bench: Bench, clip: Path, tmp_path: Path) -> None:
    hdr = made_of(
        clip, tmp_path / "hdr.mp4", "-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le",
        "-x265-params", "log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc", "-c:a", "copy",
    )  # fmt: skip
    made = bench.made(hdr, QUICK)
    on_cpu = Bench(bench.sim, bench.folder, Gpu()).made(hdr, QUICK)
    assert {r.lane for r in made} == {"nvenc"}
    assert likeness(made[0].path, on_cpu[0].path) > 30


def test_ten_bits_are_decoded_on_the_card_and_leave_it_as_eight(bench: Bench, clip: Path, tmp_path: Path) -> None:
    ten = made_of(
        clip, tmp_path / "ten.mp4", "-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le",
        "-x265-params", "log-level=error", "-an",
    )  # fmt: skip
    assert {r.lane for r in bench.made(ten, QUICK)} == {"nvdec+nvenc"}
    assert bench.sim.events("dec_open")[0]["depth"] == 10


def test_what_the_decoder_refuses_after_all_is_decoded_in_software(bench: Bench, clip: Path) -> None:
    bench.sim.control(nvdec="vp9")
    made = bench.made(clip, QUICK)
    assert {r.lane for r in made} <= {"nvdec+nvenc", "nvenc"}
    assert len(made) == 2
    assert opened(bench.sim)[0] == 0


def test_a_decoder_that_fails_in_the_middle_leaves_no_hole(bench: Bench, clip: Path) -> None:
    bench.sim.control(dec_fail_at=20)
    made = bench.made(clip, QUICK)
    assert {r.lane for r in made} == {"nvenc"}
    assert {e["frames"] for e in bench.sim.events("enc_close")[-2:]} == {50}


def test_an_encoder_that_fails_is_the_cards_fault_and_a_good_run_clears_it(bench: Bench, clip: Path) -> None:
    bench.sim.control(fail_at=10)
    with pytest.raises(errors.DeviceFault, match="GPU failed"):
        bench.made(clip, QUICK)
    assert len(bench.device.health.suspicions()) == 1
    bench.sim.control()
    bench.made(clip, QUICK)
    assert bench.device.health.suspicions() == ()


def test_a_card_that_fails_twice_is_sick(bench: Bench, clip: Path) -> None:
    bench.sim.control(fail_at=10)
    for _ in range(2):
        with pytest.raises(errors.DeviceFault):
            bench.made(clip, QUICK)
    assert bench.device.health.sick


def test_a_hung_encode_ends_on_the_next_lane_and_the_card_is_suspected(
    bench: Bench, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall, "AFTER_FIRST", 4.0)
    monkeypatch.setattr(stall, "BEFORE_FIRST", 6.0)
    bench.sim.control(hang_at=20)
    made = bench.made(clip, ["h265_mute"])
    assert [r.lane for r in made] == ["cpu"]
    assert len(bench.device.health.suspicions()) == 2
    assert len(bench.sim.events("hang")) == 2


def test_a_session_limit_is_no_fault_of_the_card(bench: Bench, clip: Path) -> None:
    bench.sim.control(sessions=1)
    with pytest.raises(errors.DeviceBusy, match="No encode session"):
        bench.made(clip, QUICK)
    assert bench.device.health.suspicions() == ()


def test_a_full_memory_is_no_fault_of_the_card(bench: Bench, clip: Path) -> None:
    bench.sim.control(mem_mb=5)
    with pytest.raises(errors.DeviceBusy, match="memory"):
        bench.made(clip, QUICK)
    assert bench.device.health.suspicions() == ()


def test_a_card_that_is_gone_is_told_as_such(bench: Bench, clip: Path) -> None:
    bench.sim.control(count=0)
    with pytest.raises(errors.DeviceFault, match="finds no NVIDIA GPU"):
        bench.made(clip, FILMS)
    assert len(bench.device.health.suspicions()) == 1
