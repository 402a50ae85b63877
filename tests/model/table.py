"""`ports.TaskStore` in the simulation: the fake's data and conditions, calls that fail, an index that lags."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from tests.fakes import MemoryTasks
from tests.model.clockwork import Clockwork
from tests.model.line import Line
from tests.model.oracle import Oracle, Writer
from transcode.ports import Page, Query
from transcode.states import Phase
from transcode.task import ASIDE, FARM, Task

# Seconds by which an index of DynamoDB may be behind its table.
_LAG = 5.0


class SimTable:
    """The records. What is written passes the oracle."""

    def __init__(self, clock: Clockwork, oracle: Oracle) -> None:
        self._clock, self._oracle, self._line = clock, oracle, Line(clock, "dynamodb")
        self.data, self._index = MemoryTasks(lambda: clock.now), MemoryTasks(lambda: clock.now)
        # Called when an attempt is about to commit.
        self.near_commit: Callable[[str], None] = lambda _: None
        self._news: deque[tuple[float, str, dict[str, Any]]] = deque()

    def create(self, task: Task) -> bool:
        """As the port says."""
        return self._line.call(f"create {task.task_id[-6:]}", lambda: self._create(task), critical=True)

    def _create(self, task: Task) -> bool:
        made = self.data.create(task)
        if made:
            self._oracle.created(task)
            self._tell(task.task_id)
        # Told twice, the adapter finds its own record in the way.
        return made or self.data.read(task.task_id) == task

    def read(self, task_id: str) -> Task:
        """As the port says."""
        return self._line.call(f"read {task_id[-6:]}", lambda: self.data.read(task_id), write=False)

    def save(self, old: Task, new: Task) -> None:
        """As the port says."""
        writer = self._oracle.writer(old, new)
        self._line.call(
            f"save {old.task_id[-6:]} {_change(old, new)}", lambda: self._save(old, new, writer),
            critical=new.phase is Phase.PUBLISHING or new.status is not old.status,
        )  # fmt: skip

    def _save(self, old: Task, new: Task, writer: Writer) -> None:
        before = self.data.read(old.task_id)
        self.data.save(old, new)
        after = self.data.read(old.task_id)
        if after.ver != before.ver:
            self._oracle.saved(before, after, writer)
            self._tell(old.task_id)

    def _tell(self, task_id: str) -> None:
        self._news.append((self._clock.now, task_id, dict(self.data.items[task_id])))

    def page(self, query: Query) -> Page:
        """As the port says; it shows the table as it was a few seconds ago."""
        until = self._clock.now - (self._clock.dice.uniform(0, _LAG) if self._clock.chaos else 0.0)
        while self._news and self._news[0][0] <= until:
            _, task_id, item = self._news.popleft()
            self._index.items[task_id] = item
        return self._line.call(f"page {query.status}", lambda: self._index.page(query), write=False)

    def merge_aside(self, task_id: str, name: str, values: dict[str, Any]) -> dict[str, Any]:
        """As the port says."""
        critical = "cancel" in values
        if name.startswith(ASIDE.PLAN) and self._clock.hits("meddle"):
            self.near_commit(task_id)
        return self._line.call(
            f"merge {task_id[-6:]}#{name}", lambda: self._merge(task_id, name, values), critical=critical
        )

    def _merge(self, task_id: str, name: str, values: dict[str, Any]) -> dict[str, Any]:
        merged = self.data.merge_aside(task_id, name, values)
        if task_id == FARM:
            self._oracle.purge_noted(values)
        return merged

    def add_aside(self, task_id: str, name: str, attribute: str) -> None:
        """As the port says."""
        self._line.call(f"count {attribute}", lambda: self.data.add_aside(task_id, name, attribute))

    def read_aside(self, task_id: str, name: str) -> dict[str, Any]:
        """As the port says."""
        return self._line.call(f"read {task_id[-6:]}#{name}", lambda: self.data.read_aside(task_id, name), write=False)

    def read_asides(self, task_id: str, names: Sequence[str]) -> tuple[dict[str, Any], ...]:
        """As the port says."""
        return self._line.call(f"read {task_id[-6:]}", lambda: self.data.read_asides(task_id, names), write=False)


def _change(old: Task, new: Task) -> str:
    before, after = (f"{t.status}/{t.phase or ''}/{t.epoch}/{'c' if t.cancel_requested else ''}" for t in (old, new))
    return f"v{old.ver} {before}" + (f" -> {after}" if after != before else "")
