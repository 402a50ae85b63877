"""How loud sound is made: measure, a gain, a limiter, and what a trial teaches. Pure.

ffmpeg's own `loudnorm` in one pass changes the loudness inside a film, and a gain alone would clip. So the
source is measured, the gain is the difference, peaks are limited, and the AAC that comes out is measured
again, because AAC at 128 kb/s makes peaks of its own.
"""

import re
from dataclasses import dataclass, replace

# Seconds. Loudness is measured in blocks of 0.4 s; shorter sound has none.
SHORTEST = 0.5
# LUFS. The meter gates at -70; what is near it is silence, and a gain would make noise of it.
SILENCE = -65.0
# dB. More than this lifts the noise of a quiet room to the front.
_MOST_GAIN = 30.0
# LU that a result may miss its target by before the rendition says so.
TOLERANCE = 1.0
# LU that a trial may miss by: half the tolerance, for the sound that lies between two meters.
_GOOD_ENOUGH = 0.4
# dB below the wanted true peak: what AAC adds to limited sound in most films.
_AAC_MARGIN = 1.0
# dB of room above the loudest peak at which neither a limiter nor a trial is needed.
_ROOM = 3.0
# Rounds of trial. The limiter takes loudness away; a second and third gain meet the target.
TRIALS = 4
_INTEGRATED = re.compile(r"\bI:\s+(-?[\d.]+|-?inf|nan) LUFS")
_PEAK = re.compile(r"\bPeak:\s+(-?[\d.]+|-?inf|nan) dBFS")


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
        """Whether a trial needs no other."""
        return abs(measured.integrated - self.loudness) <= _GOOD_ENOUGH and measured.peak <= self.true_peak


def read(output: str) -> Measured | None:
    """The last summary of the meter in ffmpeg's words; None where it measured nothing."""
    _, found, summary = output.rpartition("Summary:")
    integrated, peak = _INTEGRATED.search(summary), _PEAK.search(summary)
    if not found or integrated is None or peak is None:
        return None
    return Measured(float(integrated[1]), float(peak[1]))


def first(source: Measured, target: Target) -> Level | None:
    """The level to begin with; None for silence, which stays as it is."""
    if source.silent:
        return None
    gain = min(_MOST_GAIN, target.loudness - source.integrated)
    if source.peak + gain <= target.true_peak - _ROOM:
        return Level(gain)
    return Level(gain, target.true_peak - _AAC_MARGIN)


def next_level(tried: list[tuple[Level, Measured]], target: Target) -> Level:
    """What to try after these trials."""
    level, measured = tried[-1]
    gain = min(_MOST_GAIN, level.gain + (target.loudness - measured.integrated) / _yield(tried))
    over = measured.peak - target.true_peak
    ceiling = level.ceiling if level.ceiling is not None else target.true_peak - _AAC_MARGIN
    # A tenth beyond what was missed: the meter rounds to a tenth.
    return Level(gain, ceiling - over - 0.1 if over > 0 else ceiling)


def _yield(tried: list[tuple[Level, Measured]]) -> float:
    """LU that one dB of gain brought: less than one where the limiter works hard."""
    if len(tried) < 2:
        return 1.0
    (old, before), (new, after) = tried[-2:]
    step = new.gain - old.gain
    return min(1.0, max(0.3, (after.integrated - before.integrated) / step)) if abs(step) > 0.05 else 1.0


def best(tried: list[tuple[Level, Measured]], target: Target) -> Level:
    """The trial that keeps the peak and comes nearest; without one, the last with a lower ceiling."""
    kept = [(level, measured) for level, measured in tried if measured.peak <= target.true_peak]
    if kept:
        return min(kept, key=lambda pair: abs(pair[1].integrated - target.loudness))[0]
    return replace(next_level(tried, target), gain=tried[-1][0].gain)
