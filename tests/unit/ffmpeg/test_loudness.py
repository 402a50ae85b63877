import pytest

from transcode.ffmpeg.loudness import (
    SILENCE,
    Level,
    Measured,
    Take,
    Target,
    best,
    chosen,
    first,
    heard,
    next_level,
    read,
    rehearsals,
)

SAID = """[Parsed_ebur128_2 @ 0x55] [info] Summary:

  Integrated loudness:
    I:         -23.1 LUFS
    Threshold: -33.4 LUFS

  Loudness range:
    LRA:         5.9 LU
    Threshold: -43.1 LUFS
    LRA low:   -27.3 LUFS
    LRA high:  -21.4 LUFS

  True peak:
    Peak:       -4.2 dBFS
"""
EVEN, LOUD = Target(-17.0, -1.0), Target(-10.0, -1.0)


def test_the_summary_is_read() -> None:
    assert read("[info] title : Summary: I: -1.0 LUFS Peak: 9.0 dBFS\n" + SAID) == Measured(-23.1, -4.2)


def test_silence_has_no_peak() -> None:
    found = read(SAID.replace("-23.1", "-70.0").replace("-4.2", "-inf"))
    assert found is not None
    assert found.silent


def test_words_without_summary_measure_nothing() -> None:
    assert read("[error] odd") is None


def test_the_meters_of_a_rehearsal_tell_in_any_order() -> None:
    told = "".join(
        SAID.replace("Parsed_ebur128_2", f"ebur128@{number}").replace("-23.1", lufs)
        for number, lufs in ((10, "-8.0"), (1, "-9.5"), (0, "-70.0"))
    )
    assert heard(told, 11)[:3] == [-70.0, -9.5, SILENCE]
    assert heard(told, 11)[10] == -8.0


def test_a_gain_that_leaves_room_needs_no_limiter() -> None:
    assert first(Measured(-14.0, -1.0), EVEN) == Level(-3.0)


def test_a_gain_towards_the_peak_needs_one() -> None:
    level = first(Measured(-23.0, -4.0), EVEN)
    assert level == Level(6.0, -2.0)


def test_near_silence_is_not_lifted_without_end() -> None:
    assert first(Measured(-60.0, -40.0), LOUD).gain == 30.0
    assert rehearsals(Measured(-60.0, -10.0), Level(30.0, -2.0)) == (Level(30.0, -2.0),)


@pytest.mark.parametrize("level", [Level(3.0), Level(3.0, -2.0)])
def test_what_no_limiter_bites_is_not_rehearsed(level: Level) -> None:
    assert rehearsals(Measured(-13.0, -4.0), level) == ()


def test_more_gain_than_the_difference_is_rehearsed_where_a_limiter_bites() -> None:
    gains = [level.gain for level in rehearsals(Measured(-16.0, -1.7), Level(6.0, -2.0))]
    assert gains[0] == 6.0
    assert gains == sorted(gains)
    assert len(gains) > 2


REHEARSED = [(Level(6.0, -2.0), -12.6), (Level(10.0, -2.0), -11.2), (Level(14.0, -2.0), -10.4)]


@pytest.mark.parametrize(
    ("wanted", "gain"),
    [
        (-11.9, 8.0),  # between two
        (-10.8, 12.0),
        (-9.8, 16.0),  # beyond the last: a limiter is taken to leave 0.3 LU of a dB
        (-15.0, 6.0),  # never below the plain difference
        (0.0, 30.0),
    ],
)
def test_the_gain_is_found_between_those_rehearsed(wanted: float, gain: float) -> None:
    assert chosen(REHEARSED, Target(wanted, -1.0)) == Level(pytest.approx(gain), -2.0)


def take(gain: float, ceiling: float | None, integrated: float, peak: float) -> Take:
    return Take(Level(gain, ceiling), Measured(integrated, peak), f"{gain}.m4a")


def test_a_take_within_half_a_lu_and_below_the_peak_is_good() -> None:
    assert next_level([take(6.0, None, -17.5, -1.0)], EVEN) is None


def test_a_take_too_quiet_and_too_high_gets_more_gain_and_a_lower_ceiling() -> None:
    level = next_level([take(6.0, -2.0, -18.0, -0.5)], EVEN)
    assert level == Level(pytest.approx(7.0), pytest.approx(-2.8))


def test_a_take_that_is_only_too_high_keeps_its_gain() -> None:
    assert next_level([take(6.0, -2.0, -17.3, -0.9)], EVEN) == Level(6.0, pytest.approx(-2.4))


def test_a_peak_of_aac_brings_a_limiter() -> None:
    assert next_level([take(6.0, None, -17.0, -0.9)], EVEN) == Level(6.0, pytest.approx(-2.3))


def test_a_limiter_that_eats_gain_gets_more_of_it() -> None:
    level = next_level([take(10.0, -2.0, -12.0, -1.2), take(12.0, -2.0, -11.0, -1.2)], LOUD)
    assert level is not None
    assert level.gain == pytest.approx(14.0)


def test_where_nothing_else_can_be_tried_it_ends() -> None:
    assert next_level([take(30.0, None, -30.0, -9.0)], LOUD) is None


def test_the_take_that_keeps_the_peak_and_comes_nearest_is_best() -> None:
    takes = [take(1.0, -2.0, -10.0, -0.2), take(2.0, -3.0, -10.4, -1.1), take(3.0, -3.0, -10.9, -1.2)]
    assert best(takes, LOUD) is takes[1]


def test_where_no_take_keeps_the_peak_the_lowest_is_best() -> None:
    takes = [take(1.0, -2.0, -10.0, -0.2), take(2.0, -3.0, -10.4, -0.6)]
    assert best(takes, LOUD) is takes[1]


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (Measured(-17.9, -1.0), ""),
        (Measured(-18.5, -1.5), "Loudness is -18.5 LUFS instead of -17.0."),
        (Measured(-17.0, -0.4), "True peak is -0.4 dB instead of at most -1.0."),
    ],
)
def test_what_a_rendition_misses_is_said(measured: Measured, words: str) -> None:
    assert EVEN.misses(measured) == words
