"""One attempt while it runs: what it works with, and what it has done so far. Gone when it ends."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transcode import turns
from transcode.clock import timestamp
from transcode.errors import DiskFull, TranscodeError
from transcode.lease import Lease
from transcode.ports import Encoder, Progress, TypeFailure
from transcode.submit import Desk
from transcode.task import OUTPUT_KEPT, ErrorDetail, Task
from transcode.turns import Shared

# Bytes of scratch that no attempt may take: a disk that is quite full fails all tasks of the machine at once.
_KEPT_FREE = 64 * 10**6

# Bytes of a film whose size nobody told: what S3 takes at most.
_SIZE_UNTOLD = 5 * 10**12


@dataclass(frozen=True)
class Tools:
    """What a worker works with."""

    desk: Desk
    encoder: Encoder
    worker: str  # node name, as `celery inspect` shows it
    scratch: Path  # this node's own folder
    stopping: Callable[[], bool]  # whether the node hands its tasks back


@dataclass
class Attempt:
    """Its only mutable state, and the `Watch` of its encode.

    `stage` is the word that error details use: download, transcode or upload.
    """

    lease: Lease
    tools: Tools
    folder: Path = Path()
    stage: str = "download"
    # The phase that the live item shows.
    shown: str = ""
    # Seconds per phase.
    phases: dict[str, float] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    # Type -> what is to be published of it; the types that could not be made.
    plan: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[TypeFailure] = field(default_factory=list)
    # From here a write that got no answer may have decided the task.
    committing: bool = False

    @property
    def task(self) -> Task:
        """The record as this attempt knows it."""
        return self.lease.task

    @property
    def desk(self) -> Desk:
        """The ports and settings."""
        return self.tools.desk

    def check(self) -> None:
        """As `Watch` says. What was free before the download may have gone to others meanwhile.

        Raises:
            Stopped: the lease says so.
            DiskFull: the scratch disk runs full.
        """
        self.lease.check()
        free = shutil.disk_usage(self.folder).free
        if free < _KEPT_FREE:
            raise DiskFull(f"The worker's scratch disk is nearly full: {free} bytes left, {_KEPT_FREE} stay free.")

    def progress(self, progress: Progress) -> None:
        """As `Watch` says."""
        self.lease.progress(progress)

    @contextmanager
    def phase(self, name: str, stage: str) -> Iterator[None]:
        """Time a part of the work and remember where we are; when it ends well, we are where we were before."""
        self.stage, began, before = stage, time.monotonic(), self.shown
        self.show(name)
        try:
            yield
        finally:
            self.phases[name] = round(self.phases.get(name, 0.0) + time.monotonic() - began, 3)
        self.stage = "transcode"
        self.show(before)

    def turn(self, what: Shared) -> AbstractContextManager[None]:
        """Have what the node's tasks share when it is this one's turn."""
        size = self.task.input_version.size or _SIZE_UNTOLD
        return turns.turn(what, self.tools.scratch, self.folder, size, self.task.started_at, self.lease.check)

    def show(self, phase: str) -> None:
        """Have people see which phase this is."""
        self.shown = phase
        self.lease.tell(phase=phase)

    def detail(self, name: str, error: TranscodeError) -> ErrorDetail:
        """What went wrong with one type, in the shape that existing clients read."""
        return ErrorDetail(
            transcode_type=name, stage=self.stage, error=str(error), code=error.code,
            command=error.command[:OUTPUT_KEPT], output=error.output[-OUTPUT_KEPT:],
            timestamp=timestamp(self.desk.clock()),
        )  # fmt: skip
