from dataclasses import replace

from transcode.ffmpeg.progress import Report
from transcode.ffmpeg.stall import AFTER_FIRST, BEFORE_FIRST, Signs, Stall

MOVING = Signs(out_time=1.0, frame=25, total_size=1000, folder=1000)


def test_a_run_has_time_to_begin() -> None:
    stall = Stall(now=100.0)
    assert not stall.see(100.0 + BEFORE_FIRST, Signs())
    assert stall.see(100.1 + BEFORE_FIRST, Signs())


def test_once_begun_it_has_less() -> None:
    stall = Stall(now=0.0)
    assert not stall.see(10.0, MOVING)
    assert not stall.see(10.0 + AFTER_FIRST, MOVING)
    assert stall.see(10.1 + AFTER_FIRST, MOVING)


def test_each_sign_alone_is_life() -> None:
    for sign in ("out_time", "frame", "total_size", "folder"):
        stall = Stall(now=0.0)
        stall.see(0.0, MOVING)
        assert not stall.see(59.0, replace(MOVING, **{sign: 2000}))
        assert not stall.see(118.0, replace(MOVING, **{sign: 2000}))


def test_reports_that_repeat_themselves_are_no_life() -> None:
    stall = Stall(now=0.0)
    seen = [stall.see(float(second), Signs.of(Report(3.0, 75), 500)) for second in range(70)]
    assert seen == [False] * 61 + [True] * 9


def test_the_index_moved_to_the_front_is_life_though_nothing_is_reported() -> None:
    stall = Stall(now=0.0)
    assert not any(stall.see(float(second), Signs.of(Report(9.0, 90), second)) for second in range(300))
