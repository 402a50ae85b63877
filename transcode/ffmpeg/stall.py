"""Whether a run still moves. Pure: it is told the time and what is seen, it never looks itself.

A hung ffmpeg 9 goes on printing reports, so a report is no sign of life; its numbers growing is. While the
index is moved to the front of a file nothing is reported, but the file is written.
"""

from dataclasses import dataclass

from transcode.ffmpeg.progress import Report

# Seconds without any sign before the first frame: a busy card takes a minute to begin.
BEFORE_FIRST = 90.0
# Seconds without any sign afterwards.
AFTER_FIRST = 60.0


@dataclass(frozen=True)
class Signs:
    """What grows in a run that lives: seconds, frames, reported bytes, bytes in its folder."""

    out_time: float = 0.0
    frame: int = 0
    total_size: int = 0
    folder: int = 0

    @classmethod
    def of(cls, report: Report, folder: int) -> "Signs":
        """The signs in a report and a folder of that many bytes."""
        return cls(report.out_time, report.frame, report.total_size, folder)


class Stall:
    """Watches one run from `now` on; times are seconds of a steady clock."""

    def __init__(self, now: float) -> None:
        self._moved_at = now
        self._last = Signs()

    def see(self, now: float, signs: Signs) -> bool:
        """Take what is seen; True when nothing has moved for too long."""
        if signs != self._last:
            self._moved_at, self._last = now, signs
        begun = self._last.frame > 0 or self._last.out_time > 0
        return now - self._moved_at > (AFTER_FIRST if begun else BEFORE_FIRST)
