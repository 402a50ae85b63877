"""What directed fault tests do with a farm: start tasks that hold still, find who runs them, break something."""

import itertools
import os
import signal
from typing import TYPE_CHECKING, Any

import psutil

from tests.farm import until
from tests.faults.proxy import FaultProxy
from tests.soak.farm import SoakFarm
from tests.soak.recipes import HELD, Recipe
from transcode.aws import clients
from transcode.states import Status
from transcode.task import ASIDE, Task

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

# Seconds that a held encode takes when nobody breaks it off: longer than any test.
HOLD = 100.0
_numbers = itertools.count()


class Scene:
    """A farm of one API, one bridge and two workers, `w1` and `w2`."""

    def __init__(self, farm: SoakFarm) -> None:
        self.farm = farm

    @property
    def s3(self) -> "S3Client":
        """The buckets, past the proxy."""
        return clients.s3(self.farm.settings)

    @property
    def proxy(self) -> FaultProxy:
        """Between the processes and AWS."""
        return self.farm.proxy

    def revive(self, names: tuple[str, ...] = ("api", "bridge1", "w1", "w2")) -> None:
        """Start what does not run, and wait until it works."""
        until(lambda: all(self._runs(name) for name in names), "the farm runs")
        self.farm.ready()

    def _runs(self, name: str) -> bool:
        child = self.farm.children.get(name)
        if child is None or child.poll() is not None:
            self.farm.start(name)
        return not name.startswith("w") or len(self.farm.pool(name)) == 2

    def upload(self, kind: str, seconds: float = 0.1) -> str:
        """Put a clip into the input bucket; its key."""
        number = next(_numbers)
        key = f"directed/{number}-{kind}.mp4"
        self.s3.put_object(Bucket="flow-input", Key=key, Body=Recipe(kind, seconds, number).clip())
        return key

    def task(self, key: str) -> str:
        """The id of the one task of an input key, once it is there."""

        def look() -> list[str]:
            with self.farm.history.lock:
                return [t for t, r in self.farm.history.records.items() if r["input_key"] == key]

        found: list[str] = until(look, f"a task for {key}")
        assert len(found) == 1
        return found[0]

    def held(self, seconds: float = HOLD) -> tuple[str, psutil.Process]:
        """A task whose encode holds still, and its encoder's process."""
        task = self.task(self.upload(HELD, seconds))
        return task, until(lambda: self.encoder(task), f"an encoder works on {task}")

    def encoder(self, task: str) -> psutil.Process | None:
        """The process that encodes a task's film now."""
        for process in self.farm.encoders():
            try:
                if task in process.cwd() and float(process.cmdline()[1]) > 1.0:
                    return process
            except (psutil.Error, IndexError, ValueError):  # just forked, or gone
                continue
        return None

    def holder(self, task: str) -> str:
        """The worker that runs a task, by its name here."""
        return self.read(task).worker.split("@")[0]

    def read(self, task: str) -> Task:
        """A record as it is now, past the proxy."""
        return self.farm.store.read(task)

    def completed(self, task: str, attempts: int) -> Task:
        """Wait for the end of a task, which must be completion with so many attempts."""
        done = self.farm.over(task)
        assert (done.status, done.attempts) == (Status.COMPLETED, attempts), done.error_message
        assert set(done.outputs) == set(done.transcode_types)
        return done

    def stories(self, task: str) -> list[dict[str, Any]]:
        """The history of a task's attempts."""
        told = self.farm.store.read_aside(task, ASIDE.HISTORY)
        return [story for _, story in sorted(told.items())]

    def gone(self, process: psutil.Process) -> None:
        """Wait until a process is no more."""
        until(lambda: not process.is_running(), f"process {process.pid} is gone", 20.0)

    def signal(self, name: str, number: signal.Signals) -> None:
        """To a worker's main process and its pool at once, as `docker pause` does."""
        os.killpg(self.farm.children[name].pid, number)

    def quiet(self) -> None:
        """Wait until no encoder runs."""
        until(lambda: not self.farm.encoders(), "no encoder runs")
