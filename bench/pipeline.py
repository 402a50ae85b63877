"""Whether slow lines are made use of while others encode: two tasks at once behind a throttled S3.

First all tasks run on an open line: that is what encoding takes. Then the same behind lines so narrow that their bytes
alone take a given multiple of it. Perfect is the longest of the three; without overlap it would be their sum.
"""

import statistics
import tempfile
from pathlib import Path
from typing import Any

from bench import clips
from bench.system import System
from bench.throttle import Throttle
from bench.verdict import Found, Ratio

# The film, and how many tasks.
_FILM, _TASKS = (360, "h264", 5.3), 10
# Downloads and uploads in multiples of what encoding takes.
_LINES = ((1.0, 0.2), (2.0, 0.2), (0.5, 0.5), (0.2, 1.0))


def measure(rounds: int) -> Found:
    """The open line, then the narrow ones."""
    rows: list[dict[str, Any]] = []
    films = [clips.film(*_FILM)] * _TASKS
    with (
        tempfile.TemporaryDirectory() as folder,
        Throttle() as throttle,
        System(Path(folder), throttle=throttle, MAX_CONCURRENT_TASKS="2") as system,
    ):
        for _ in range(rounds):
            tasks, open_line = system.batch(films)
            sent = sum(output.bytes for task in tasks for output in task.outputs.values())
            for down, up in _LINES:
                received = sum(film.stat().st_size for film in films)
                system.narrow(received / (down * open_line.wall), sent / (up * open_line.wall))
                _, narrow = system.batch(films)
                rows.append(_row(down, up, open_line.wall, narrow.wall))
            system.narrow(float("inf"), float("inf"))
    return Found([_ratio(down, up, rows) for down, up in _LINES], {"pipeline": rows})


def _row(down: float, up: float, open_line: float, narrow: float) -> dict[str, Any]:
    """For people: seconds, but for the first two and the last."""
    return {
        "download": down, "upload": up, "open line s": round(open_line, 1), "narrow s": round(narrow, 1),
        "one after the other s": round((1 + down + up) * open_line, 1),
        "ratio": round(narrow / (max(1.0, down, up) * open_line), 3),
    }  # fmt: skip


def _ratio(down: float, up: float, rows: list[dict[str, Any]]) -> Ratio:
    some = [row["ratio"] for row in rows if (row["download"], row["upload"]) == (down, up)]
    return Ratio(f"download {down:g}, upload {up:g}: wall / longest", statistics.median(some), at_most=1.2)
