"""The stand-in for ffmpeg: it does what the clip's recipe says, and marks every output.

What is not replaced: `ffmpeg.runner` starts a real process per encode, in its own group, that dies with the
worker and can be killed like ffmpeg; only the program is `sleep`, under the name `NAME`.
"""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.soak.recipes import HELD, Mark, Recipe
from transcode.errors import EncoderCrashed, EncoderFailed, InputNotMedia, Stopped, TranscodeError
from transcode.ffmpeg.probe import Source, Video
from transcode.ffmpeg.runner import Limits, run
from transcode.ports import Progress, RenderJob, Rendition, TypeFailure
from transcode.presets import Preset

# How its processes are called: by this the soak finds them, in the process table and after the end.
NAME = "soak-ffmpeg"
# Seconds. Whatever stalls is ended soon; whatever does not, has time on a busy machine.
_STALLED, _PATIENT = Limits(1.0), Limits(60.0)


@dataclass(frozen=True)
class StandIn:
    """`ports.Encoder`. `program` is a `sleep` by the name `NAME`."""

    program: Path

    def probe(self, path: Path) -> Source:
        """As the port says."""
        recipe = Recipe.of(path.read_bytes())
        if recipe.kind == "bad":
            raise InputNotMedia("The clip says that it is no video.")
        if recipe.kind == "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        return Source("mov", 10.0, path.stat().st_size, Video(index=0, codec="h264", width=1280, height=720))

    def render(self, job: RenderJob) -> Iterator[Rendition | TypeFailure]:
        """As the port says: pictures first, the films after one encode."""
        recipe = Recipe.of(job.input.read_bytes())
        for preset in sorted(job.presets, key=lambda p: p.media != "image"):
            try:
                yield self._make(job, preset, recipe)
            except Stopped:
                raise
            except TranscodeError as error:
                if not job.separately:
                    raise
                yield TypeFailure(preset.name, error)

    def _make(self, job: RenderJob, preset: Preset, recipe: Recipe) -> Rendition:
        mark = Mark(job.folder.parents[1].name, int(job.folder.parent.name), preset.name)
        quick = preset.media == "image" or (recipe.kind == HELD and mark.epoch > 1)
        self._encode(job, recipe, 0.05 if quick else recipe.seconds)
        if recipe.kind == "flaky" and mark.epoch == 1:
            raise EncoderFailed("The clip says that its first attempt fails.")
        if recipe.kind == "part" and preset.media == "video":
            raise EncoderFailed("The clip says that this type fails.")
        path = job.folder / f"{preset.name}.{preset.ext}"
        path.write_bytes(mark.output())
        return Rendition(preset.name, path, "video/mp4", path.stat().st_size, codec=preset.codec)

    def _encode(self, job: RenderJob, recipe: Recipe, seconds: float) -> None:
        stalls = recipe.kind == "stall"
        job.watch.progress(Progress(percent=50.0, fps=25.0, speed=1.0))
        command = [str(self.program), "60" if stalls else str(seconds)]
        ended = run(command, _STALLED if stalls else _PATIENT, folder=job.folder, check=job.watch.check)
        if ended.status < 0:
            raise EncoderCrashed(f"The stand-in was killed by signal {-ended.status}.")
