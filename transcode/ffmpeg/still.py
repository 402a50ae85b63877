"""The picture of a film: how ffmpeg is asked for it, and in which order places are tried. Pure.

A picture is a small run of its own, before the encode: a film of which none can be had is not encoded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transcode.ffmpeg.command import head, source
from transcode.ffmpeg.pictures import DEINTERLACED, padded, tagged, tone_mapped
from transcode.ffmpeg.plan import Plan, Span, Still

# Mean brightness (16 is black, 235 white) and normalised entropy below which a picture is dark or empty.
# A black frame has 16 and 0, a title on black about 20 and 0.1, a night scene 30 and 0.5.
_DARKEST, _EMPTIEST = 24, 0.2
# Seconds after the wanted place that are looked through frame by frame.
_LOOK_ON = 10.0
# Seconds of film whose key frames are looked through when that finds nothing.
_LOOK_FAR = 600.0


@dataclass(frozen=True)
class Look:
    """One place to look for a picture. Key frames alone are quick over long stretches."""

    span: Span
    key_frames: bool = False
    choosy: bool = True


def looks(still: Still) -> Iterator[Look]:
    """Where to look, best first; the last ones take any picture there is."""
    yield Look(Span(still.at, _LOOK_ON))
    yield Look(Span(0.0, _LOOK_FAR), key_frames=True)
    yield Look(Span(still.at, _LOOK_ON), choosy=False)
    yield Look(Span(0.0, _LOOK_FAR), choosy=False)


def picture(ffmpeg: Path, path: Path, plan: Plan, still: Still, look: Look) -> list[str]:
    """The command for one look; it succeeds without a file where nothing is found."""
    wanted = ["-skip_frame", "nokey"] if look.key_frames else []
    return [
        *head(ffmpeg), *wanted, *source(path, look.span, plan.threads), "-map", f"0:{plan.source.video.index}",
        "-frames:v", "1", "-vf", ",".join(_filters(plan, still, look)),
        "-c:v", "mjpeg", "-q:v", str(still.quality),
        "-map_metadata", "-1",
        # One file of exactly this name: without -update a number would be put into it.
        "-f", "image2", "-update", "1", f"file:{still.file_name}",
    ]  # fmt: skip


def _filters(plan: Plan, still: Still, look: Look) -> list[str]:
    video, size = plan.source.video, still.frame.inner
    filters = [DEINTERLACED] if video.interlaced else []
    filters += tone_mapped(video, size) if video.colour.hdr else []
    matrix = f":out_color_matrix={plan.colour.space}" if video.rgb else ""
    filters += [f"scale={size.width}:{size.height}:out_range=tv{matrix}", "setsar=1", "format=yuv420p"]
    filters += _choosy() if look.choosy else []
    # JPEG has full range and the matrix of BT.601, whatever the film had.
    return [
        *filters, tagged(plan.colour), *padded(still.frame), "scale=out_range=pc:out_color_matrix=bt601",
        "format=yuvj420p",
    ]  # fmt: skip


def _choosy() -> list[str]:
    return [
        "signalstats", _only("signalstats.YAVG", _DARKEST), "entropy",
        _only("entropy.normalized_entropy.normal.Y", _EMPTIEST),
    ]  # fmt: skip


def _only(key: str, least: float) -> str:
    return f"metadata=mode=select:key=lavfi.{key}:value={least}:function=greater"
