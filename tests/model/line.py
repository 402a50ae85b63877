"""How a call to a service of AWS can go: each has a fate, drawn before it is made."""

from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import TypeVar

from tests.model.clockwork import Clockwork
from transcode.errors import ServiceUnavailable, TranscodeError, Unknown

T = TypeVar("T")
# Seconds until a client gives up waiting, and by which a late write lands after that.
_TIMEOUT, _LATE = 5.0, (0.1, 6.0)
# Seconds for which a process does not reach a service: some outlast a lease.
_CUT = (2.0, 100.0)


class Fate(StrEnum):
    """What becomes of one call."""

    FINE = "fine"
    THROTTLED = "throttled"
    LOST = "lost"
    SILENT = "silent"
    LATE = "late"
    TWICE = "twice"


class Line:
    """The line to a service; every call is two places where the caller can be frozen or killed."""

    def __init__(self, clock: Clockwork, service: str) -> None:
        self._clock, self._service = clock, service

    def call(self, what: str, act: Callable[[], T], *, write: bool = True, critical: bool = False) -> T:
        """Make a call that may fail as calls do.

        Raises:
            ServiceUnavailable: it was not applied, or it was a read.
            Unknown: a write that may have been applied, now or later.
        """
        clock = self._clock
        clock.point(what, critical=critical)
        fate = self._fate(write)
        clock.say(f"{what} [{fate}]" if fate is not Fate.FINE else what)
        if fate is Fate.THROTTLED:
            raise ServiceUnavailable(f"{what} was throttled.")
        if fate in (Fate.LOST, Fate.LATE):
            self._give_up(what, act, fate, write)
        found = act()
        if fate is Fate.TWICE:
            # The client below us saw no answer to its first try.
            found = act()
        clock.point(f"{what}, done")
        if fate is Fate.SILENT:
            if clock.hits("cut"):
                clock.me().cut_until[self._service] = clock.now + clock.dice.uniform(*_CUT)
            raise _silence(what, write)
        return found

    def _give_up(self, what: str, act: Callable[[], T], fate: Fate, write: bool) -> None:
        if fate is Fate.LATE:
            self._clock.at(_TIMEOUT + self._clock.dice.uniform(*_LATE), lambda: _quietly(act))
        self._clock.sleep(_TIMEOUT)
        raise _silence(what, write)

    def _fate(self, write: bool) -> Fate:
        clock = self._clock
        if not clock.chaos:
            return Fate.FINE
        if clock.me().cut_until.get(self._service, 0.0) > clock.now:
            return Fate.LOST
        fates: tuple[Fate, ...] = (Fate.THROTTLED, Fate.LOST, Fate.SILENT, *((Fate.LATE, Fate.TWICE) if write else ()))
        thrown = clock.dice.random()
        for fate in fates:
            chance: float = getattr(clock.chances, fate)
            thrown -= chance
            if thrown < 0:
                clock.stats[fate.value] += 1
                return fate
        return Fate.FINE


def _silence(what: str, write: bool) -> ServiceUnavailable:
    return Unknown(f"{what} got no answer.") if write else ServiceUnavailable(f"{what} got no answer.")


def _quietly(act: Callable[[], T]) -> None:
    # Nobody is there any more to hear why a late write was refused.
    with suppress(TranscodeError):
        act()
