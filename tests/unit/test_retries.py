"""The delays between attempts."""

import random

import pytest

from transcode import retries
from transcode.errors import DeviceBusy, DeviceFault, EncoderFailed, ServiceUnavailable

ERROR = EncoderFailed("It failed.")


def longest(attempts: int) -> float:
    """The longest of many delays after that many attempts."""
    random.seed(attempts)
    return max(retries.delay(ERROR, attempts) for _ in range(2000))


@pytest.mark.parametrize(("attempts", "ceiling"), [(1, 30), (2, 60), (3, 120), (6, 900), (50, 900)])
def test_delays_grow_up_to_what_sqs_can_hold(attempts: int, ceiling: float) -> None:
    random.seed(attempts)
    delays = [retries.delay(ERROR, attempts) for _ in range(2000)]
    assert all(ceiling / 10 <= d <= ceiling for d in delays)
    assert max(delays) > ceiling * 0.95


def test_tasks_that_failed_together_come_back_apart() -> None:
    random.seed(1)
    delays = [retries.delay(ServiceUnavailable("S3 is away."), 1) for _ in range(100)]
    assert len(set(delays)) == 100
    assert max(delays) - min(delays) > 20


def test_an_uncounted_attempt_has_a_delay_too() -> None:
    assert 0 < longest(0) <= retries.FIRST_DELAY


def test_a_cards_fault_goes_to_another_card_at_once() -> None:
    assert retries.delay(DeviceFault("The card is gone."), 3) == retries.DEVICE_DELAY


def test_a_full_card_is_waited_for_a_little() -> None:
    random.seed(3)
    delays = [retries.delay(DeviceBusy("No session is free."), 1) for _ in range(200)]
    assert 5 <= min(delays) < max(delays) <= 30
