"""How loud sound is made: measure, a gain, a limiter, and what a rehearsal and a take teach. Pure.

ffmpeg's own `loudnorm` in one pass changes the loudness inside a film, and a gain alone would clip. So the
source is measured, the gain is the difference, peaks are limited, and the AAC that comes out is measured
again, because AAC at 128 kb/s makes peaks of its own. A limiter takes loudness away, which gain makes up for: how
much is heard in a rehearsal, which costs a tenth of making AAC of each gain and measuring that.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

# Seconds. Loudness is measured in blocks of 0.4 s; shorter sound has none.
SHORTEST = 0.5
# LUFS. The meter gates at -70; what is near it is silence, and a gain would make noise of it.
SILENCE = -65.0
# dB. More than this lifts the noise of a quiet room to the front.
_MOST_GAIN = 30.0
# LU that a result may miss its target by before the rendition says so.
TOLERANCE = 1.0
# LU that a take may miss by, well inside the tolerance, for the sound that lies between two meters.
_GOOD_ENOUGH = 0.6
# dB by which a ceiling is lowered beyond what a peak missed: AAC's own peaks do not quite follow it.
_PEAK_MARGIN = 0.3
# dB below the wanted true peak: what AAC adds to limited sound in most films.
_AAC_MARGIN = 1.0
# dB of room above the loudest peak at which no limiter is needed.
_ROOM = 3.0
# dB by which the limiter may cut the loudest peak before it takes loudness away that counts.
_UNHEARD = 1.0
# dB of gain beyond the plain difference that are rehearsed: seven real clips wanted 0 to 9.
_REHEARSED = (0.0, 2.0, 5.0, 9.0, 14.0)
# LU that a dB of gain is taken to bring at least, where the limiter works hard.
_LEAST_YIELD = 0.3
# Takes of one track. The first meets its target in most films; then a peak of AAC's own is brought down.
TAKES = 3
_INTEGRATED = re.compile(r"\bI:\s+(-?[\d.]+|-?inf|nan) LUFS")
_PEAK = re.compile(r"\bPeak:\s+(-?[\d.]+|-?inf|nan) dBFS")
# The meters of a rehearsal have numbers, and tell in any order.
_HEARD = re.compile(r"ebur128@(\d+) [^\n]*Summary:.*?\bI:\s+(-?[\d.]+|-?inf|nan) LUFS", re.DOTALL)


@dataclass(frozen=True)
class Measured:
    """Integrated loudness in LUFS, true peak in dB."""

    integrated: float
    peak: float

    @property
    def silent(self) -> bool:
        """Whether there is nothing to make louder."""
        return not self.integrated > SILENCE


@dataclass(frozen=True)
class Level:
    """A gain in dB, and the peak in dB that the limiter lets pass; None: no limiter."""

    gain: float
    ceiling: float | None = None


@dataclass(frozen=True)
class Target:
    """LUFS and dB true peak."""

    loudness: float
    true_peak: float

    def misses(self, measured: Measured) -> str:
        """What a finished rendition misses, as a sentence; empty when nothing."""
        if abs(measured.integrated - self.loudness) > TOLERANCE:
            return f"Loudness is {measured.integrated:.1f} LUFS instead of {self.loudness:.1f}."
        if measured.peak > self.true_peak:
            return f"True peak is {measured.peak:.1f} dB instead of at most {self.true_peak:.1f}."
        return ""

    def met(self, measured: Measured) -> bool:
        """Whether a take needs no other."""
        return abs(measured.integrated - self.loudness) <= _GOOD_ENOUGH and measured.peak <= self.true_peak


@dataclass(frozen=True)
class Take:
    """A track made at a level, what was measured of it, its file, and how often ffmpeg complained of the source."""

    level: Level
    measured: Measured
    file_name: str
    damaged: int = 0


def read(output: str) -> Measured | None:
    """The last summary of the meter in ffmpeg's words; None where it measured nothing."""
    _, found, summary = output.rpartition("Summary:")
    integrated, peak = _INTEGRATED.search(summary), _PEAK.search(summary)
    if not found or integrated is None or peak is None:
        return None
    return Measured(float(integrated[1]), float(peak[1]))


def heard(output: str, meters: int) -> list[float]:
    """LUFS of each meter of a rehearsal; one that told nothing heard silence."""
    told = {int(number): float(integrated) for number, integrated in _HEARD.findall(output)}
    return [told.get(number, SILENCE) for number in range(meters)]


def first(source: Measured, target: Target) -> Level:
    """The level to begin with, for sound that is not silent."""
    gain = min(_MOST_GAIN, target.loudness - source.integrated)
    if source.peak + gain <= target.true_peak - _ROOM:
        return Level(gain)
    return Level(gain, target.true_peak - _AAC_MARGIN)


def rehearsals(source: Measured, level: Level) -> tuple[Level, ...]:
    """The levels to rehearse, the quietest first; none where a limiter has little to do."""
    if level.ceiling is None or source.peak + level.gain <= level.ceiling + _UNHEARD:
        return ()
    gains = sorted({min(_MOST_GAIN, level.gain + more) for more in _REHEARSED})
    return tuple(Level(gain, level.ceiling) for gain in gains)


def chosen(rehearsed: Sequence[tuple[Level, float]], target: Target) -> Level:
    """The level between those rehearsed (with the LUFS of each), or beyond the last, that should meet the target."""
    level, loud = rehearsed[0]
    if loud >= target.loudness:
        return level
    for (low, quiet), (high, loud) in pairwise(rehearsed):
        if loud >= target.loudness:
            share = (target.loudness - quiet) / (loud - quiet)
            return replace(low, gain=low.gain + share * (high.gain - low.gain))
    last, loud = rehearsed[-1]
    return replace(last, gain=min(_MOST_GAIN, last.gain + (target.loudness - loud) / _LEAST_YIELD))


def next_level(takes: Sequence[Take], target: Target) -> Level | None:
    """What to try after these takes; None: the last is good, or nothing else can be tried."""
    level, measured = takes[-1].level, takes[-1].measured
    if target.met(measured):
        return None
    miss, gain, ceiling = target.loudness - measured.integrated, level.gain, level.ceiling
    if abs(miss) > _GOOD_ENOUGH:
        gain = min(_MOST_GAIN, gain + miss / _yield(takes))
    over = measured.peak - target.true_peak
    if over > 0:
        ceiling = (target.true_peak - _AAC_MARGIN if ceiling is None else ceiling - over) - _PEAK_MARGIN
    wanted = Level(gain, ceiling)
    return None if wanted == level else wanted


def _yield(takes: Sequence[Take]) -> float:
    """LU that one dB of gain brought: less than one where the limiter works hard."""
    if len(takes) < 2:
        return 1.0
    old, new = takes[-2:]
    step = new.level.gain - old.level.gain
    brought = new.measured.integrated - old.measured.integrated
    return min(1.0, max(_LEAST_YIELD, brought / step)) if abs(step) > 0.05 else 1.0


def best(takes: Sequence[Take], target: Target) -> Take:
    """The take that keeps the peak and comes nearest; where none keeps it, the one with the lowest peak."""
    kept = [take for take in takes if take.measured.peak <= target.true_peak]
    if kept:
        return min(kept, key=lambda take: abs(take.measured.integrated - target.loudness))
    return min(takes, key=lambda take: take.measured.peak)
