"""The pictures of a plan in software: decoded once, scaled in a cascade, a label per encode. Pure.

Numbers only: sizes come from `geometry`, nothing of a file or of a user's text is ever in a graph. In GPU memory:
`pictures_gpu`.
"""

from transcode.ffmpeg.chains import fan, trim
from transcode.ffmpeg.geometry import Frame, Size
from transcode.ffmpeg.plan import FASTEST, Plan, VideoTrack
from transcode.ffmpeg.probe import Colour, Video

# Seconds. Matroska rounds timestamps to a millisecond: without it every second frame of 120 would miss.
_CAP_INTERVAL = 1 / FASTEST - 0.001
# One frame per frame, and only for frames that say they are interlaced.
DEINTERLACED = "bwdif=mode=send_frame:parity=auto:deint=interlaced"


class Pictures:
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
        label, filters = f"[0:{self._plan.source.video.index}]", self._front(largest)
        return self._chain(label, filters, "[root]") if filters else label

    def _front(self, largest: Size) -> list[str]:
        """What is done once, before the first scaling."""
        video = self._plan.source.video
        filters = [DEINTERLACED] if video.interlaced else []
        return [*filters, *self._capped(), *(tone_mapped(video, largest) if video.colour.hdr else [])]

    def _capped(self) -> list[str]:
        # Drops frames that come too soon; the fps filter would also repeat some across gaps.
        select = f"select='isnan(prev_selected_t)+gte(t-prev_selected_t,{_CAP_INTERVAL:.4f})'"
        return [select] if self._plan.capped else []

    def _grow(self, size: Size | None, label: str) -> None:
        """Give what stands at `label` to the encodes of that size and to the next smaller sizes."""
        tracks = [track for track in self._plan.videos if track.frame.inner == size]
        smaller = self._children[size]
        ends = fan(self.chains, "split", label, len(tracks) + len(smaller))
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
        filters = self._padded(track.frame)
        if track.fps is not None:
            filters.append(f"fps={track.fps:g}")
        if track.clip is not None:
            filters += [trim("trim", track.clip), "setpts=PTS-STARTPTS"]
        return self._chain(label, filters, f"[v{len(self.labels)}]")

    def _padded(self, frame: Frame) -> list[str]:
        return padded(frame)

    def _chain(self, start: str, filters: list[str], end: str) -> str:
        self.chains.append(f"{start}{','.join(filters) or 'null'}{end}")
        return end


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
