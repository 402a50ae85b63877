"""Starts ffmpeg and ffprobe. Only here; the nodes of a worker are started in `workers.child`.

A run has its own process group, dies with this process, gets no secrets by its environment, and is gone
when `run` returns, however it returns. What it may touch is in `sandbox`, what its words mean in `failures`.
"""

import ctypes
import math
import os
import re
import resource
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from transcode.errors import EncoderStalled, EncoderTimeout
from transcode.ffmpeg import landlock
from transcode.ffmpeg.progress import Reader, Report
from transcode.ffmpeg.sandbox import Cell
from transcode.ffmpeg.stall import Signs, Stall

# Seconds between looks at a run: quick enough for a person who cancels.
_TICK = 0.25
# Seconds that ffmpeg may take to end by itself after it was asked to.
_GRACE = 5.0
# Characters of the last words that are kept: enough for the cause, too little for a flood.
_WORDS_KEPT = 64 * 1024
# Characters of ffprobe's JSON: a hundred streams take 200 KB.
_ANSWER_KEPT = 4 * 1024 * 1024
# Files open at once: a dozen of its own, as many as it has threads, and far below what would starve the machine.
_OPEN_FILES = 256
# Seconds between the signal that says that the processor time is up and the one that cannot be ignored.
_CPU_GRACE = 5
_PR_SET_PDEATHSIG = 1
# Found before any fork: the child may not load anything.
_PRCTL = ctypes.CDLL(None, use_errno=True).prctl
# Control characters, the escape of terminals among them; tab and newline stay.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


_OPEN = Cell()
_PLAIN: Mapping[str, str] = {}


@dataclass(frozen=True)
class Limits:
    """What a run may use at most: seconds by the clock, bytes of one file, bytes of address space.

    No address space is told for ffmpeg: graphics drivers reserve far more than they use.
    """

    seconds: float
    largest_file: int = 1 << 40
    address_space: int | None = None


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit status (negative: a signal), its answer and its last words."""

    status: int
    answer: str
    words: str


def _nothing() -> None:
    return


def _ignored(_: Report) -> None:
    return


def run(
    command: Sequence[str], limits: Limits, *, folder: Path | None = None, cell: Cell = _OPEN,
    environment: Mapping[str, str] = _PLAIN, check: Callable[[], None] = _nothing,
    on_report: Callable[[Report], None] = _ignored,
) -> Ended:  # fmt: skip
    """Run a command to its end.

    Args:
        command: from `command` or `still`, never from outside.
        limits: what it may use.
        folder: where it runs and writes; without one nothing is watched for growth.
        cell: what it may touch.
        environment: what it is told beside the little that every run is.
        check: asked several times a second; what it raises ends the run and comes out of here.
        on_report: told of each progress block.

    Raises:
        EncoderStalled, EncoderTimeout: it did not move any more, or took too long.
    """
    with cell.rules() as rules:
        process = _start(cell.line(command), limits, folder, environment, rules)
    pipes = _Pipes(process)
    try:
        _attend(process, pipes, limits, folder, check, on_report)
    finally:
        _end(process)
        pipes.close()
    return pipes.ended(cell.status(process.returncode))


def _start(
    command: list[str], limits: Limits, folder: Path | None, environment: Mapping[str, str], rules: int
) -> "subprocess.Popen[bytes]":
    """Start it. The thread that calls must outlive the run: the kernel takes it for the parent."""
    parent = os.getpid()
    limited = _limited(limits)

    def before_it_begins() -> None:
        # Only system calls: this runs between fork and exec, where another thread's lock may be held for ever.
        # Without the first a killed worker leaves its ffmpeg running beside the rescuer's.
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        # Here and not from outside: bwrap would have started ffmpeg before they came.
        for what, most in limited:
            resource.setrlimit(what, most)
        landlock.enter(rules)

    return subprocess.Popen(
        command, cwd=folder, env={**_environment(), **environment}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True, preexec_fn=before_it_begins,  # noqa: PLW1509
    )  # fmt: skip


def _limited(limits: Limits) -> list[tuple[int, tuple[int, int]]]:
    """The limits as the kernel takes them: which, the one that is told and the hard one."""
    # Seconds on every core: the clock ends a run earlier, so this ends only one that has escaped from it.
    cpu = math.ceil(limits.seconds) * (os.cpu_count() or 1)
    wanted = [
        (resource.RLIMIT_CORE, 0, 0), (resource.RLIMIT_FSIZE, limits.largest_file, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES, 0), (resource.RLIMIT_CPU, cpu, _CPU_GRACE),
    ]  # fmt: skip
    if limits.address_space is not None:
        wanted.append((resource.RLIMIT_AS, limits.address_space, 0))
    return [(what, (_allowed(what, most), _allowed(what, most + more))) for what, most, more in wanted]


def _allowed(what: int, most: int) -> int:
    """A limit, or the machine's own where that is lower: it cannot be raised."""
    hard = resource.getrlimit(what)[1]
    return most if hard == resource.RLIM_INFINITY else min(most, hard)


def _environment() -> dict[str, str]:
    """What ffmpeg needs; credentials of the worker are not among it."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", "AV_LOG_FORCE_NOCOLOR": "1"}


class _Pipes:
    """Reads both pipes in threads, so that a full one never stops the run."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.report = Report()
        self.fresh = threading.Event()
        self._reader = Reader()
        self._answer = _Tail(_ANSWER_KEPT)
        self._words = _Tail(_WORDS_KEPT)
        self._pipes = (process.stdout, process.stderr)
        takers = (self._heard, self._words.add)
        self._threads = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in zip(self._pipes, takers, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, pipe: IO[bytes], take: Callable[[str], None]) -> None:
        # Lines of bounded length: a file's tags may be megabytes without a newline.
        while line := pipe.readline(_WORDS_KEPT):
            take(line.decode("utf-8", "replace"))

    def _heard(self, line: str) -> None:
        self._answer.add(line)
        report = self._reader.feed(line)
        if report is not None:
            self.report = report
            self.fresh.set()

    def close(self) -> None:
        """Read what is left and close; the process has ended, so both pipes have an end."""
        for thread in self._threads:
            thread.join()
        for pipe in self._pipes:
            if pipe is not None:
                pipe.close()

    def ended(self, status: int) -> Ended:
        return Ended(status, self._answer.text(), self._words.text())


class _Tail:
    """The last lines, up to a number of characters, fit to be shown."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._lines: deque[str] = deque()

    def add(self, line: str) -> None:
        line = _CONTROL.sub("", line)
        self._lines.append(line)
        self._size += len(line)
        while self._size > self._most and len(self._lines) > 1:
            self._size -= len(self._lines.popleft())

    def text(self) -> str:
        return "".join(self._lines)[-self._most :]


def _attend(
    process: "subprocess.Popen[bytes]", pipes: _Pipes, limits: Limits, folder: Path | None,
    check: Callable[[], None], on_report: Callable[[Report], None],
) -> None:  # fmt: skip
    """Stay with a run until it has ended, or something says that it must end."""
    begun = time.monotonic()
    stall = Stall(begun)
    while not _over(process):
        check()
        if pipes.fresh.is_set():
            pipes.fresh.clear()
            on_report(pipes.report)
        now = time.monotonic()
        if now - begun > limits.seconds:
            raise EncoderTimeout(f"ffmpeg was not done after {limits.seconds:.0f} seconds.")
        if stall.see(now, Signs.of(pipes.report, _bytes(folder))):
            raise EncoderStalled("ffmpeg runs, but nothing has moved for a minute or more.")


def _over(process: "subprocess.Popen[bytes]") -> bool:
    try:
        process.wait(_TICK)
    except subprocess.TimeoutExpired:
        return False
    return True


def _bytes(folder: Path | None) -> int:
    """The bytes that lie in a folder."""
    return 0 if folder is None else sum(_size(path) for path in folder.iterdir())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # it went while we looked


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Make sure that nothing of a run is left: asked first, killed when it does not listen."""
    if process.poll() is not None:
        return
    _signal(process.pid, signal.SIGTERM)
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        _signal(process.pid, signal.SIGKILL)
        process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return
