"""In which order the tasks of a node use what they share: a smaller film before a larger one, equal ones as they came.

Tasks that download at the same time also encode at the same time, while the line lies idle, and then upload at the
same time. In turn, one encodes while the other has the line. Nobody waits for a larger film than its own, so a huge one
keeps none from the GPU.
"""

import glob
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path

import psutil

# Seconds between two looks; and after which a film goes that others keep overtaking.
_PAUSE, _PATIENCE = 0.05, 600.0
# Seconds over which idle processors are looked for, the percentage busy up to which another encode finds room, and the
# looks in a row that must find it: an encode that begins lets processors idle for a second.
_LOOK, _ROOM, _LOOKS = 1.0, 75.0, 2


class Shared(StrEnum):
    """What is shared: the line each way, and the processors, which one encode fills if they are few.

    Each is the end of the name of a file of each task that uses it or wants to, locked by its process.
    """

    DOWN = ".fetching"
    UP = ".sending"
    CPU = ".encoding"


@contextmanager
def turn(what: Shared, scratch: Path, folder: Path, size: int, since: str, check: Callable[[], None]) -> Iterator[None]:
    """Wait for those of the node that come first, then be under way.

    Args:
        what: what is wanted. Processors that have little to do are not waited for.
        scratch: the node's folder, which has a folder for each task and in it one for each attempt.
        folder: the attempt's own.
        size: bytes of its film.
        since: when the attempt began, as text that sorts: who came first goes first, also on the way up.
        check: called many times a second while waiting; what it raises ends the wait.
    """
    path = folder / f"{size:020d}@{since}{what}"
    deadline = time.monotonic() + _PATIENCE
    idle = _Idle()
    with path.open("w") as note:
        flock(note, LOCK_EX)
        try:
            while _others_first(what, scratch, path) and time.monotonic() < deadline:
                if what is Shared.CPU and idle.seen():
                    break
                check()
                time.sleep(_PAUSE)
            yield
        finally:
            path.unlink(missing_ok=True)


def _others_first(what: Shared, scratch: Path, own: Path) -> bool:
    # Path.glob fails where a folder vanishes while it looks, and tasks end all the time.
    found = [scratch / name for name in glob.glob(f"*/*/*{what}", root_dir=scratch)]  # noqa: PTH207
    return any((other.name, other.parts) < (own.name, own.parts) and _held(other) for other in found)


def _held(path: Path) -> bool:
    """Whether its process still wants it."""
    with suppress(FileNotFoundError), path.open() as note:
        try:
            flock(note, LOCK_SH | LOCK_NB)
        except BlockingIOError:
            return True
    return False


class _Idle:
    """Whether the machine's processors have had little to do for some seconds, as far as these were seen."""

    def __init__(self) -> None:
        psutil.cpu_percent()  # from now on
        self._due, self._found = time.monotonic() + _LOOK, 0

    def seen(self) -> bool:
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + _LOOK
        self._found = self._found + 1 if psutil.cpu_percent() <= _ROOM else 0
        return self._found >= _LOOKS
