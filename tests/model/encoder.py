"""`ports.Encoder` in the simulation: takes time, reports progress, and fails as the kind of video demands.

The kind is the first word of the input's key. `ok` works. `flaky` fails twice, then works. `bad` is no
video. `poison` kills its worker. `half` can never make one type. `crash` loses one type three times. `card`
meets four broken cards, then a good one; `burns` finds no card that bears it.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.model.clockwork import Clockwork
from transcode.errors import DeviceFault, EncoderCrashed, EncoderFailed, InputNotMedia, OutputInvalid, TranscodeError
from transcode.ffmpeg.probe import Source, Video
from transcode.ports import Progress, RenderJob, Rendition, TypeFailure
from transcode.presets import Preset

KINDS = {"ok": 8, "flaky": 2, "half": 2, "crash": 2, "bad": 1, "poison": 1, "card": 1, "burns": 1}
_FAILURES: dict[str, TranscodeError] = {
    "flaky": EncoderFailed("ffmpeg failed."), "crash": EncoderCrashed("ffmpeg crashed."),
    "card": DeviceFault("The GPU failed."),
}  # fmt: skip
# The type that `half` and `crash` cannot make.
_HARD = "mp4_smooth"
# Seconds of one step of an encode, three of them per type: some runs are shorter than a lease, some far longer.
_STEP = (1.0, 25.0)
_SOURCE = Source("mov", 10.0, 1000, Video(index=0, codec="h264", width=1280, height=720))


class SimEncoder:
    """One for all workers: how often a file has failed is a fact about the file."""

    def __init__(self, clock: Clockwork) -> None:
        self._clock = clock
        self._failures: Counter[str] = Counter()

    def probe(self, path: Path) -> Source:
        """As the port says."""
        self._clock.sleep(0.1)
        if path.read_text().startswith("bad"):
            raise InputNotMedia("The file is no video.")
        return _SOURCE

    def render(self, job: RenderJob) -> Iterator[Rendition | TypeFailure]:
        """As the port says."""
        key = job.input.read_text()
        presets = sorted(job.presets, key=lambda p: p.media != "image")
        for done, preset in enumerate(presets):
            self._encode(job, key, 100.0 * done / len(presets))
            error = self._failure(key, preset.name)
            if error is None:
                yield self._rendition(job, preset)
            elif job.separately and not isinstance(error, DeviceFault):
                yield TypeFailure(preset.name, error)
            else:
                raise error

    def _encode(self, job: RenderJob, key: str, percent: float) -> None:
        for _ in range(3):
            job.watch.check()
            self._clock.sleep(self._clock.dice.uniform(*_STEP))
            if key.startswith("poison"):
                self._clock.say("poison")
                self._clock.kill()
            job.watch.progress(Progress(percent))
            job.watch.check()

    def _failure(self, key: str, name: str) -> TranscodeError | None:
        kind = key.partition("-")[0]
        if kind == "half" and name == _HARD:
            return OutputInvalid("The rendition is too short.")
        if kind == "burns":
            return DeviceFault("The GPU failed.")
        bound = {"flaky": 2, "crash": 3, "card": 4}.get(kind, 0) if kind in ("flaky", "card") or name == _HARD else 0
        if self._failures[key] >= bound:
            return None
        self._failures[key] += 1
        return _FAILURES[kind]

    @staticmethod
    def _rendition(job: RenderJob, preset: Preset) -> Rendition:
        path = job.folder / f"{preset.name}.{preset.ext}"
        path.write_text(preset.name)
        return Rendition(preset.name, path, preset.content_type, len(preset.name), codec="sim")
