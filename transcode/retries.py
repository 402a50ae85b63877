"""When a failed attempt is tried again. The only place that knows the delays."""

import random

from transcode.errors import DeviceBusy, DeviceFault, TranscodeError

# Seconds before the second attempt; doubled for each later one.
FIRST_DELAY = 30.0
# SQS delays a message by 15 minutes at most.
LONGEST_DELAY = 900.0
# A card's fault is no reason to wait: another card takes the task. A full card is one to wait a little.
DEVICE_DELAY, BUSY_DELAY = 2.0, 30.0


def delay(error: TranscodeError, attempts: int) -> float:
    """Seconds until the next attempt, after `attempts` of them: growing, with full jitter.

    Jitter keeps a thousand tasks that failed together from coming back together.
    """
    if isinstance(error, DeviceBusy):
        return random.uniform(BUSY_DELAY / 6, BUSY_DELAY)
    if isinstance(error, DeviceFault):
        return DEVICE_DELAY
    ceiling = min(LONGEST_DELAY, FIRST_DELAY * 2 ** max(0, attempts - 1))
    return random.uniform(ceiling / 10, ceiling)
