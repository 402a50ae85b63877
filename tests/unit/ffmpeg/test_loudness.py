import pytest

from transcode.ffmpeg.loudness import Level, Measured, Target, best, first, next_level, read

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


def test_silence_keeps_its_level() -> None:
    assert first(Measured(-70.0, float("-inf")), LOUD) is None
    assert first(Measured(float("nan"), float("-inf")), LOUD) is None


def test_a_gain_that_leaves_room_needs_no_limiter() -> None:
    assert first(Measured(-14.0, -1.0), EVEN) == Level(-3.0)


def test_a_gain_towards_the_peak_needs_one() -> None:
    level = first(Measured(-23.0, -4.0), EVEN)
    assert level == Level(6.0, -2.0)


def test_near_silence_is_not_lifted_without_end() -> None:
    level = first(Measured(-60.0, -40.0), LOUD)
    assert level is not None
    assert level.gain == 30.0


def test_a_trial_too_quiet_and_too_high_gets_more_gain_and_a_lower_ceiling() -> None:
    level = next_level([(Level(6.0, -2.0), Measured(-18.0, -0.5))], EVEN)
    assert (level.gain, level.ceiling) == (pytest.approx(7.0), pytest.approx(-2.6))


def test_a_limiter_that_eats_gain_gets_more_of_it() -> None:
    tried = [(Level(10.0, -2.0), Measured(-12.0, -1.2)), (Level(12.0, -2.0), Measured(-11.0, -1.2))]
    assert next_level(tried, LOUD).gain == pytest.approx(14.0)


def test_the_trial_that_keeps_the_peak_and_comes_nearest_is_best() -> None:
    tried = [
        (Level(1.0, -2.0), Measured(-10.0, -0.2)),
        (Level(2.0, -3.0), Measured(-10.4, -1.1)),
        (Level(3.0, -3.0), Measured(-10.9, -1.2)),
    ]
    assert best(tried, LOUD) == Level(2.0, -3.0)


def test_where_no_trial_keeps_the_peak_the_ceiling_falls_further() -> None:
    level = best([(Level(2.0, -2.0), Measured(-10.0, -0.5))], LOUD)
    assert (level.gain, level.ceiling) == (2.0, pytest.approx(-2.6))


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
