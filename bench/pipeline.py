"""Whether slow lines are made use of while others encode: two tasks at once behind a throttled S3.

First all tasks run on an open line: that is what encoding takes. Then the same behind a line so narrow that their bytes
alone take a given multiple of it, and so for each line. Perfect is the longest of the three; without overlap it would
be their sum. It is the pace from the first end to the last that counts: at the beginning and the end there is nothing
to overlap with.

Two tasks that do one thing after the other cannot be faster than half of their sum: that limit is told, too.
"""

import itertools
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import clips
from bench.system import System
from bench.throttle import Throttle
from bench.verdict import Found, Ratio
from transcode.clock import seconds
from transcode.task import Task

# The film, how many tasks, and how many at once.
_FILM, _TASKS, _AT_ONCE = (540, "h264", 5.3), 10, 2
# Downloads and uploads in multiples of what encoding takes.
_LINES = ((1.0, 0.2), (2.0, 0.2), (0.5, 0.5), (0.2, 1.0))
# What the pace is compared with.
_LONGEST, _LEAST = "the longest", "the least of two tasks"


def measure(rounds: int) -> Found:
    """One film alone and all on an open line, then on a narrow one."""
    rows: list[dict[str, Any]] = []
    details: list[list[dict[str, Any]]] = []
    films = [clips.film(*_FILM)] * _TASKS
    with (
        tempfile.TemporaryDirectory() as folder,
        Throttle() as throttle,
        System(Path(folder), throttle=throttle, MAX_CONCURRENT_TASKS=str(_AT_ONCE)) as system,
    ):
        for _, (down, up) in itertools.product(range(rounds), _LINES):
            # Each beside its own: the speed of a virtual machine changes from one minute to the next.
            _, alone = system.batch(films[:1])
            tasks, _ = system.batch(films)
            open_line = _pace(tasks)
            sent, received = sum(output.bytes for output in tasks[0].outputs.values()), films[0].stat().st_size
            system.narrow(received / (down * open_line), sent / (up * open_line))
            narrow, _ = system.batch(films)
            system.narrow(float("inf"), float("inf"))
            least = (alone.wall + (down + up) * open_line) / 2
            rows.append(_row(down, up, open_line, max(least, down * open_line, up * open_line), _pace(narrow)))
            details.append(_details(narrow))
    return Found([ratio for line in _LINES for ratio in _ratios(line, rows)], {"pipeline": rows}, {"tasks": details})


def _pace(tasks: Sequence[Task]) -> float:
    """Seconds from one end to the next, as the mean of those from each to the next but one, halved.

    Two tasks that end together are no faster than two that end in turn.
    """
    ends = sorted(seconds(task.completed_at) for task in tasks)
    return statistics.mean(later - end for end, later in zip(ends, ends[_AT_ONCE:], strict=False)) / _AT_ONCE


def _details(tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """When each task began and ended, and its phases: what a strange pace came from."""
    return [{"started": task.started_at, "completed": task.completed_at} | task.phases for task in tasks]


def _row(down: float, up: float, open_line: float, least: float, narrow: float) -> dict[str, Any]:
    """For people: seconds a film, but for the first two and the last two."""
    return {
        "download": down, "upload": up, "open line s": round(open_line, 2), "narrow s": round(narrow, 2),
        "one after the other s": round((1 + down + up) * open_line, 2),
        _LONGEST: round(narrow / (max(1.0, down, up) * open_line), 3), _LEAST: round(narrow / least, 3),
    }  # fmt: skip


def _ratios(line: tuple[float, float], rows: Sequence[dict[str, Any]]) -> list[Ratio]:
    some = [row for row in rows if (row["download"], row["upload"]) == line]
    name = "download {:g}, upload {:g}: pace to ".format(*line)
    longest, least = (statistics.median(row[key] for row in some) for key in (_LONGEST, _LEAST))
    return [Ratio(f"{name}{_LONGEST}", longest, at_most=1.2), Ratio(f"{name}{_LEAST}", least)]
