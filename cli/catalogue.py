"""`transcode presets`: what may be made of a video."""

from typing import Any

from cli import direct, paper
from cli.listing import Json


def presets(as_json: Json = False) -> None:
    """List the transcode types.

    A star marks those that an upload gets without being asked.
    """
    found = direct.connect().get("/api/transcode-types")
    if as_json:
        paper.emit(found)
    else:
        titles = ("TYPE", "", "CODEC", "INSIDE", "KBIT/S", "SOUND", "WHAT IT IS")
        paper.table(titles, map(_row, found["transcode_types"]))


def _row(preset: dict[str, Any]) -> tuple[object, ...]:
    box = "x".join(map(str, preset["box"])) if preset["box"] else "source"
    rate = preset["max_bitrate"] // 1000 if preset["max_bitrate"] else "-"
    sound = "yes" if preset["has_audio"] else "no"
    star = "*" if preset["is_default"] else ""
    return preset["name"], star, preset["codec"], box, rate, sound, preset["description"]
