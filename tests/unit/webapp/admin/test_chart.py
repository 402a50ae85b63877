"""The chart of the last 24 hours."""

import pytest

from tests.fakes import START
from transcode.states import OVER, Status
from webapp.admin import chart
from webapp.admin.chart import Day


def a_day(**hours: dict[int, int]) -> Day:
    return {status: [hours.get(status, {}).get(hour, 0) for hour in range(24)] for status in OVER}


def test_the_bars_are_the_last_24_hours_across_midnight() -> None:
    # It is 10:00: yesterday counts from 11 o'clock on.
    yesterday, today = a_day(completed={10: 100, 11: 1, 23: 2}), a_day(completed={0: 3, 10: 4, 11: 100})
    drawn = chart.draw(yesterday, today, START)
    counted = [bar.counts[Status.COMPLETED] for bar in drawn.bars]
    assert counted == [1, *[0] * 11, 2, 3, *[0] * 9, 4]
    assert (drawn.bars[0].since, drawn.bars[-1].since) == ("2025-01-14T11:00:00.000000Z", "2025-01-15T10:00:00.000000Z")
    assert drawn.total() == drawn.total(Status.COMPLETED) == 10
    assert drawn.total(Status.FAILED) == 0


def test_the_blocks_of_a_bar_stand_on_each_other() -> None:
    drawn = chart.draw(a_day(), a_day(completed={10: 2}, failed={10: 1}, cancelled={10: 1}), START)
    blocks = drawn.bars[-1].blocks
    assert [(b.status, b.y, b.height) for b in blocks] == [
        (Status.COMPLETED, 60, 60), (Status.FAILED, 30, 30), (Status.CANCELLED, 0, 30),
    ]  # fmt: skip


@pytest.mark.parametrize(("most", "scale"), [(0, 4), (4, 4), (5, 10), (11, 20), (21, 40), (41, 100), (99_999, 100_000)])
def test_the_scale_is_a_number_that_people_can_read(most: int, scale: int) -> None:
    assert chart.draw(a_day(), a_day(failed={10: most}), START).most == scale
