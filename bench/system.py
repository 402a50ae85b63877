"""The whole system under a bench: AWS, bridge and one worker as processes; uploads go in, closed records come out.

What it costs is counted from the first upload to the last closed record, without the processor time of moto,
which stands for what others run.
"""

import itertools
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import clips, meter
from bench.meter import Cost
from bench.throttle import Throttle
from tests.farm import Farm, until
from transcode.aws import clients
from transcode.clock import seconds
from transcode.ports import Query
from transcode.presets import load
from transcode.task import Task

# Seconds that a batch may take.
_PATIENCE = 3600.0
# Seconds between two looks at the records. Each takes a tenth of a second of the same machine's processors, so that two
# looks a second made every batch a tenth longer; when a task was closed stands in its record.
_LOOK = 3.0


class System:
    """Use as a context. `throttle`: what stands between it and its AWS; `changes` are settings."""

    def __init__(self, folder: Path, throttle: Throttle | None = None, **changes: str) -> None:
        types = ",".join(preset.name for preset in load().all)
        # bwrap ends before its child is waited for, and with it all that is known of the time that ffmpeg took.
        usual = {"DEFAULT_TRANSCODE_TYPES": types, "POLL_INTERVAL": "20s", "SANDBOX": "landlock"}
        self._throttle = throttle
        self._farm = Farm(folder, endpoint=throttle.endpoint if throttle else "", **(usual | changes))
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        with ExitStack() as undone:
            farm = undone.enter_context(self._farm)
            self.narrow(float("inf"), float("inf"))
            self._s3 = clients.s3(farm.settings)
            farm.start("bridge")
            farm.start("worker")
            # The first task waits for both to be up.
            self.batch([clips.film(90, "h264", 1.0)])
            self._done = undone.pop_all()
        return self

    def __exit__(self, *why: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._done.__exit__(*why)

    def narrow(self, down: float, up: float) -> None:
        """Let its processes have so many bytes a second of their AWS, where there is a throttle."""
        if self._throttle is not None:
            self._throttle.lead(self._farm.settings.aws_endpoint_url, down, up)

    def batch(self, films: Sequence[Path]) -> tuple[list[Task], Cost]:
        """Upload films; their records when all are closed, and what they cost.

        Raises:
            RuntimeError: a task failed; the bench is worth nothing then.
        """
        keys = [f"{next(self._numbers)}/{film.name}" for film in films]
        used, began = self._processor(), time.time()
        for film, key in zip(films, keys, strict=True):
            self._s3.put_object(Bucket=self._farm.settings.input_bucket[0], Key=key, Body=film.read_bytes())
        tasks: list[Task] = until(lambda: self._closed(keys), "all tasks are over", _PATIENCE)
        closed = max(seconds(task.completed_at) for task in tasks)
        return tasks, Cost(closed - began, self._processor() - used)

    def _closed(self, keys: Sequence[str]) -> list[Task]:
        time.sleep(_LOOK)
        found = self._farm.store.page(Query(limit=100)).tasks
        over = [task for task in found if task.input_key in keys and task.over]
        if failed := [task for task in over if task.error_message]:
            raise RuntimeError(f"A task failed: {failed[0].error_message}")
        return over if len(over) == len(keys) else []

    def _processor(self) -> float:
        return meter.of_trees(child.pid for child in self._farm.children.values())
