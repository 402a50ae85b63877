import pytest

from transcode.ffmpeg.progress import Reader, Report, progress
from transcode.ports import Progress

BLOCK = """frame=25
fps=12.5
stream_0_0_q=28.0
bitrate= 640.0kbits/s
total_size=N/A
out_time_us=1000000
out_time_ms=1000000
out_time=00:00:01.000000
dup_frames=0
drop_frames=0
speed=0.5x
progress=continue
"""


def fed(text: str) -> list[Report]:
    reader = Reader()
    return [report for line in text.splitlines() if (report := reader.feed(line)) is not None]


def test_a_block_is_one_report() -> None:
    assert fed(BLOCK + BLOCK.replace("frame=25", "frame=50")) == [
        Report(1.0, 25, 12.5, 0.5, 0), Report(1.0, 50, 12.5, 0.5, 0),
    ]  # fmt: skip


def test_a_block_begun_is_none() -> None:
    assert fed(BLOCK.replace("progress=continue\n", "")) == []


@pytest.mark.parametrize("value", ["N/A", "-9223372036854775807", "", "nonsense"])
def test_a_value_that_is_none_is_zero(value: str) -> None:
    (report,) = fed(BLOCK.replace("out_time_us=1000000", f"out_time_us={value}").replace("0.5x", value))
    assert (report.out_time, report.speed) == (0.0, 0.0)


def test_a_line_that_is_no_pair_is_passed_over() -> None:
    assert fed("warning: odd\n\n" + BLOCK) == fed(BLOCK)


@pytest.mark.parametrize(
    ("report", "duration", "seen"),
    [
        (Report(5.0, 150, 60.0, 2.0), 10.0, Progress(50.0, 60.0, 2.0, 2.5)),
        (Report(), 10.0, Progress(0.0)),
        (Report(5.0, speed=1.0), 0.0, Progress(0.0, 0.0, 1.0, 0.0)),  # a length that is not known
        (Report(20.0, speed=1.0), 10.0, Progress(99.0, 0.0, 1.0, 0.0)),  # longer than its header said
    ],
)
def test_per_cent_and_time_to_go(report: Report, duration: float, seen: Progress) -> None:
    assert progress(report, duration) == seen


def test_the_second_of_four_runs_begins_at_a_quarter() -> None:
    assert progress(Report(5.0), 10.0, done=0.25, share=0.25).percent == 37.5


def test_what_is_done_stays_done() -> None:
    """ffmpeg, loaded and with several outputs, was seen to tell 87.5 per cent and then 84.5."""
    reader = Reader()
    told = [reader.feed(f"{key}={value}") for value in (100, 70, 130) for key in ("out_time_us", "progress")]
    assert [report.out_time * 1e6 for report in told if report] == pytest.approx([100, 100, 130])
