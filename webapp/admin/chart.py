"""The chart of the dashboard: what ended in each of the last 24 hours, as bars. Pure: numbers in, places out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from transcode.clock import timestamp
from transcode.states import Status

HOURS = 24
# The drawing's own units; the page scales it.
WIDTH, HEIGHT = 720, 120
_STEP = WIDTH // HOURS
# From the bottom up.
_ORDER = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)

# Per status, a day's 24 counters: what `counts.of_day` tells.
Day = Mapping[Status, list[int]]


@dataclass(frozen=True)
class Block:
    """One coloured piece of a bar."""

    status: Status
    y: float
    height: float


@dataclass(frozen=True)
class Bar:
    """What ended within one hour, which began at `since` (RFC 3339)."""

    since: str
    x: int
    counts: Mapping[Status, int]
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Chart:
    """The bars, oldest first; `most` is what a bar of full height stands for."""

    bars: tuple[Bar, ...]
    most: int

    def total(self, *statuses: Status) -> int:
        """How many ended so within the 24 hours; without a status: in all."""
        return sum(bar.counts[status] for bar in self.bars for status in statuses or _ORDER)


def draw(yesterday: Day, today: Day, now: float) -> Chart:
    """The last 24 hours, the running one included."""
    hour = datetime.fromtimestamp(now, UTC).hour
    counted = [{s: (yesterday[s] + today[s])[place] for s in _ORDER} for place in range(hour + 1, hour + 1 + HOURS)]
    most = _round(max(sum(counts.values()) for counts in counted))
    began = now - now % 3600 - (HOURS - 1) * 3600
    bars = (_bar(place, counts, began, most) for place, counts in enumerate(counted))
    return Chart(tuple(bars), most)


def _bar(place: int, counts: Mapping[Status, int], began: float, most: int) -> Bar:
    blocks, top = [], float(HEIGHT)
    for status in _ORDER:
        height = round(HEIGHT * counts[status] / most, 1)
        top -= height
        if height:
            blocks.append(Block(status, round(top, 1), height))
    return Bar(timestamp(began + place * 3600), place * _STEP, counts, tuple(blocks))


def _round(most: int) -> int:
    """The next of 4, 10, 20, 40, 100 ...: a scale that people can read."""
    scale = 4
    while scale < most:
        scale = scale * 2 if not str(scale).startswith("4") else scale * 5 // 2
    return scale
