"""An encoder on a simulated card, in this process: only ffmpeg sees the card, through a script in its place."""

import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.gpu.conftest import GpuSim
from transcode import presets
from transcode.ffmpeg import binaries, gpu
from transcode.ffmpeg.binaries import Tools
from transcode.ffmpeg.encoder import FfmpegEncoder
from transcode.ffmpeg.gpu import Device
from transcode.ffmpeg.lanes import Gpu, Nvenc
from transcode.ffmpeg.nvml import Card
from transcode.ffmpeg.trials import Examined
from transcode.ports import Progress, RenderJob, Rendition, TypeFailure

# What an examination of the simulated T4 finds; tests of faults begin with it and save the examination.
T4 = Gpu(
    {"h264": Nvenc(), "hevc": Nvenc()}, frozenset({"h264", "hevc", "hevc 10", "vp9", "mpeg2video", "mpeg4"}),
    "yadif_cuda",
)  # fmt: skip
ALL = [preset.name for preset in presets.load().all]
FILMS = [preset.name for preset in presets.load().all if preset.media == "video"]


@dataclass
class Calm:
    """A watch that wants nothing."""

    seen: list[Progress] = field(default_factory=list)

    def progress(self, progress: Progress) -> None:
        """As the port says."""
        self.seen.append(progress)

    def check(self) -> None:
        """As the port says."""


@dataclass
class Bench:
    """A simulated card, the tools that see it, and a folder."""

    sim: GpuSim
    folder: Path
    known: Gpu = T4

    @property
    def card(self) -> Card:
        """As NVML tells of it."""
        return Card(0, self.sim.uuid(), "Tesla T4", "580.95.05", 15360 * 1024**2)

    @property
    def tools(self) -> Tools:
        """ffmpeg with the card before its eyes."""
        plain = binaries.at_hand(shutil.which("ffmpeg") or "", shutil.which("ffprobe") or "")
        script = self.folder / "ffmpeg"
        if script.exists():
            return replace(plain, ffmpeg=script)
        told = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in self.sim.environment().items())
        script.write_text(f'#!/bin/sh\n{told}exec {plain.ffmpeg} "$@"\n')
        script.chmod(0o755)
        return replace(plain, ffmpeg=script)

    @property
    def device(self) -> Device:
        """The card, taken for examined."""
        return Device(self.card, self.folder / "card", self.known)

    def examined(self) -> Examined:
        """The card, really examined."""
        return gpu.examine(self.tools, self.card, self.folder / "card")

    def render(self, clip: Path, types: list[str]) -> Iterator[Rendition | TypeFailure]:
        """Make these types of a clip on the card."""
        encoder = FfmpegEncoder(self.tools, 2, self.device)
        out = self.folder / f"out{len(list(self.folder.glob('out*')))}"
        out.mkdir()
        wanted = presets.load().pick(types)
        yield from encoder.render(RenderJob(clip, out, encoder.probe(clip), wanted, Calm()))

    def made(self, clip: Path, types: list[str]) -> list[Rendition]:
        """All renditions, none of them failed."""
        found = list(self.render(clip, types))
        assert all(isinstance(one, Rendition) for one in found), found
        return [one for one in found if isinstance(one, Rendition)]


@pytest.fixture
def bench(gpusim: GpuSim, tmp_path: Path) -> Bench:
    """A bench of its own for each test."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg on the PATH; the simulated driver is too old for the packaged one")
    return Bench(gpusim, tmp_path)
