"""Time as the record keeps it. Code that decides by time takes a `Clock`, so that tests can hold it still."""

from collections.abc import Callable
from datetime import UTC, datetime

# Seconds since 1970, UTC.
Clock = Callable[[], float]


def timestamp(now: float) -> str:
    """RFC 3339 in UTC with six decimals always: fixed width, so that text order is time order."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds(stamp: str) -> float:
    """The time that a timestamp names; also reads the predecessor's, which have no decimals."""
    return datetime.fromisoformat(stamp).timestamp()


def day(stamp: str) -> str:
    """The UTC day of a timestamp, `2025-01-15`."""
    return stamp[:10]
