"""In which order the tasks of a node download: a smaller film before a larger one, equal ones one after the other.

Two downloads at once take the line's time twice over, and then both tasks encode at once and the line lies idle. One
after the other, a task encodes while the next one downloads. Nobody waits for a larger film than its own, so a huge one
keeps none from the GPU.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path

# Names the file of whoever downloads or wants to: its size in bytes before it. The lock on it ends with its process.
_NOTE = ".fetching"
# Seconds between two looks.
_PAUSE = 0.05


@contextmanager
def turn(scratch: Path, folder: Path, size: int, check: Callable[[], None]) -> Iterator[None]:
    """Wait for those of the node that come first, then be under way.

    Args:
        scratch: the node's folder, which has a folder for each task and in it one for each attempt.
        folder: the attempt's own.
        size: bytes of its film.
        check: called many times a second while waiting; what it raises ends the wait.
    """
    path = folder / f"{size}{_NOTE}"
    with path.open("w") as note:
        flock(note, LOCK_EX)
        try:
            while any(_before(other, path) and _held(other) for other in scratch.glob(f"*/*/*{_NOTE}")):
                check()
                time.sleep(_PAUSE)
            yield
        finally:
            path.unlink(missing_ok=True)


def _before(one: Path, other: Path) -> bool:
    return (int(one.stem), one.parts) < (int(other.stem), other.parts)


def _held(path: Path) -> bool:
    """Whether its process still wants it. A note that was not locked yet passes for dead: then two download at once."""
    with suppress(FileNotFoundError), path.open() as note:
        try:
            flock(note, LOCK_SH | LOCK_NB)
        except BlockingIOError:
            return True
    return False
