"""What a run of ffmpeg may touch, and the walls that hold it to that. Which walls work here is in `seen`.

An upload is written by anybody, and decoders have holes, so each run is taken for an attacker's: it reads the
system's programs and its own input, writes its own folder, and has no network. The limits of what it may use
(time, files, memory) are in `runner`, what it may open by itself is in `guard`.
"""

import os
import signal
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from transcode.ffmpeg import landlock

# What a program needs to start. No home, no /etc but how libraries are found, nothing of the worker.
_SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")
# How many processors there are and how memory belongs to them: x265 and the C library look there.
_MACHINE = ("/sys/devices/system/cpu", "/sys/devices/system/node")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
# Where a driver looks for its cards.
_CARD_READ = ("/proc", "/sys")
# bwrap tells of a program ended by a signal as a shell does.
_ENDED_BY_SIGNAL = 128


class Kind(StrEnum):
    """The walls there are, best first."""

    # Namespaces of its own: no network at all, no other process, a file system with nothing else in it.
    BWRAP = "bwrap"
    # The kernel's file and TCP rules; other processes are seen by number only, UDP is not held back.
    LANDLOCK = "landlock"
    # Only what `guard` and `runner` limit.
    NONE = "none"


@dataclass(frozen=True)
class Sandbox:
    """Walls of one kind around these programs, which may lie outside the system's folders."""

    kind: Kind = Kind.NONE
    programs: tuple[Path, ...] = ()
    bwrap: str = ""

    def cell(self, reads: Sequence[Path] = (), writes: Path | None = None, card: Sequence[Path] = ()) -> "Cell":
        """The walls around one run."""
        return Cell(self, tuple(reads), writes, tuple(card))

    @property
    def base(self) -> list[Path]:
        """What every run may read: the system's programs, these programs, and the libraries beside them."""
        real = [path.resolve() for path in self.programs]
        beside = [path.parent.parent / "lib" for path in real if path.parent.name == "bin"]
        told = [Path(folder) for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder.startswith("/")]
        return [*map(Path, (*_SYSTEM, *_MACHINE)), *real, *beside, *told]


# No walls.
OPEN = Sandbox()


@dataclass(frozen=True)
class Cell:
    """The walls around one run: what it may read, the one folder that it may write, and the card that it works on.

    `card` are the places through which a GPU is used: its devices, and a folder for what the driver compiles.
    """

    sandbox: Sandbox = OPEN
    reads: tuple[Path, ...] = ()
    writes: Path | None = None
    card: tuple[Path, ...] = ()

    def line(self, command: Sequence[str]) -> list[str]:
        """The command, inside these walls."""
        if self.sandbox.kind is not Kind.BWRAP:
            return list(command)
        # Its real place, from which it finds libraries that came with it.
        return [self.sandbox.bwrap, *self._namespaces(), "--", os.path.realpath(command[0]), *command[1:]]

    def rules(self) -> AbstractContextManager[int]:
        """The rules for `landlock.enter`; none where the walls are of another kind."""
        if self.sandbox.kind is not Kind.LANDLOCK:
            return landlock.no_rules()
        writes = [] if self.writes is None else [self.writes]
        places = [*_DEVICES, *(_CARD_READ if self.card else ())]
        return landlock.rules(
            [*self.sandbox.base, *self.reads, *map(Path, places)], [*writes, *self.card, Path("/dev/null")]
        )

    def status(self, status: int) -> int:
        """The exit status as if there were no walls: negative for a signal."""
        number = status - _ENDED_BY_SIGNAL
        # ffmpeg's own statuses in this range are errors of the network, which it does not have.
        return -number if self.sandbox.kind is Kind.BWRAP and 0 < number < signal.SIGRTMIN else status

    def _namespaces(self) -> list[str]:
        place = "/" if self.writes is None else str(self.writes)
        return [
            # User, network, processes, messages between them, host name.
            "--unshare-all", "--cap-drop", "ALL",
            # A killed worker must not leave it running.
            "--die-with-parent",
            *_bound("--ro-bind-try", *self.sandbox.base),
            "--proc", "/proc", "--dev", "/dev",
            *_bound("--ro-bind", *self.reads), *([] if self.writes is None else _bound("--bind", self.writes)),
            *(_bound("--ro-bind-try", Path("/sys")) if self.card else []), *_bound("--dev-bind-try", *self.card),
            # These two lie in memory, and what is written there is limited by nothing.
            "--remount-ro", "/dev", "--remount-ro", "/",
            "--chdir", place,
        ]  # fmt: skip


def _bound(how: str, *paths: Path) -> list[str]:
    return [word for path in paths for word in (how, str(path), str(path))]
