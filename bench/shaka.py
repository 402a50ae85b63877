"""shaka-streamer making the same sizes with the same codecs at the bit rates that ours came out with.

It names a resolution once per codec, so H.264 and HEVC are two runs, and the three HEVC films of one size are three
resolutions that it is told of. It encodes with x264's and x265's `slow`, cuts segments and writes manifests: a user who
picks it gets that. Its sound has no loudness to meet.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from transcode.ffmpeg.plan import Plan, VideoTrack


def lines(folder: Path, source: Path, plan: Plan, rates: dict[VideoTrack, int]) -> list[list[str]]:
    """The commands, with their configurations written into the folder; a playlist must come out, whatever they say."""
    return [
        line
        for codec in ("h264", "hevc")
        for line in (
            _line(folder, source, codec, [track for track in plan.videos if track.codec == codec], rates),
            ["test", "-f", str(folder / f"shaka-{codec}" / "hls.m3u8")],
        )
    ]


def _line(
    folder: Path, source: Path, codec: str, tracks: Sequence[VideoTrack], rates: dict[VideoTrack, int]
) -> list[str]:
    names = {f"{codec}{number}": track for number, track in enumerate(tracks)}
    resolutions = {
        name: {
            "max_width": track.frame.outer.width, "max_height": track.frame.outer.height,
            "bitrates": {codec: f"{rates[track] // 1000}k"},
        }
        for name, track in names.items()
    }  # fmt: skip
    # One that is not made: without it the source would fit into none.
    resolutions["source"] = {"max_width": 8192, "max_height": 8192, "bitrates": {codec: "60M"}}
    kinds = [("video", {}), ("audio", {"language": "und"})] if codec == "h264" else [("video", {})]
    inputs = {"inputs": [{"name": str(source), "media_type": kind, **more} for kind, more in kinds]}
    pipeline = {
        "streaming_mode": "vod", "resolutions": list(names), "video_codecs": [codec], "audio_codecs": ["aac"],
        "manifest_format": ["hls"], "quiet": True,
    }  # fmt: skip
    return [
        str(Path(sys.executable).with_name("shaka-streamer")),
        "-i", _written(folder / f"input-{codec}.yaml", inputs),
        "-p", _written(folder / f"pipeline-{codec}.yaml", pipeline),
        "-b", _written(folder / f"rates-{codec}.yaml", {"video_resolutions": resolutions}),
        "-o", str(folder / f"shaka-{codec}"),
    ]  # fmt: skip


def _written(path: Path, told: Any) -> str:
    path.write_text(yaml.safe_dump(told))
    return str(path)
