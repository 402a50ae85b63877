from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.ffmpeg.sources import video
from transcode.errors import PictureUnusable
from transcode.ffmpeg.geometry import Size, frame

SD, LOW, HD = (848, 480), (640, 360), (1280, 720)
SARS = st.sampled_from([Fraction(1), Fraction(4, 3), Fraction(64, 45), Fraction(8, 9), Fraction(1, 2), Fraction(2)])
SIDES = st.integers(64, 4096)


@pytest.mark.parametrize(
    ("width", "height", "sar", "rotation", "box", "size"),
    [
        (1920, 1080, 1, 0, SD, (848, 480)),  # the box is meant for 16:9
        (1920, 1080, 1, 0, LOW, (640, 360)),
        (1920, 1080, 1, 0, None, (1920, 1080)),
        (1440, 1080, Fraction(4, 3), 0, SD, (848, 480)),
        (1440, 1080, Fraction(4, 3), 0, None, (1920, 1080)),
        (720, 576, Fraction(64, 45), 0, None, (1024, 576)),
        (640, 480, 1, 0, SD, (640, 480)),
        (640, 480, 1, 0, LOW, (480, 360)),
        (640, 480, 1, 90, SD, (480, 640)),
        (640, 480, 1, 270, LOW, (360, 480)),
        (640, 480, 1, 180, LOW, (480, 360)),
        (720, 1280, 1, 0, SD, (480, 848)),
        (853, 479, 1, 0, None, (852, 478)),
        (426, 240, Fraction(640, 639), 0, SD, (426, 240)),
        (1000, 1000, 1, 0, SD, (480, 480)),
        (16, 16, 1, 0, SD, (16, 16)),
        (2560, 1080, 1, 0, SD, (848, 358)),
    ],
)
def test_sizes_that_people_know(
    width: int, height: int, sar: Fraction | int, rotation: int, box: tuple[int, int] | None, size: tuple[int, int]
) -> None:
    found = frame(video(width=width, height=height, sar=Fraction(sar), rotation=rotation), box)
    assert (found.inner, found.outer) == (Size(*size), Size(*size))


@given(SIDES, SIDES, SARS, st.sampled_from([0, 90, 180, 270]), st.sampled_from([SD, LOW, HD, None]))
def test_a_picture_is_even_inside_its_box_never_larger_and_not_stretched(
    width: int, height: int, sar: Fraction, rotation: int, box: tuple[int, int] | None
) -> None:
    film = video(width=width, height=height, sar=sar, rotation=rotation)
    wide, high = film.display_size
    try:
        size = frame(film, box).inner
    except PictureUnusable:
        assert max(wide, high) / min(wide, high) > 20
        return
    assert size.width % 2 == 0
    assert size.height % 2 == 0
    assert size.width <= wide
    assert size.height <= high
    if box is not None:
        around = box if (high > wide) == (box[1] > box[0]) else box[::-1]
        assert size.width <= around[0]
        assert size.height <= around[1]
    # A row or column at most, or what a box is snapped to.
    shape, meant = Fraction(size.width, size.height), wide / high
    slack = Fraction(2, size.width) + Fraction(2, size.height)
    assert abs(shape / meant - 1) <= max(Fraction(1, 100), slack)


@given(SIDES, SIDES, st.integers(32, 1024), st.integers(32, 1024))
def test_a_padded_frame_is_exactly_its_box(width: int, height: int, half_width: int, half_height: int) -> None:
    box = (half_width * 2, half_height * 2)
    try:
        found = frame(video(width=width, height=height), box, "pad")
    except PictureUnusable:
        return
    assert found.outer == Size(*box)
    assert found.outer.covers(found.inner)


def test_a_picture_that_would_vanish_is_refused() -> None:
    with pytest.raises(PictureUnusable, match="64x4"):
        frame(video(width=1280, height=64), (64, 64))
