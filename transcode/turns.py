"""In which order the tasks of a node use its line: a smaller film before a larger one, equal ones one after the other.

Tasks that download at the same time also encode at the same time, while the line lies idle, and then upload at the
same time. In turn, one encodes while the other has the line. Nobody waits for a larger film than its own, so a huge one
keeps none from the GPU.
"""

import glob
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path

# Seconds between two looks; and after which a film goes that others keep overtaking.
_PAUSE, _PATIENCE = 0.05, 600.0
# Seconds that a turn on the way up lasts on after its end: a task's films go one by one, and between two of them nobody
# may step in, or two tasks would upload at the same time after all.
_LINGER = 0.3


class Line(StrEnum):
    """A direction: the end of the name of a file of each task that uses it or wants to, locked by its process."""

    DOWN = ".fetching"
    UP = ".sending"


@contextmanager
def turn(line: Line, scratch: Path, folder: Path, size: int, since: str, check: Callable[[], None]) -> Iterator[None]:
    """Wait for those of the node that come first, then be under way.

    Args:
        line: which way.
        scratch: the node's folder, which has a folder for each task and in it one for each attempt.
        folder: the attempt's own.
        size: bytes of its film.
        since: when the attempt began, as text that sorts: who came first goes first, also on the way up.
        check: called many times a second while waiting; what it raises ends the wait.
    """
    path = folder / f"{size:020d}@{since}{line}"
    deadline = time.monotonic() + _PATIENCE
    with path.open("w") as note:
        flock(note, LOCK_EX)
        try:
            while _others_first(line, scratch, path) and time.monotonic() < deadline:
                check()
                time.sleep(_PAUSE)
            yield
        finally:
            with suppress(FileNotFoundError):
                os.utime(path) if line is Line.UP else path.unlink()


def _others_first(line: Line, scratch: Path, own: Path) -> bool:
    # Path.glob fails where a folder vanishes while it looks, and tasks end all the time.
    found = [scratch / name for name in glob.glob(f"*/*/*{line}", root_dir=scratch)]  # noqa: PTH207
    return any((other.name, other.parts) < (own.name, own.parts) and _held(other) for other in found)


def _held(path: Path) -> bool:
    """Whether its process still wants it, or may in a moment."""
    with suppress(FileNotFoundError), path.open() as note:
        try:
            flock(note, LOCK_SH | LOCK_NB)
        except BlockingIOError:
            return True
        return time.time() - os.fstat(note.fileno()).st_mtime < _LINGER
    return False
