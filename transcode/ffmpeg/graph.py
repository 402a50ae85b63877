"""The filter graph of a plan: its pictures (`pictures`, `pictures_gpu`) and its sounds, a label per encode. Pure."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from transcode.ffmpeg.chains import fan, trim
from transcode.ffmpeg.lanes import Lane
from transcode.ffmpeg.loudness import Level
from transcode.ffmpeg.pictures import Pictures
from transcode.ffmpeg.pictures_gpu import GpuPictures
from transcode.ffmpeg.plan import AudioTrack, Plan, Span, VideoTrack
from transcode.ffmpeg.probe import Audio

# Hz. True peak is defined between the samples; four times 48 kHz is what meters look at.
_OVERSAMPLED = 192_000
# Meters tell once at their end; the line per tenth of a second is at a level that is not shown (5.1 knows no `quiet`).
# With the true peak; and by number and without it, which takes less than half the time.
PEAK_METER, _METER = "ebur128=peak=true:framelog=verbose", "ebur128@{}=framelog=verbose"

Levels = Mapping[AudioTrack, Level]


@dataclass(frozen=True)
class Graph:
    """The text, and the label of each track."""

    text: str
    videos: dict[VideoTrack, str]
    audios: dict[AudioTrack, str]


def graph(plan: Plan, ready: Collection[AudioTrack]) -> Graph:
    """The whole graph of a plan, but for the sound tracks that are ready."""
    pictures = GpuPictures(plan) if plan.lane is Lane.NVDEC_NVENC else Pictures(plan)
    chains = {track: cut(track.clip) for track in plan.audios if track not in ready}
    audio = plan.source.audio
    sounds, labels = _sounds(audio, chains) if audio else ([], {})
    return Graph(";".join([*pictures.chains, *sounds]), pictures.labels, labels)


def levelled(audio: Audio, levels: Levels) -> Graph:
    """The graph of these sound tracks alone, each at its level."""
    chains, labels = _sounds(audio, {track: [*cut(track.clip), *_at(level)] for track, level in levels.items()})
    return Graph(";".join(chains), {}, labels)


def rehearsal(audio: Audio, levels: Mapping[AudioTrack, Sequence[Level]]) -> tuple[str, list[str]]:
    """The graph that meters each track at each of its levels, in this order, and its labels.

    The limiter hears the samples alone: that takes a third of the time, and on four clips the loudness of 16 gains
    was the same to 0.1 LU.
    """
    tried = [(track.clip, level) for track, some in levels.items() for level in some]
    chains, labels = _sounds(audio, {
        number: [*cut(clip), *_at(level, oversampled=False), _METER.format(number)]
        for number, (clip, level) in enumerate(tried)
    })  # fmt: skip
    return ";".join(chains), list(labels.values())


_Key = TypeVar("_Key", bound=Hashable)


def _sounds(audio: Audio, branches: Mapping[_Key, list[str]]) -> tuple[list[str], dict[_Key, str]]:
    """The chosen track once as stereo at 48 kHz, then a branch for each; the chains, and the branches' labels."""
    if not branches:
        return [], {}
    chains, labels = [f"[0:{audio.index}]{front()}[sound]"], {}
    ends = fan(chains, "asplit", "[sound]", len(branches))
    for number, (key, filters) in enumerate(branches.items()):
        labels[key] = f"[a{number}]"
        chains.append(f"{next(ends)}{','.join(filters) or 'anull'}[a{number}]")
    return chains, labels


def front() -> str:
    """Every sound as it is delivered, so that what is measured is what is heard.

    Gaps become silence and the start is the film's start: otherwise late sound would play early.
    """
    return "aresample=async=1:first_pts=0,aformat=sample_rates=48000:channel_layouts=stereo"


def cut(clip: Span | None) -> list[str]:
    """The sound of a clip."""
    return [] if clip is None else [trim("atrim", clip), "asetpts=PTS-STARTPTS"]


def _at(level: Level, *, oversampled: bool = True) -> list[str]:
    """A gain, then a limiter that sees the peaks between the samples."""
    gain = [f"volume={level.gain:.2f}dB"]
    if level.ceiling is None:
        return gain
    # level=0: no make-up gain of its own. latency=1: what the look-ahead delays is put back in time.
    limiter = f"alimiter=limit={10 ** (level.ceiling / 20):.6f}:attack=5:release=50:level=0:latency=1"
    return [*gain, f"aresample={_OVERSAMPLED}", limiter, "aresample=48000"] if oversampled else [*gain, limiter]
