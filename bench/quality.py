"""How good the pictures are for their bits: every preset against its encoder as it comes, at the same bit rate.

Both encode the same lossless pictures in the rendition's size, by the product's own filters and options and in turn;
VMAF (0 to 100; 1 is about what is just not seen) compares them with those pictures. Only the picture, on the CPU.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median
from typing import Any

import imageio_ffmpeg

from bench import clips, meter
from bench.verdict import Found, Ratio, Unmeasured
from transcode.ffmpeg import coders
from transcode.ffmpeg.binaries import at_hand
from transcode.ffmpeg.encoder import FfmpegEncoder
from transcode.ffmpeg.pictures import Pictures
from transcode.ffmpeg.plan import Plan, plan
from transcode.presets import Preset, load

_MEDIA = Path(__file__).parents[2] / "shared" / "media"
# Seconds of each clip from there: long enough for the rate control to settle, short enough for two cores.
_CUT = {"small_video.mp4": 10.0, "encore_test.mp4": 4.0}
# Grain that takes every preset to its ceiling: without it no clip of ours reaches 6 Mb/s. Seconds: the shorter, the
# more a buffer that is full at the start could give beyond the ceiling.
_GRAIN, _GRAINY = "noise=alls=20:allf=t", 3.0
_ENCODERS = {"h264": "libx264", "hevc": "libx265"}
# How far the two bit rates may be apart, as a share: 2 % is about 0.2 points. The runs until they are, at most.
_NEAR, _TRIES = 0.02, 3
# Every so many frames are compared: all would take most of the time and change the mean by less than 0.1.
_EVERY = 3
# What two runs of the same differ by on a busy machine: points of VMAF, and a share of the processor time.
_POINTS, _SHARE = 0.2, 0.05
_SCORE = re.compile(r"VMAF score: ([\d.]+)")


@dataclass(frozen=True)
class Made:
    """One encode: kilobits per second, processor seconds, and the mean VMAF, 0 before it is measured."""

    kbps: float
    cpu: float
    vmaf: float = 0.0


@dataclass(frozen=True)
class Pair:
    """A preset's encode of a clip, and the plain one."""

    preset: str
    clip: str
    cap: int | None
    ours: Made
    plain: Made

    @property
    def share(self) -> float:
        """Of the ceiling, what was used; 0 where there is none."""
        return self.ours.kbps * 1000 / self.cap if self.cap else 0.0

    def row(self) -> dict[str, Any]:
        """For people."""
        return {
            "preset": self.preset, "clip": self.clip, "kb/s": round(self.ours.kbps),
            "plain kb/s": round(self.plain.kbps), "cap kb/s": self.cap // 1000 if self.cap else "",
            "of cap": f"{self.share:.2f}" if self.cap else "", "vmaf": round(self.ours.vmaf, 2),
            "plain vmaf": round(self.plain.vmaf, 2), "cpu s": round(self.ours.cpu, 1),
            "plain cpu s": round(self.plain.cpu, 1),
        }  # fmt: skip


def measure(rounds: int) -> Found:
    """Every preset on every clip."""
    _check_meter()
    with tempfile.TemporaryDirectory() as name:
        pairs = [
            _pair(Path(name), clip, part, rounds)
            for clip, presets in _clips(Path(name))
            for part in _parts(clip, presets)
        ]  # fmt: skip
    presets = {preset: [p for p in pairs if p.preset == preset] for preset in dict.fromkeys(p.preset for p in pairs)}
    dominated = [preset for preset, some in presets.items() if _gain(some) < -_POINTS and _cost(some) > 1 + _SHARE]
    return Found(
        [*_ratios(presets), Ratio("dominated presets", len(dominated), at_most=0)],
        {"quality": [pair.row() for pair in pairs]},
        {"dominated": dominated, "vmaf beyond plain": {preset: round(_gain(p), 2) for preset, p in presets.items()}},
    )


def _ratios(presets: dict[str, list[Pair]]) -> Iterator[Ratio]:
    for preset, pairs in presets.items():
        if pairs[0].cap:
            yield Ratio(f"{preset}: bits / the cap, worst clip", max(pair.share for pair in pairs), at_most=1.0)
        yield Ratio(f"{preset}: cpu / plain", _cost(pairs))


def _gain(pairs: Sequence[Pair]) -> float:
    """Points of VMAF that the preset has more than the plain encode."""
    return mean(pair.ours.vmaf - pair.plain.vmaf for pair in pairs)


def _cost(pairs: Sequence[Pair]) -> float:
    return sum(pair.ours.cpu for pair in pairs) / sum(pair.plain.cpu for pair in pairs)


def _check_meter() -> None:
    line = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-filters"]
    if " libvmaf " not in subprocess.run(line, capture_output=True, text=True, check=True).stdout:
        raise Unmeasured("the packaged ffmpeg has no libvmaf; `make build` installs an imageio-ffmpeg that has it")


def _clips(folder: Path) -> Iterator[tuple[Path, list[Preset]]]:
    """Real films with all presets, and with those that have a ceiling one that would take far more."""
    films = [preset for preset in load().all if preset.media == "video"]
    yield clips.bunny(), films
    hard = folder / "grainy bunny.mp4"
    coder = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "10"]
    _run("-i", clips.bunny(), "-t", _GRAINY, "-an", "-vf", _GRAIN, *coder, hard)
    yield hard, [preset for preset in films if preset.max_bitrate]
    for name, seconds in _CUT.items():
        if (_MEDIA / name).exists():
            _run("-i", _MEDIA / name, "-t", seconds, "-map", "0:v:0", "-c", "copy", folder / name)
            yield folder / name, films


def _parts(clip: Path, presets: Sequence[Preset]) -> Iterator[Plan]:
    """A plan for each encode, on the CPU."""
    encoder = FfmpegEncoder(at_hand(), threads=meter.CORES)
    yield from plan(encoder.probe(clip), presets, encoder.capabilities).apart()


def _pair(folder: Path, clip: Path, part: Plan, rounds: int) -> Pair:
    (track,) = part.videos
    drawn, pictures = Pictures(part), folder / "pictures.nut"
    # utvideo loses nothing and costs next to nothing to decode; nut keeps every timestamp.
    _run(
        "-i", clip, "-filter_complex", ";".join(drawn.chains), "-map", drawn.labels[track], "-c:v", "utvideo", pictures
    )
    both = []
    for _ in range(rounds):
        ours = _seen(_made(pictures, coders.options(part, track, 0)), pictures)
        both.append((ours, _seen(_matched(pictures, _ENCODERS[track.codec], ours.kbps), pictures)))
    ours, plain = (_median(some) for some in zip(*both, strict=True))
    return Pair(part.outputs[0].type, clip.stem, track.max_bitrate, ours, plain)


def _median(some: Sequence[Made]) -> Made:
    return Made(median(m.kbps for m in some), median(m.cpu for m in some), median(m.vmaf for m in some))


def _matched(pictures: Path, encoder: str, kbps: float) -> Made:
    """The encoder as it comes, asked for other bit rates until it makes this one."""
    asked = kbps
    for _ in range(_TRIES):
        made = _made(pictures, ["-c:v", encoder, "-b:v", f"{asked * 1000:.0f}"])
        if abs(made.kbps / kbps - 1) <= _NEAR:
            break
        asked *= kbps / made.kbps
    return made


def _made(pictures: Path, options: Sequence[str]) -> Made:
    out = pictures.with_suffix(".mp4")
    cost = meter.of_commands([_line("-i", pictures, *options, out)], pictures.parent)
    asked = [str(at_hand().ffprobe), "-v", "error", "-show_entries", "stream=bit_rate", "-of", "json", str(out)]
    told = json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)
    return Made(int(told["streams"][0]["bit_rate"]) / 1000, cost.cpu)


def _seen(made: Made, pictures: Path) -> Made:
    """With its VMAF, while its file still lies there."""
    # By the order of the frames, on one clock: containers round times differently, and a frame amiss is a score of 0.
    pair = ";".join(f"[{number}:v]settb=AVTB,setpts=N[film{number}]" for number in (0, 1))
    compared = f"{pair};[film0][film1]libvmaf=n_threads={meter.CORES}:n_subsample={_EVERY}"
    line = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-i", pictures.with_suffix(".mp4"), "-i", pictures]
    ended = subprocess.run(
        [*line, "-lavfi", compared, "-f", "null", "-"], capture_output=True, text=True, check=True
    )  # fmt: skip
    return replace(made, vmaf=float(_SCORE.findall(ended.stderr)[-1]))


def _line(*words: object) -> list[str]:
    return [str(at_hand().ffmpeg), "-v", "error", "-nostdin", "-y", *map(str, words)]


def _run(*words: object) -> None:
    subprocess.run(_line(*words), check=True, stdin=subprocess.DEVNULL)
