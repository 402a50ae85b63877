"""Runs the commands of one job and turns a bad end into an error of ours. Between `runner` and `encoder`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from transcode.errors import DeviceBusy, DeviceFault, EncoderStalled, LaneUnfit, TranscodeError
from transcode.ffmpeg import failures, gpu, runner
from transcode.ffmpeg.binaries import Tools
from transcode.ffmpeg.gpu import Device
from transcode.ffmpeg.plan import Plan
from transcode.ffmpeg.probe import Source
from transcode.ffmpeg.progress import Report
from transcode.ffmpeg.runner import Ended, Limits
from transcode.ffmpeg.sandbox import OPEN, Cell
from transcode.ports import RenderJob

# Seconds for ffprobe: it reads 20 MB of an upload, or every packet header of a rendition on a slow disk.
_LOOK = 300.0
# Bytes of address space for ffprobe: a header can ask for any amount of memory.
_LOOK_MEMORY = 4 * 1024**3
# Seconds for a run: at least these, then this many times the film's length per rendition, at most two days.
_LEAST, _TIMES_LENGTH, _MOST = 600.0, 20.0, 48 * 3600.0
# Seconds where the file does not say how long it is.
_UNKNOWN = 6 * 3600.0
# Bytes of one rendition: far more than any preset makes, far less than a disk that one bad file could fill.
_SMALLEST_LIMIT, _TIMES_SIZE = 4 * 10**9, 8


@dataclass(frozen=True)
class Bench:
    """One job's input, folder and watch, with the programs and the card."""

    tools: Tools
    job: RenderJob
    device: Device | None = None

    @property
    def input(self) -> Path:
        """The upload, as a path that holds from any folder."""
        return self.job.input.absolute()

    @property
    def folder(self) -> Path:
        """The job's folder, as a path that holds from any folder."""
        return self.job.folder.absolute()

    def encode(
        self, command: Sequence[str], renditions: int = 1, on_report: Callable[[Report], None] = lambda _: None
    ) -> str:
        """Run ffmpeg in the job's folder; its last words.

        Raises:
            TranscodeError: what its words mean.
        """
        return self._run(command, limits_for(self.job.source, renditions), on_report, None)

    def encode_plan(self, command: Sequence[str], plan: Plan, on_report: Callable[[Report], None]) -> str:
        """Run a plan's ffmpeg, on the card where its lane is one of the card; its last words.

        The wait for the card or the CPU is no part of the phase `encode`, which tells how fast they are.

        Raises:
            DeviceBusy: there is no room on the card.
            TranscodeError: what its words mean; a fault of the card is also held against the card.
        """
        limits = limits_for(self.job.source, len(plan.outputs))
        device = self.device if plan.lane.decodes or plan.lane.encodes else None
        if device is None:
            with self.job.cpu(), self.timed("encode"):
                return self._run(command, limits, on_report, None)
        if gpu.memory(plan) > device.card.memory:
            raise LaneUnfit(f"The film needs more memory than the {device.card.name} has.")
        with _suspecting(device), self._admitted(device, plan), self.timed("encode"):
            words = self._run(command, limits, on_report, device)
            if complaint := failures.of_card(words):
                raise LaneUnfit(f"The run ended well, but the card did not: {complaint}", output=words)
        return words

    def _admitted(self, device: Device, plan: Plan) -> AbstractContextManager[None]:
        sessions = len(plan.videos) if plan.lane.encodes else 0
        return device.gate.admitted(sessions, gpu.memory(plan), self.job.watch.check)

    def _run(
        self, command: Sequence[str], limits: Limits, on_report: Callable[[Report], None], device: Device | None
    ) -> str:
        sandbox = self.tools.sandbox if device is None or device.walled else OPEN
        cell = sandbox.cell([self.input], self.folder, device.places if device else ())
        ended = runner.run(
            command, limits, folder=self.folder, cell=cell, environment=device.environment if device else {},
            check=self.job.watch.check, on_report=on_report,
        )  # fmt: skip
        if ended.status:
            raise failures.error(ended, command)
        return ended.words

    def look(self, command: Sequence[str]) -> str:
        """Run ffprobe on something in the job's folder; its answer."""
        return look(command, self.tools.sandbox.cell([self.folder]), self.job.watch.check).answer

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add what passes inside to the seconds of a phase."""
        begun = monotonic()
        try:
            yield
        finally:
            spent = self.job.phases.get(phase, 0.0) + monotonic() - begun
            self.job.phases[phase] = round(spent, 3)


@contextmanager
def _suspecting(device: Device) -> Iterator[None]:
    """Hold against a card what happens on it: its faults and runs that hang. A run that ends well clears it."""
    try:
        yield
    except DeviceBusy:
        raise
    except TranscodeError as error:
        if isinstance(error, DeviceFault | EncoderStalled) or failures.of_card(error.output):
            device.health.suspect(str(error))
        raise
    if device.health.suspicions():
        device.health.clear()


def look(command: Sequence[str], cell: Cell, check: Callable[[], None] = lambda: None) -> Ended:
    """Run ffprobe inside these walls; its answer and words.

    Raises:
        TranscodeError: what its words mean.
    """
    ended = runner.run(command, Limits(seconds=_LOOK, address_space=_LOOK_MEMORY), cell=cell, check=check)
    if ended.status:
        raise failures.error(ended, command)
    return ended


def limits_for(source: Source, renditions: int) -> Limits:
    """What one run over this source may use."""
    seconds = source.duration * _TIMES_LENGTH * renditions if source.duration else _UNKNOWN
    return Limits(min(_MOST, max(_LEAST, seconds)), max(_SMALLEST_LIMIT, _TIMES_SIZE * source.size))
