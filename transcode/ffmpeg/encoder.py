"""ffmpeg as the use cases see it: `ports.Encoder`. The order of the steps is here, each step is elsewhere.

Pictures and the sound that wants a loudness at the same time, as neither keeps the processors busy; then one ffmpeg for
all films; then every film is checked.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from transcode import logs
from transcode.errors import (
    DeviceFault,
    DiskFull,
    InputCorrupt,
    InputEmpty,
    InputNotMedia,
    InputTruncated,
    LaneUnfit,
    Stopped,
    TranscodeError,
)
from transcode.ffmpeg import bench, binaries, check, command, failures, gpu, guard, nvml, seen, sound, still
from transcode.ffmpeg.bench import Bench
from transcode.ffmpeg.binaries import Tools
from transcode.ffmpeg.gpu import Device
from transcode.ffmpeg.lanes import Capabilities
from transcode.ffmpeg.plan import AudioTrack, Output, Plan, Still, plan
from transcode.ffmpeg.probe import Source, read
from transcode.ffmpeg.progress import Report, progress
from transcode.ffmpeg.sound import Sound
from transcode.ports import RenderJob, Rendition, TypeFailure
from transcode.settings import Settings

log = logs.get(__name__)

# Pictures and sounds that are made at once.
_ASIDE = 2
# Films that are verified at once: mostly it is the start of ffprobe that takes time.
_CHECKS = 4

# Where a container's share of the processors stands: microseconds of each period, or `max`.
_CONTAINER_CPU = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class FfmpegEncoder:
    """The encoder of one worker."""

    tools: Tools
    threads: int = 2
    device: Device | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> "FfmpegEncoder":
        """The encoder of a worker with these settings, on the card that it is pinned to if it is.

        Each task may use all cores: alone it is done sooner (on two cores by a fifth), and two at once take no longer
        than with half of the threads each, in wall and processor time.

        Raises:
            SettingsError: there is no ffmpeg that works, or the sandbox that is asked for does not hold here.
            DeviceFault: the card does not answer.
        """
        tools = binaries.find(settings)
        tools = replace(tools, sandbox=seen.sandbox(settings.sandbox, tools.ffmpeg, tools.ffprobe))
        card = nvml.pinned()
        if card is None and nvml.wanted():
            # It must not take work for the CPU lane, which is slow, where a fast card is only away for a moment.
            raise DeviceFault(f"The GPU {nvml.wanted()}, to which this worker is pinned, does not answer.")
        device = gpu.device(tools, card, settings.card_folder(card.uuid)) if card else None
        return cls(tools, math.ceil(_cores()), device)

    @property
    def capabilities(self) -> Capabilities:
        """What this worker can do."""
        seen_to_do = self.device.gpu if self.device else None
        return Capabilities(self.tools.filters, self.tools.decoders, self.threads, seen_to_do)

    def probe(self, path: Path) -> Source:
        """As the port says."""
        if not path.stat().st_size:
            raise InputEmpty("The file has no bytes.")
        line = command.probe(self.tools.ffprobe, path.absolute())
        try:
            ended = bench.look(line, self.tools.sandbox.cell([path.absolute()]))
        except InputTruncated as error:
            if "moov atom" not in error.output or guard.begins_like_mov(path):
                raise
            raise InputNotMedia(failures.NOT_MEDIA, command=error.command, output=error.output) from error
        try:
            return read(ended.answer)
        except InputCorrupt as error:
            raise failures.explained(error, ended, line) from error

    def render(self, job: RenderJob) -> Iterator[Rendition | TypeFailure]:
        """As the port says."""
        planned = plan(job.source, job.presets, self.capabilities)
        work = Bench(self.tools, job, self.device)
        parts = planned.apart(1 if job.separately else self._at_once(planned))
        with ThreadPoolExecutor(_ASIDE, "aside") as pool:
            looked = [_guarded(job, [wanted.type], _picture(work, planned, wanted)) for wanted in planned.stills]
            looks = [pool.submit(list, one) for one in looked]
            sounds = [pool.submit(_sound, work, part) for part in parts]
        pictures = [picture for look in looks for picture in look.result()]
        for number, (part, made) in enumerate(zip(parts, sounds, strict=True)):
            films = _films(work, part, made, number / len(parts), 1 / len(parts))
            yield from _guarded(job, [output.type for output in part.outputs], films)
        # Last: whoever sends one has to wait for the line, and the encode would wait with it.
        yield from pictures

    def _at_once(self, planned: Plan) -> int:
        """Encodes in one run: all, or as many as the card's driver allows."""
        sessions = planned.gpu.sessions if planned.gpu and planned.lane.encodes else None
        return min(sessions or len(planned.videos), len(planned.videos)) or 1


def _cores() -> float:
    """Cores that this process may use: its affinity, or what its container is given if that is less."""
    cores = float(len(os.sched_getaffinity(0)))
    try:
        quota, period = _CONTAINER_CPU.read_text().split()
        return min(cores, int(quota) / int(period))
    except (OSError, ValueError):
        return cores  # no container, or one without a limit


def _guarded(job: RenderJob, types: Sequence[str], made: Iterator[Rendition]) -> Iterator[Rendition | TypeFailure]:
    """Pass on what is made; where types are made separately, a failure is theirs alone."""
    missing = list(types)
    try:
        for rendition in made:
            missing.remove(rendition.type)
            yield rendition
    except (Stopped, DeviceFault):
        raise
    except TranscodeError as error:
        if not job.separately:
            raise
        yield from (TypeFailure(type_, error) for type_ in missing)


def _picture(work: Bench, planned: Plan, wanted: Still) -> Iterator[Rendition]:
    """The first picture that a look finds."""
    path = work.job.folder.absolute() / wanted.file_name
    for look in still.looks(wanted):
        line = still.picture(work.tools.ffmpeg, work.input, planned, wanted, look)
        with work.timed("thumbnail"):
            work.encode(line)
        if path.is_file() and path.stat().st_size:
            yield check.picture(wanted, path, work.look(command.check(work.tools.ffprobe, path)))
            return
    raise InputCorrupt("Not one picture of the film could be decoded.", command=failures.shown(line))


def _sound(work: Bench, part: Plan) -> dict[AudioTrack, Sound]:
    with work.timed("loudness"):
        return sound.make(work, part)


def _films(
    work: Bench, part: Plan, made: Future[dict[AudioTrack, Sound]], done: float, share: float
) -> Iterator[Rendition]:
    """All films of a plan in one run, with the sound that was made for them."""
    sounds = made.result()
    try:
        yield from _on_first_lane(work, part, sounds, done, share)
    finally:
        sound.clear(work, sounds)


def _on_first_lane(
    work: Bench, part: Plan, sounds: Mapping[AudioTrack, Sound], done: float, share: float
) -> Iterator[Rendition]:
    """All films of a plan in one run, on the first lane that proves to take them.

    On the lanes of a card a failure may be the card's or the lane's; only the CPU's word on a file is final. What
    is the card's for certain is not tried here again: the task goes to another card.
    """
    missing = list(part.outputs)
    for lane in part.lanes:
        try:
            for made in _on_lane(work, part.on(lane, missing), sounds, done, share):
                missing = [output for output in missing if output.type != made.type]
                yield made
            return
        except (Stopped, DiskFull, DeviceFault):
            raise
        except TranscodeError as error:
            if lane is part.lanes[-1]:
                raise
            log.warning("Lane given up", lane=lane.value, code=error.code, why=str(error), output=error.output[-500:])


def _on_lane(
    work: Bench, part: Plan, sounds: Mapping[AudioTrack, Sound], done: float, share: float
) -> Iterator[Rendition]:
    """One run of ffmpeg, then each film checked."""
    ready = {track: made.file_name for track, made in sounds.items()}
    line = command.encode(work.tools.ffmpeg, work.input, part, ready)

    def tell(report: Report) -> None:
        work.job.watch.progress(progress(report, part.duration, done, share))

    words = work.encode_plan(line, part, tell)
    damaged = failures.damage(words)
    if damaged and part.lane.decodes:
        raise LaneUnfit("The GPU's decoder complained of this film.", command=failures.shown(line), output=words)
    with work.timed("verify"), ThreadPoolExecutor(min(part.threads, _CHECKS), "verify") as pool:
        looks = [pool.submit(_look, work, output) for output in part.outputs]
    for output, look in zip(part.outputs, looks, strict=True):
        heard = sounds.get(output.audio) if output.audio else None
        notes = [heard.warning if heard else "", _damage(damaged + (heard.damaged if heard else 0))]
        yield _checked(part, output, work.folder / output.file_name, look, line, " ".join(n for n in notes if n))


def _look(work: Bench, output: Output) -> str:
    return work.look(command.check(work.tools.ffprobe, work.folder / output.file_name))


def _checked(part: Plan, output: Output, path: Path, look: Future[str], line: Sequence[str], warning: str) -> Rendition:
    try:
        return check.film(part, output, path, look.result(), warning)
    except TranscodeError as error:
        error.command = error.command or failures.shown(line)
        raise


def _damage(places: int) -> str:
    return f"The source has damaged places: ffmpeg complained {places} times." if places else ""
