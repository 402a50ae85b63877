"""How large a rendition's picture is: exact, even, never stretched, never upscaled. Pure.

ffmpeg gets the numbers that are computed here and decides nothing itself.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from transcode.errors import PictureUnusable
from transcode.ffmpeg.probe import SMALLEST_SIDE, Video

# A box that misses the picture's shape by less than this is filled: 848x480 is meant for 16:9.
SNAP = Fraction(1, 100)


@dataclass(frozen=True)
class Size:
    """Pixels, both even: 4:2:0 has one colour sample for each 2x2."""

    width: int
    height: int

    @property
    def area(self) -> int:
        """Pixels of the picture."""
        return self.width * self.height

    def covers(self, other: "Size") -> bool:
        """Whether `other` can be made of this without enlarging it."""
        return self.width >= other.width and self.height >= other.height


@dataclass(frozen=True)
class Frame:
    """A rendition's picture: `inner` is what is scaled, `outer` what is encoded; they differ where bars are asked."""

    inner: Size
    outer: Size


def frame(video: Video, box: tuple[int, int] | None, fit: Literal["inside", "pad"] = "inside") -> Frame:
    """The picture of a source inside `box`; None is the source's own size.

    A padded frame is exactly its box. Otherwise the box turns with a portrait source.

    Raises:
        PictureUnusable: the picture is so narrow that inside this box nothing of it is left.
    """
    width, height = video.display_size
    if box is None:
        size = _even(width, height)
        return Frame(size, size)
    around = Size(*box)
    if fit == "inside" and (height > width) != (around.height > around.width):
        around = Size(around.height, around.width)
    inner = _inside(width, height, around)
    if min(inner.width, inner.height) < SMALLEST_SIDE:
        raise PictureUnusable(
            f"A picture of {round(width)}x{round(height)} inside {around.width}x{around.height} would be "
            f"{inner.width}x{inner.height}; both sides must keep {SMALLEST_SIDE} pixels."
        )
    return Frame(inner, around if fit == "pad" else inner)


def _inside(width: Fraction, height: Fraction, box: Size) -> Size:
    own = _even(width, height)
    shape = width / height / Fraction(box.width, box.height)
    if own.covers(box) and abs(shape - 1) < SNAP:
        return box
    scale = min(box.width / width, box.height / height)
    if scale >= 1:
        return own
    limit = Size(min(box.width, own.width), min(box.height, own.height))
    return Size(_nearest_even(width * scale, limit.width), _nearest_even(height * scale, limit.height))


def _even(width: Fraction, height: Fraction) -> Size:
    """Down to even numbers: up would invent a row."""
    return Size(int(width) // 2 * 2, int(height) // 2 * 2)


def _nearest_even(side: Fraction, most: int) -> int:
    return min(most, round(side / 2) * 2)
