"""A node as a child process of the fleet: started, asked to end, and started again when it ended by itself.

The only place in `workers` where a process is started. What a node does is in `node`, when one is wanted in
`fleet` and `post`. It leads a process group of its own, so that the terminal's signals reach the fleet alone.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from transcode import logs

log = logs.get(__name__)

# Seconds before a node that ended by itself is started again. Doubled each time: a broken one costs little.
FIRST_REST, LONGEST_REST = 1.0, 60.0
# Seconds after which a node has shown that it can run: its next end is a new story.
PROVEN = 300.0
# Seconds after which a node did not end for want of settings: those are read in the first.
SETTLED = 30.0
# How a node may end that was told to: by itself, or by the signal when it had not begun to work yet.
_FAIR = frozenset({0, -signal.SIGTERM, -signal.SIGINT, -signal.SIGQUIT})

_PR_SET_PDEATHSIG = 1

Command = Callable[[str], Sequence[str]]


def node_command(name: str) -> Sequence[str]:
    """The command line of a node, which is told whose end is its own."""
    return [sys.executable, "-m", "workers.node", name, str(os.getpid())]


def end_with(parent: int) -> None:
    """Have this process told to end when its parent dies, even by kill -9: its tasks are handed back.

    The kernel takes the thread that started us for the parent, which in a fleet is the main one.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)  # it died before we asked


class Child:
    """One node. `look` is to be called about every second, by the thread that calls everything here.

    Args:
        name: the node's, without `@host`.
        changes: what its environment has beside that of the fleet.
        command: the command line for a name.
        patience: seconds in which a node that was told to end must have ended; None: as long as it takes.
    """

    def __init__(
        self, name: str, changes: Mapping[str, str], command: Command = node_command, patience: float | None = None
    ) -> None:
        self.name, self.wanted, self.starts = name, False, 0
        # How it last ended: an exit status, or a signal as a negative number.
        self.status: int | None = None
        self._changes, self._command, self._patience = changes, command, patience
        self._process: subprocess.Popen[bytes] | None = None
        self._began = self._due = 0.0
        self._rest = FIRST_REST
        # When it was first told to end.
        self._told: float | None = None

    @property
    def running(self) -> bool:
        """Whether it runs, or has not been seen to end yet."""
        return self._process is not None

    @property
    def failed(self) -> bool:
        """Whether it ended otherwise than a node that was told to."""
        return self.status is not None and self.status not in _FAIR

    def settled(self, now: float) -> bool:
        """Whether it has run long enough that its settings must be good."""
        return self.running and now - self._began >= SETTLED

    def want(self) -> None:
        """It is to run from now on."""
        self.wanted, self._due, self._rest = True, 0.0, FIRST_REST

    def end(self, now: float, number: int = signal.SIGTERM) -> None:
        """It is to run no longer: pass a signal on, each time that this is called."""
        self.wanted = False
        if self._process is not None:
            self._told = now if self._told is None else self._told
            # Nobody but `look` takes note of its end, so the pid is still its own.
            os.kill(self._process.pid, number)

    def look(self, now: float) -> None:
        """Note an end; start it where it is wanted and its rest is over."""
        if self._process is not None and _over(self._process.pid):
            self._bury(self._process, now)
        elif self._process is not None and self._late(now):
            log.warning("Node does not end and is killed", node=self.name, seconds=self._patience)
            _kill(self._process.pid)
        if self._process is None and self.wanted and now >= self._due:
            self._start(now)

    def _late(self, now: float) -> bool:
        return self._told is not None and self._patience is not None and now - self._told > self._patience

    def _start(self, now: float) -> None:
        self.starts += 1
        self._began, self._told = now, None
        try:
            self._process = subprocess.Popen(
                self._command(self.name), env={**os.environ, **self._changes}, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            self._pause(now, f"it could not be started: {error}")
        else:
            log.info("Node started", node=self.name, pid=self._process.pid)

    def _bury(self, process: "subprocess.Popen[bytes]", now: float) -> None:
        # First what it left behind: pool processes of a killed node run on, on scratch that the next one clears.
        _kill(process.pid)
        self.status, self._process = process.wait(), None
        if self._told is not None:
            log.info("Node stopped", node=self.name, how=_words(self.status))
            return
        if now - self._began >= PROVEN:
            self._rest = FIRST_REST
        self._pause(now, _words(self.status))

    def _pause(self, now: float, how: str) -> None:
        log.warning("Node ended by itself, it is started again", node=self.name, how=how, seconds=self._rest)
        self._due, self._rest = now + self._rest, min(LONGEST_REST, self._rest * 2)


def _over(pid: int) -> bool:
    """Whether it has ended; it stays a zombie, so that its pid stays its own."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # none is left; a group of zombies alone refuses on some systems


def _words(status: int) -> str:
    return f"exit status {status}" if status >= 0 else f"signal {-status} ({signal.strsignal(-status)})"
