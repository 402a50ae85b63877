"""What must hold when the faults have stopped and everything has ended. Each check yields what it found wrong."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tests.soak.farm import SoakFarm
from tests.soak.history import Violation
from tests.soak.people import Asked
from tests.soak.reader import Reader
from tests.soak.recipes import HOPELESS, SOUND
from transcode import counts
from transcode.clock import day
from transcode.errors import InputChanged, Permanent
from transcode.states import Status
from transcode.task import Task

# How log lines begin that tell of a bug, whatever came of the task.
_BUG = "Unforeseen error"
# What a task is failed with when its file is to blame. A replaced upload is: the new one has a task of its own.
_THE_FILES_FAULT = {error.code for error in Permanent.__subclasses__()} - {InputChanged.code}
# How Celery words a task that ended by an exception of ours.
_TRACE = "Traceback (most recent call last)"
# Lines of such a trace that are shown.
_TRACE_LINES = 40
# In the trace of a pool process that was just starting when its worker was killed.
_ORPHAN = "self.on_loop_start(pid=pid)"


@dataclass(frozen=True)
class Checker:
    """The end of a round."""

    farm: SoakFarm
    asked: list[Asked]
    reader: Reader

    def tasks(self) -> dict[str, Task]:
        """Every record there is, from the table itself."""
        return {task_id: self.farm.store.read(task_id) for task_id in self.farm.history.records}

    def check(self) -> list[Violation]:
        """Everything that is wrong with tasks and outputs."""
        tasks = self.tasks()
        found = [*self._lost(tasks), *self._kinds(tasks), *self._blamed(tasks), *self._doubles(tasks)]
        for task in tasks.values():
            found += self._ended(task)
            found += self._outputs(task, tasks)
        return found

    def _lost(self, tasks: dict[str, Task]) -> Iterator[Violation]:
        for asked in self.asked:
            if asked.task not in tasks:
                yield Violation(asked.task, f"the task of {asked.key} was accepted and is not there")

    def _kinds(self, tasks: dict[str, Task]) -> Iterator[Violation]:
        for asked in self.asked:
            task = tasks.get(asked.task)
            if task and task.status is Status.COMPLETED and asked.kind in HOPELESS:
                yield Violation(asked.task, f"a {asked.kind} clip was completed")

    def _blamed(self, tasks: dict[str, Task]) -> Iterator[Violation]:
        """A clip that is good never fails for good by its own fault, whatever was done to its worker."""
        deleted = {asked.key for asked in self.asked if asked.kind == "gone"}
        for asked in self.asked:
            task = tasks.get(asked.task)
            if not task or asked.kind not in SOUND or asked.key in deleted:
                continue
            if task.status is Status.FAILED and task.error_code in _THE_FILES_FAULT:
                yield Violation(asked.task, f"a {asked.kind} clip failed with {task.error_code}: {task.error_message}")

    def _doubles(self, tasks: dict[str, Task]) -> Iterator[Violation]:
        wanted = {asked.task for asked in self.asked}
        for task in tasks.values():
            if task.task_id not in wanted and not task.input_key.startswith("by-api/"):
                yield Violation(task.task_id, f"{task.input_key} has a task that nobody asked for")

    def _ended(self, task: Task) -> Iterator[Violation]:
        if not task.over:
            yield Violation(task.task_id, f"it is {task.status} for good")
        if task.cancel_requested and task.status is not Status.CANCELLED:
            yield Violation(task.task_id, f"a cancel was recorded and it is {task.status}")

    def _outputs(self, task: Task, tasks: dict[str, Task]) -> Iterator[Violation]:
        if task.status is Status.COMPLETED and set(task.outputs) != set(task.transcode_types):
            yield Violation(task.task_id, f"completed with {sorted(task.outputs)} only")
        history = self.farm.history
        for name, output in task.outputs.items():
            mark = self.reader.marks.get(output.key)
            if mark is None:
                yield Violation(task.task_id, f"{output.key} is in the record and not in the bucket")
            elif mark.task != task.task_id:
                if tasks[mark.task].output_order <= task.output_order:
                    yield Violation(task.task_id, f"{output.key} is an older task's")
            elif mark.type != name or name not in history.plans[task.task_id].get(mark.epoch, {}):
                yield Violation(task.task_id, f"{output.key} is not what the attempt {mark.epoch} planned")

    def mixed(self) -> Iterator[Violation]:
        """Tasks whose outputs come from more attempts than have committed generations."""
        for task, epochs in self.reader.by_task().items():
            if len(epochs) > len(set(self.farm.history.commits[task])):
                yield Violation(task, f"its outputs come from the attempts {sorted(epochs)}")

    def uploads(self) -> Iterator[Violation]:
        """Unfinished uploads are allowed of attempts that were killed or cut off, never of a committed one."""
        left = self.reader.unfinished()
        history = self.farm.history
        for task, plans in history.plans.items():
            for epoch in set(plans) & set(history.commits[task]):
                for upload in set(plans[epoch].values()) & set(left):
                    yield Violation(task, f"{left[upload]} of the committed attempt {epoch} was never published")

    def counters(self) -> Iterator[Violation]:
        """The dashboard's numbers are the table's, once they are counted anew."""
        ended = Counter((day(t.completed_at), t.status) for t in self.tasks().values() if t.over)
        for wanted in {of_day for of_day, _ in ended}:
            counts.recount(self.farm.store, wanted)
            for status, hours in counts.of_day(self.farm.store, wanted).items():
                if sum(hours) != ended[wanted, status]:
                    yield Violation("", f"{sum(hours)} {status} are counted on {wanted}, not {ended[wanted, status]}")

    def callbacks(self) -> Iterator[Violation]:
        """Everybody who waited for an end was told of it, as it is; perhaps twice, and perhaps of ends before it."""
        for task in self.tasks().values():
            told = self.farm.receiver.told.get((task.task_id, task.generation), [])
            if task.over and not told:
                yield Violation(task.task_id, f"its end in generation {task.generation} was told to nobody")
            if set(told) - {task.status.value}:
                yield Violation(task.task_id, f"it is {task.status}, and was told as {', '.join(told)}")

    def bugs(self) -> Iterator[Violation]:
        """Log lines and traces that no fault of the environment may cause."""
        for line in self.farm.lines():
            if line["event"].startswith(_BUG):
                yield Violation(str(line.get("task_id", "")), f"{line['of']}: {line['event']}\n{line.get('exception')}")
        said = self.farm.unparsed()
        for place, text in enumerate(said):
            if _TRACE in text:
                shown = said[place : place + _TRACE_LINES]
                if any(_ORPHAN in line for line in shown):
                    continue
                yield Violation("", "\n".join(["a traceback that is no log line:", *shown]))
