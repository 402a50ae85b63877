"""How far ffmpeg is: the lines of `-progress`, and what they mean in per cent. Pure.

Its keys: `out_time_us` is the one to trust (`out_time_ms` holds microseconds, too); each block ends with
`progress=`. Values may be `N/A` early on.
"""

from dataclasses import dataclass

from transcode.ports import Progress

# Per cent that an encode reaches at most by itself: 100 is for what has been verified.
_MOST = 99.0


@dataclass(frozen=True)
class Report:
    """One block: seconds written, frames written, frames per second, times realtime, bytes written."""

    out_time: float = 0.0
    frame: int = 0
    fps: float = 0.0
    speed: float = 0.0
    total_size: int = 0


class Reader:
    """Gathers lines into reports."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._furthest = 0.0

    def feed(self, line: str) -> Report | None:
        """Take one line; a report when it ends a block."""
        key, equals, value = line.strip().partition("=")
        if not equals:
            return None
        if key != "progress":
            self._values[key] = value.strip()
            return None
        report = self._report()
        self._values = {}
        return report

    def _report(self) -> Report:
        # With several outputs ffmpeg may tell that of a later one last, and fall back; what is done stays done.
        self._furthest = max(self._furthest, self._number("out_time_us") / 1e6)
        return Report(
            out_time=self._furthest, frame=int(self._number("frame")), fps=self._number("fps"),
            speed=self._number("speed"), total_size=int(self._number("total_size")),
        )  # fmt: skip

    def _number(self, key: str) -> float:
        try:
            return max(0.0, float(self._values.get(key, "").removesuffix("x")))
        except ValueError:
            return 0.0


def progress(report: Report, duration: float, done: float = 0.0, share: float = 1.0) -> Progress:
    """What people see of a report.

    Args:
        report: where the run is.
        duration: seconds it has to encode; 0 when not known.
        done: share of the whole job, 0 to 1, that earlier runs have made.
        share: share of the whole job that this run makes.
    """
    part = min(1.0, report.out_time / duration) if duration else 0.0
    left = max(0.0, duration - report.out_time)
    eta = left / report.speed if report.speed and duration else 0.0
    return Progress(
        percent=round(min(_MOST, 100 * (done + share * part)), 1), fps=report.fps, speed=report.speed, eta=round(eta, 1)
    )
