"""The trials of one card: encodes with production options, several at once, decodes that must yield its frames.

What comes of them, and for how long it is believed, is in `gpu`.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from transcode.errors import DeviceBusy, TranscodeError
from transcode.ffmpeg import coders, command, failures, runner
from transcode.ffmpeg.binaries import Tools
from transcode.ffmpeg.lanes import Gpu, Nvenc
from transcode.ffmpeg.nvml import Card
from transcode.ffmpeg.runner import Limits

# Seconds for a trial of two seconds of film; starting on a busy card takes up to a minute.
_TRIAL = Limits(seconds=90.0)
# Options that older cards lack, taken away one after the other.
_STEPS = (Nvenc(), Nvenc(temporal_aq=False), Nvenc(False, False), Nvenc(False, False, False))
# Sessions that are tried at once: more than two tasks of all types need; gaming cards allow 2 to 8.
_SESSIONS = 16
# Codec as in `Gpu.decoders` -> encoders that can make a sample of it, and its pixel format.
_SAMPLES = {
    "h264": (("libx264",), "yuv420p"), "hevc": (("libx265",), "yuv420p"), "hevc 10": (("libx265",), "yuv420p10le"),
    "vp8": (("libvpx",), "yuv420p"), "vp9": (("libvpx-vp9",), "yuv420p"),
    "av1": (("libsvtav1", "libaom-av1"), "yuv420p"), "mpeg2video": (("mpeg2video",), "yuv420p"),
    "mpeg4": (("mpeg4",), "yuv420p"),
}  # fmt: skip
# Without these a build cannot work in GPU memory.
_FILTERS = frozenset({"scale_cuda", "hwupload"})
_DEINTERLACERS = ("bwdif_cuda", "yadif_cuda")


@dataclass(frozen=True)
class Examined:
    """What an examination found; `notes` say in sentences what does not work and what to do."""

    gpu: Gpu
    walled: bool = True
    notes: tuple[str, ...] = ()
    # Nothing was missed because the card was busy or slow just then.
    sure: bool = True

    def lacks(self, before: "Examined") -> str:
        """What a card no longer does that it was seen to do, in words."""
        gone = [f"encode {codec}" for codec in sorted(before.gpu.encoders.keys() - self.gpu.encoders.keys())]
        gone += [f"decode {codec}" for codec in sorted(before.gpu.decoders - self.gpu.decoders)]
        return ", ".join(gone)

    @property
    def kind(self) -> str:
        """What the card is good for, in a word."""
        words = ["nvenc"] * bool(self.gpu.encoders) + ["nvdec"] * bool(self.gpu.decoders)
        return "+".join(words) or "nothing"


def environment(card: Card, folder: Path | None = None) -> dict[str, str]:
    """The variables of a run on a card. Inside it is the only one, so every ffmpeg option means it."""
    cache = {"CUDA_CACHE_PATH": str(folder / "cache")} if folder is not None else {}
    return {
        "CUDA_VISIBLE_DEVICES": card.uuid, "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        # Kernels are loaded when they are used; few queues: both shorten the start of a short run.
        "CUDA_MODULE_LOADING": "LAZY", "CUDA_DEVICE_MAX_CONNECTIONS": "2", **cache,
    }  # fmt: skip


def places(folder: Path) -> tuple[Path, ...]:
    """The devices of the driver, and the folder in which it keeps what it has compiled."""
    cache = folder / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    return (*sorted(Path("/dev").glob("nvidia*")), cache)


def wake(tools: Tools, card: Card) -> None:
    """Use the card once without walls: the driver makes some of its devices when they are first asked for, as root."""
    line = [
        *command.head(tools.ffmpeg), "-init_hw_device", "cuda=cu:0", "-f", "lavfi", "-i", "nullsrc=s=64x64:d=0.1",
        "-f", "null", "-",
    ]  # fmt: skip
    with suppress(TranscodeError):
        runner.run(line, _TRIAL, environment=environment(card))


class Trials:
    """One examination of one card."""

    def __init__(self, tools: Tools, card: Card, folder: Path) -> None:
        self._tools, self._card, self._folder = tools, card, folder
        self._notes: list[str] = []
        self._sure = True

    def all(self) -> Examined:
        """Try everything."""
        missing = sorted(_FILTERS - self._tools.filters)
        if missing:
            self._note(f"This ffmpeg cannot work on a GPU: it lacks the filter {missing[0]}.")
            return Examined(Gpu(), notes=tuple(self._notes))
        encoders, decoders = dict(self._encoders()), frozenset(self._decoders())
        sure = self._sure
        gpu = Gpu(
            encoders, decoders,
            next((name for name in _DEINTERLACERS if name in self._tools.filters), ""),
            self._sessions(next(iter(encoders))) if encoders else None,
        )  # fmt: skip
        return Examined(gpu, notes=tuple(self._notes), sure=sure)

    def _encoders(self) -> Iterator[tuple[str, Nvenc]]:
        for codec in ("h264", "hevc"):
            takes = self._takes(codec)
            if takes is not None:
                yield codec, takes

    def _takes(self, codec: str) -> Nvenc | None:
        """The most that an encoder takes; None when it does nothing at all."""
        if f"{codec}_nvenc" not in self._tools.encoders:
            self._note(f"This ffmpeg lacks the encoder {codec}_nvenc.")
            return None
        first: TranscodeError | None = None
        for takes in _STEPS:
            error = self._run(_encode(self._tools.ffmpeg, codec, takes))
            if error is None:
                return takes
            first = first or error
        self._note(f"{codec} is not encoded on the GPU: {first}")
        return None

    def _sessions(self, codec: str) -> int | None:
        """How many sessions the driver allows at once; None when it is more than we try."""
        least, beyond = 0, _SESSIONS + 1
        trial = _SESSIONS
        while beyond - least > 1:
            error = self._run(_encode(self._tools.ffmpeg, codec, Nvenc(False, False, False), trial))
            least, beyond = (least, trial) if isinstance(error, DeviceBusy) else (trial, beyond)
            trial = (least + beyond) // 2
        return None if least == _SESSIONS else least

    def _decoders(self) -> Iterator[str]:
        with TemporaryDirectory() as name:
            for codec, (makers, form) in _SAMPLES.items():
                maker = next((maker for maker in makers if maker in self._tools.encoders), None)
                sample = Path(name) / "sample"
                if maker and self._sampled(maker, form, sample) and self._decodes(codec, sample):
                    yield codec

    def _sampled(self, maker: str, form: str, sample: Path) -> bool:
        line = [
            *command.head(self._tools.ffmpeg), "-f", "lavfi", "-i", "testsrc2=s=320x256:r=25:d=1", "-pix_fmt", form,
            "-c:v", maker, "-f", "matroska", f"file:{sample}",
        ]  # fmt: skip
        return not runner.run(line, _TRIAL).status

    def _decodes(self, codec: str, sample: Path) -> bool:
        # hwdownload takes frames of the card only: a software decoder that steps in makes it fail.
        form = "p010le" if codec.endswith("10") else "nv12"
        named = ["-c:v", "av1"] if codec == "av1" else []
        line = [
            *command.head(self._tools.ffmpeg), "-hwaccel", "cuda", "-hwaccel_output_format", "cuda", *named,
            "-i", f"file:{sample}", "-vf", f"hwdownload,format={form}", "-f", "null", "-",
        ]  # fmt: skip
        return self._run(line, [sample]) is None

    def _run(self, line: Sequence[str], reads: Sequence[Path] = ()) -> TranscodeError | None:
        cell = self._tools.sandbox.cell(reads, card=places(self._folder))
        try:
            ended = runner.run(line, _TRIAL, cell=cell, environment=environment(self._card, self._folder))
        except TranscodeError as error:
            self._sure = False
            return error
        if not ended.status:
            return None
        found = failures.error(ended, line)
        self._sure = self._sure and not isinstance(found, DeviceBusy)
        return found

    def _note(self, sentence: str) -> None:
        self._notes.append(sentence)


def _encode(ffmpeg: Path, codec: str, takes: Nvenc, sessions: int = 1) -> list[str]:
    """Sixty frames, so that B frames and look-ahead begin; from GPU memory, as in production."""
    size = "640:360" if sessions == 1 else "256:144"
    ends = "".join(f"[v{number}]" for number in range(sessions))
    chain = f"format=nv12,hwupload,scale_cuda={size}:format=nv12:passthrough=0,split={sessions}{ends}"
    outputs = [
        word
        for number in range(sessions)
        for word in (
            "-map", f"[v{number}]", *coders.nvenc(codec, takes, "p5", ":v:0"), "-cq:v:0", "28", "-g:v:0", "60",
            "-f", "null", "-",
        )
    ]  # fmt: skip
    return [
        *command.head(ffmpeg), "-init_hw_device", "cuda=cu:0", "-filter_hw_device", "cu",
        "-f", "lavfi", "-i", "testsrc2=s=1280x720:r=30:d=2", "-filter_complex", f"[0:v]{chain}", *outputs,
    ]  # fmt: skip
