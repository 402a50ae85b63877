"""Who may use a card now: encode sessions and memory, counted over all processes of the host.

A run that was let in holds a place: an empty file whose name says what it takes, locked by its process. When
the process dies, however it dies, the kernel lets go of the lock and the place is free. Only who holds the lock
of `mutex` may add a place, so two processes never take the same room. Which card a process has is `nvml`'s.
"""

import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock
from pathlib import Path
from secrets import token_hex

from transcode.errors import DeviceBusy
from transcode.ffmpeg import nvml
from transcode.ffmpeg.nvml import Card

# An estimate of memory is a formula; drivers round up, and a run that is let in must not fail.
_MARGIN = 1.3
# Seconds in which a run may not have taken its memory yet, so that the card's own count does not show it.
_YOUNG = 30.0
# Seconds that a run waits for room: a short run's length. Longer, and another card or machine is the better place.
_PATIENCE = 120.0
# Seconds between two looks; not always the same, so that processes that wait do not look in step.
_PAUSE = (0.2, 0.3)
_MIB = 1024**2

# Sessions, bytes, seconds of the machine's clock at admission; then what makes the name unique.
_PLACE = re.compile(r"(\d+)-(\d+)-(\d+)-\d+-[0-9a-f]+\.(?:place|new)")


@dataclass(frozen=True)
class Place:
    """What one admitted run takes of a card: sessions, bytes; and whether it began just now."""

    sessions: int
    memory: int
    young: bool = False


def used(folder: Path) -> tuple[int, int]:
    """Encode sessions and bytes that the runs admitted to a card take, by their estimates."""
    live = _live(folder)
    return sum(place.sessions for place in live), sum(place.memory for place in live)


@dataclass(frozen=True)
class Gate:
    """The way to one card.

    Args:
        folder: the card's, the same for all processes of the host.
        card: which.
        sessions: encode sessions that the card allows at once; None: no limit.
        patience: seconds that a run waits for room.
    """

    folder: Path
    card: Card
    sessions: int | None
    patience: float = _PATIENCE

    @contextmanager
    def admitted(self, sessions: int, memory: int, check: Callable[[], None]) -> Iterator[None]:
        """Hold a place on the card; wait for it first if need be.

        Args:
            sessions: encode sessions that the run opens.
            memory: bytes that it takes, estimated without a margin.
            check: called several times a second while waiting; what it raises ends the wait.

        Raises:
            DeviceBusy: no room for too long, or waiting cannot help, because none of our runs is in the way.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path, lock = self._wait(Place(sessions, memory), check)
        try:
            yield
        finally:
            _let_go(lock)
            path.unlink(missing_ok=True)

    def lack(self, wanted: Place, live: list[Place], free: int | None) -> str:
        """What there is too little of, as a sentence; empty when the run may begin.

        Args:
            wanted: what it needs.
            live: the places that are held.
            free: bytes that are free by the card's own count; None when it does not say.
        """
        taken = sum(place.sessions for place in live)
        if self.sessions is not None and taken + wanted.sessions > self.sessions:
            return (
                f"{self.card.name} allows {self.sessions} encode sessions at once, {taken} are taken, and this run "
                f"needs {wanted.sessions}."
            )
        needed, spare = wanted.memory * _MARGIN, max(0, self._spare(live, free))
        if needed > spare:
            return (
                f"{self.card.name} has {spare // _MIB} of {self.card.memory // _MIB} MiB of memory to spare, and this "
                f"run needs {needed / _MIB:.0f} MiB."
            )
        return ""

    def _spare(self, live: list[Place], free: int | None) -> int:
        """Bytes that nobody takes or is about to take."""
        untaken = self.card.memory - sum(place.memory for place in live)
        if free is None:
            return untaken
        # The card's count knows strangers too, but not what the young runs are about to take.
        return min(untaken, free - sum(place.memory for place in live if place.young))

    def _wait(self, wanted: Place, check: Callable[[], None]) -> tuple[Path, int]:
        deadline = time.monotonic() + self.patience
        while True:
            check()
            try:
                return self._take(wanted)
            except _Full as full:
                if time.monotonic() >= deadline:
                    raise DeviceBusy(f"No room for {self.patience:.0f} s: {full}") from None
            time.sleep(random.uniform(*_PAUSE))

    def _take(self, wanted: Place) -> tuple[Path, int]:
        """A place's file and its locked descriptor."""
        # Asked before the decision, as it may take long; who comes in between is young and counts as such.
        now = nvml.load(self.card.uuid)
        free = None if now is None else now.memory_total - now.memory_used
        with _deciding(self.folder):
            live = _swept(self.folder)
            lack = self.lack(wanted, live, free)
            if not lack:
                return _new_place(self.folder, wanted)
        if not live or self.lack(wanted, [], None):
            raise DeviceBusy(lack)
        raise _Full(lack)


class _Full(Exception):
    """No room at this moment; the sentence says what is missing."""


@contextmanager
def _deciding(folder: Path) -> Iterator[None]:
    """Be the one who adds a place.

    Does not wait for whoever decides now: they may have been stopped, and we must go on looking at `check`.
    """
    lock = os.open(folder / "mutex", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        flock(lock, LOCK_EX | LOCK_NB)
        yield
    except BlockingIOError:
        raise _Full("Another process decides about the card.") from None
    finally:
        _let_go(lock)


def _new_place(folder: Path, wanted: Place) -> tuple[Path, int]:
    name = f"{wanted.sessions}-{wanted.memory}-{int(time.monotonic())}-{os.getpid()}-{token_hex(4)}"
    path, new = folder / f"{name}.place", folder / f"{name}.new"
    lock = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    flock(lock, LOCK_EX)
    # Seen by others only once it is locked.
    new.rename(path)
    return path, lock


def _swept(folder: Path) -> list[Place]:
    """The live places; what dead processes left is removed. Only for who decides."""
    for path in folder.iterdir():
        # One that was never finished: who made it no longer decides, or we would not.
        if _PLACE.fullmatch(path.name) and (path.suffix == ".new" or not _held(path)):
            path.unlink(missing_ok=True)
    return _live(folder)


def _live(folder: Path) -> list[Place]:
    now, found = time.monotonic(), []
    for path in folder.glob("*.place"):
        match = _PLACE.fullmatch(path.name)
        if match and _held(path):
            sessions, memory, since = map(int, match.groups())
            found.append(Place(sessions, memory, now - since < _YOUNG))
    return found


def _held(path: Path) -> bool:
    """Whether the process that made a place still runs."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who look do not take each other for the holder.
        flock(lock, LOCK_SH | LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _let_go(lock: int) -> None:
    """Unlock and close; without the first a child that was forked meanwhile would hold on."""
    flock(lock, LOCK_UN)
    os.close(lock)
