"""Where the real modules are connected to the simulation: time, threads, chance, logs, scratch. Nothing else."""

import shutil
import uuid
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.model.clockwork import Clockwork
from tests.model.threads import SimPool, SimThreading
from transcode import attempt, counts, lease, logs, publish, reconcile, retries, run, submit, turns
from transcode import task as records


def connect(patch: pytest.MonkeyPatch, clock: Clockwork) -> None:
    """Give the real modules simulated time, threads that are fibers, and chance that comes from the seed."""
    time = SimpleNamespace(monotonic=lambda: clock.now)
    patch.setattr(lease, "time", time)
    patch.setattr(attempt, "time", time)
    patch.setattr(turns, "time", SimpleNamespace(monotonic=time.monotonic, sleep=clock.sleep))
    patch.setattr(turns, "_PAUSE", 1.0)
    patch.setattr(lease, "threading", SimThreading(clock))
    patch.setattr(publish, "ThreadPoolExecutor", SimPool)
    chance = SimpleNamespace(uuid4=lambda: _uuid(clock), uuid5=uuid.uuid5, UUID=uuid.UUID)
    patch.setattr(run, "uuid", chance)
    patch.setattr(records, "uuid", chance)
    patch.setattr(retries, "random", clock.dice)
    patch.setattr(run, "shutil", SimpleNamespace(rmtree=_Broom(clock).rmtree, disk_usage=_disk_usage))
    patch.setattr(attempt, "shutil", SimpleNamespace(disk_usage=_disk_usage))
    for module in (submit, run, lease, publish, reconcile, counts):
        patch.setattr(module, "log", _Log(clock))
    # So that a few tasks fill several pages, and some attempts outlast the message that brought them.
    patch.setattr(reconcile, "_PAGE", 3)
    patch.setattr(lease, "_LONGEST_HOLD", clock.dice.choice([100.0, 11 * 3600.0]))
    patch.setattr(logs, "bound", lambda **_: nullcontext())


def _uuid(clock: Clockwork) -> uuid.UUID:
    return uuid.UUID(int=clock.dice.getrandbits(128), version=4)


def _disk_usage(_: Path) -> SimpleNamespace:
    return SimpleNamespace(free=10**12)


class _Broom:
    """Removes folders, but never for a process that was killed: kill -9 leaves its scratch behind."""

    def __init__(self, clock: Clockwork) -> None:
        self._clock = clock

    def rmtree(self, folder: Path, ignore_errors: bool = False) -> None:
        if not self._clock.me().dead:
            shutil.rmtree(folder, ignore_errors=ignore_errors)


class _Log:
    """The logger of every module: lines go into the story."""

    def __init__(self, clock: Clockwork) -> None:
        self._clock = clock

    def info(self, event: str, **values: Any) -> None:
        if self._clock.story is not None:
            named = " ".join(f"{k}={v}" for k, v in values.items() if v not in ("", None))
            self._clock.say(f"  * {event} {named}")

    debug = warning = error = exception = info
