"""Whether slow lines are made use of while others encode: two tasks at once behind a throttled S3.

First all tasks run on an open line: that is what encoding takes. Then the same behind lines so narrow that their bytes
alone take a given multiple of it. Perfect is the longest of the three; without overlap it would be their sum.
"""

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
    """Open and narrow lines in turn."""
    ratios, rows = [], []
    films = [clips.film(*_FILM)] * _TASKS
    with (
        tempfile.TemporaryDirectory() as folder,
        Throttle() as throttle,
        System(Path(folder), throttle=throttle, MAX_CONCURRENT_TASKS="2") as system,
    ):
        for down, up in _LINES * rounds:
            found = _compare(system, films, down, up)
            rows.append(found)
            ratios.append(Ratio(f"download {down:g}, upload {up:g}: wall / longest", found["ratio"], at_most=1.2))
    return Found(ratios, {"pipeline": rows})


def _compare(system: System, films: list[Path], down: float, up: float) -> dict[str, Any]:
    system.narrow(float("inf"), float("inf"))
    tasks, open_line = system.batch(films)
    received = sum(film.stat().st_size for film in films)
    sent = sum(output.bytes for task in tasks for output in task.outputs.values())
    system.narrow(received / (down * open_line.wall), sent / (up * open_line.wall))
    _, narrow = system.batch(films)
    longest = max(1.0, down, up) * open_line.wall
    return {
        "download": down, "upload": up, "open line s": round(open_line.wall, 1), "narrow s": round(narrow.wall, 1),
        "one after the other s": round((1 + down + up) * open_line.wall, 1), "ratio": round(narrow.wall / longest, 2),
    }  # fmt: skip
