"""The filter graph of a plan on the CPU lane: one decoded picture, scaled in a cascade, a label per encode. Pure.

Numbers only: sizes come from `geometry`, nothing of a file or of a user's text is ever in a graph.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from transcode.ffmpeg.geometry import Frame, Size
from transcode.ffmpeg.loudness import Level
from transcode.ffmpeg.plan import FASTEST, AudioTrack, Plan, Span, VideoTrack
from transcode.ffmpeg.probe import Audio, Colour, Video

# Seconds. Matroska rounds timestamps to a millisecond: without it every second frame of 120 would miss.
_CAP_INTERVAL = 1 / FASTEST - 0.001
# Hz. True peak is defined between the samples; four times 48 kHz is what meters look at.
_OVERSAMPLED = 192_000
# One frame per frame, and only for frames that say they are interlaced.
DEINTERLACED = "bwdif=mode=send_frame:parity=auto:deint=interlaced"

Levels = Mapping[AudioTrack, Level]


@dataclass(frozen=True)
class Graph:
    """The text, and the label of each track."""

    text: str
    videos: dict[VideoTrack, str]
    audios: dict[AudioTrack, str]


def graph(plan: Plan, levels: Levels) -> Graph:
    """The whole graph of a plan."""
    pictures, sounds = _Pictures(plan), _Sounds(plan.source.audio, plan.audios, levels)
    return Graph(";".join([*pictures.chains, *sounds.chains]), pictures.labels, sounds.labels)


def sound_only(audio: Audio, levels: Levels) -> Graph:
    """The graph of these tracks alone, each exactly as the whole graph makes it."""
    sounds = _Sounds(audio, tuple(levels), levels)
    return Graph(";".join(sounds.chains), {}, sounds.labels)


class _Pictures:
    """Each size is scaled from the next larger one, so that a large picture is read once."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.chains: list[str] = []
        self.labels: dict[VideoTrack, str] = {}
        sizes = sorted({track.frame.inner for track in plan.videos}, key=lambda size: size.area, reverse=True)
        self._children: dict[Size | None, list[Size]] = {None: [], **{size: [] for size in sizes}}
        for place, size in enumerate(sizes):
            self._children[next((s for s in reversed(sizes[:place]) if s.covers(size)), None)].append(size)
        if sizes:
            self._grow(None, self._root(sizes[0]))

    def _root(self, largest: Size) -> str:
        video, filters = self._plan.source.video, []
        if video.interlaced:
            filters.append(DEINTERLACED)
        if self._plan.capped:
            # Drops frames that come too soon; the fps filter would also repeat some across gaps.
            filters.append(f"select='isnan(prev_selected_t)+gte(t-prev_selected_t,{_CAP_INTERVAL:.4f})'")
        if video.colour.hdr:
            filters += tone_mapped(video, largest)
        return self._chain(f"[0:{video.index}]", filters, "[root]") if filters else f"[0:{video.index}]"

    def _grow(self, size: Size | None, label: str) -> None:
        """Give what stands at `label` to the encodes of that size and to the next smaller sizes."""
        tracks = [track for track in self._plan.videos if track.frame.inner == size]
        smaller = self._children[size]
        ends = _fan(self.chains, "split", label, len(tracks) + len(smaller))
        for track in tracks:
            self.labels[track] = self._finished(track, next(ends))
        for child in smaller:
            name = f"[s{child.width}x{child.height}]"
            self._grow(child, self._chain(next(ends), self._scaled(child, first=size is None), name))

    def _scaled(self, size: Size, first: bool) -> list[str]:
        # Square pixels: `scale` would otherwise keep the shape by an aspect ratio of its own.
        if not first:
            return [f"scale={size.width}:{size.height}", "setsar=1"]
        video, colour = self._plan.source.video, self._plan.colour
        scale = f"scale={size.width}:{size.height}:out_range=tv"
        if video.rgb:
            scale += f":out_color_matrix={colour.space}"
        # 8 bit 4:2:0 is what every player decodes.
        return [scale, "setsar=1", "format=yuv420p", tagged(colour)]

    def _finished(self, track: VideoTrack, label: str) -> str:
        filters = padded(track.frame)
        if track.fps is not None:
            filters.append(f"fps={track.fps:g}")
        if track.clip is not None:
            filters += [_trim("trim", track.clip), "setpts=PTS-STARTPTS"]
        return self._chain(label, filters, f"[v{len(self.labels)}]")

    def _chain(self, start: str, filters: list[str], end: str) -> str:
        self.chains.append(f"{start}{','.join(filters) or 'null'}{end}")
        return end


class _Sounds:
    """The chosen track once as stereo at 48 kHz, then one branch per loudness."""

    def __init__(self, audio: Audio | None, tracks: Sequence[AudioTrack], levels: Levels) -> None:
        self.chains: list[str] = []
        self.labels: dict[AudioTrack, str] = {}
        if not tracks or audio is None:
            return
        self.chains.append(f"[0:{audio.index}]{front()}[sound]")
        ends = _fan(self.chains, "asplit", "[sound]", len(tracks))
        for number, track in enumerate(tracks):
            filters = [*cut(track.clip), *levelled(levels.get(track))]
            self.labels[track] = f"[a{number}]"
            self.chains.append(f"{next(ends)}{','.join(filters) or 'anull'}[a{number}]")


def _fan(chains: list[str], split: str, label: str, count: int) -> Iterator[str]:
    """`count` copies of what stands at `label`."""
    if count == 1:
        return iter([label])
    ends = [f"[{label.strip('[]').replace(':', '_')}_{number}]" for number in range(count)]
    chains.append(f"{label}{split}={count}{''.join(ends)}")
    return iter(ends)


def front() -> str:
    """Every sound as it is delivered, so that what is measured is what is heard.

    Gaps become silence and the start is the film's start: otherwise late sound would play early.
    """
    return "aresample=async=1:first_pts=0,aformat=sample_rates=48000:channel_layouts=stereo"


def cut(clip: Span | None) -> list[str]:
    """The sound of a clip."""
    return [] if clip is None else [_trim("atrim", clip), "asetpts=PTS-STARTPTS"]


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


def tone_mapped(video: Video, size: Size) -> list[str]:
    """HDR as ordinary colours, after the first scaling because each pixel is dear."""
    said = video.colour
    # HDR without these tags is BT.2020: nothing else is made. zscale finds no path from what is not tagged.
    meant = Colour(
        range=said.range or "tv", transfer=said.transfer,
        space=said.space if said.space in ("bt709", "bt2020c") else "bt2020nc",
        primaries=said.primaries if said.primaries in ("bt709", "smpte432") else "bt2020",
    )  # fmt: skip
    return [
        f"scale={size.width}:{size.height}", "format=yuv420p10le", tagged(meant),
        # Light as numbers that add up; 1.0 is 100 cd/m2, a screen's white.
        "zscale=t=linear:npl=100", "format=gbrpf32le", "zscale=p=bt709",
        # Hable keeps light skies; desat=0 leaves bright colours their colour.
        "tonemap=tonemap=hable:desat=0", "zscale=t=bt709:m=bt709:r=limited", "format=yuv420p",
    ]  # fmt: skip


def padded(frame: Frame) -> list[str]:
    """Black bars around the picture, where a preset asks for them."""
    inner, outer = frame.inner, frame.outer
    if inner == outer:
        return []
    # Even offsets, or the colours would shift against the picture.
    left, top = (outer.width - inner.width) // 4 * 2, (outer.height - inner.height) // 4 * 2
    return [f"pad={outer.width}:{outer.height}:{left}:{top}:black"]


def tagged(colour: Colour) -> str:
    """Say how the numbers are meant; encoders write it into the file."""
    return (
        f"setparams=range={colour.range}:colorspace={colour.space}:color_trc={colour.transfer}"
        f":color_primaries={colour.primaries}"
    )


def _trim(name: str, clip: Span) -> str:
    end = "" if clip.duration is None else f":duration={clip.duration:.3f}"
    return f"{name}=start={clip.start:.3f}{end}"
