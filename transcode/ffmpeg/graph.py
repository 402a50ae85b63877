"""The filter graph of a plan: its pictures (`pictures`, `pictures_gpu`) and its sounds, a label per encode. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transcode.ffmpeg.chains import fan, trim
from transcode.ffmpeg.lanes import Lane
from transcode.ffmpeg.loudness import Level
from transcode.ffmpeg.pictures import Pictures
from transcode.ffmpeg.pictures_gpu import GpuPictures
from transcode.ffmpeg.plan import AudioTrack, Plan, Span, VideoTrack
from transcode.ffmpeg.probe import Audio

# Hz. True peak is defined between the samples; four times 48 kHz is what meters look at.
_OVERSAMPLED = 192_000

Levels = Mapping[AudioTrack, Level]


@dataclass(frozen=True)
class Graph:
    """The text, and the label of each track."""

    text: str
    videos: dict[VideoTrack, str]
    audios: dict[AudioTrack, str]


def graph(plan: Plan, levels: Levels) -> Graph:
    """The whole graph of a plan."""
    pictures = GpuPictures(plan) if plan.lane is Lane.NVDEC_NVENC else Pictures(plan)
    sounds = _Sounds(plan.source.audio, plan.audios, levels)
    return Graph(";".join([*pictures.chains, *sounds.chains]), pictures.labels, sounds.labels)


def sound_only(audio: Audio, levels: Levels) -> Graph:
    """The graph of these tracks alone, each exactly as the whole graph makes it."""
    sounds = _Sounds(audio, tuple(levels), levels)
    return Graph(";".join(sounds.chains), {}, sounds.labels)


class _Sounds:
    """The chosen track once as stereo at 48 kHz, then one branch per loudness."""

    def __init__(self, audio: Audio | None, tracks: Sequence[AudioTrack], levels: Levels) -> None:
        self.chains: list[str] = []
        self.labels: dict[AudioTrack, str] = {}
        if not tracks or audio is None:
            return
        self.chains.append(f"[0:{audio.index}]{front()}[sound]")
        ends = fan(self.chains, "asplit", "[sound]", len(tracks))
        for number, track in enumerate(tracks):
            filters = [*cut(track.clip), *levelled(levels.get(track))]
            self.labels[track] = f"[a{number}]"
            self.chains.append(f"{next(ends)}{','.join(filters) or 'anull'}[a{number}]")


def front() -> str:
    """Every sound as it is delivered, so that what is measured is what is heard.

    Gaps become silence and the start is the film's start: otherwise late sound would play early.
    """
    return "aresample=async=1:first_pts=0,aformat=sample_rates=48000:channel_layouts=stereo"


def cut(clip: Span | None) -> list[str]:
    """The sound of a clip."""
    return [] if clip is None else [trim("atrim", clip), "asetpts=PTS-STARTPTS"]


def levelled(level: Level | None) -> list[str]:
    """A gain, then a limiter that sees the peaks between the samples."""
    if level is None:
        return []
    gain = [f"volume={level.gain:.2f}dB"]
    if level.ceiling is None:
        return gain
    # level=0: no make-up gain of its own. latency=1: what the look-ahead delays is put back in time.
    limiter = f"alimiter=limit={10 ** (level.ceiling / 20):.6f}:attack=5:release=50:level=0:latency=1"
    return [*gain, f"aresample={_OVERSAMPLED}", limiter, "aresample=48000"]
