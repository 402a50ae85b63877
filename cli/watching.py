"""`transcode watch`: tasks until their end, as bars on a terminal and as lines elsewhere."""

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from cli import direct, listing, paper
from cli.direct import Direct
from cli.listing import Json
from transcode.errors import ServiceUnavailable
from transcode.states import OVER, Status

# Seconds between looks: a worker tells how far it is every 2.
_EVERY = 1.0
# Characters of a key that stand before its bar; with the bar and the pace they fill 80.
_NAME, _BAR = 20, 14
# A line is written each time that so many more per cent are done.
_STEP = 10
_INTERRUPTED = 130


class View(Protocol):
    """Where it is shown how far the tasks are."""

    def show(self, task: dict[str, Any]) -> None:
        """A look at a task, as `/api/tasks/{id}` answers it."""


def watch(
    task_ids: Annotated[list[str], typer.Argument(help="their ids", metavar="TASK_ID")], as_json: Json = False
) -> None:
    """Watch tasks until they are over.

    The exit status is 0 when all of them are completed, else 1.
    """
    farm = direct.connect()
    # Here the cursor has to be shown again first.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with _view(as_json=as_json) as view:
            ends = follow(farm, list(dict.fromkeys(task_ids)), view)
    except KeyboardInterrupt:
        paper.note("Watched no longer; the tasks go on.")
        raise typer.Exit(_INTERRUPTED) from None
    for task in ends:
        if task["error_message"]:
            paper.note(f"{task['task_id']}: {task['error_message']}")
    raise typer.Exit(int(any(task["status"] != Status.COMPLETED for task in ends)))


def follow(farm: Direct, task_ids: list[str], view: View, every: float = _EVERY) -> list[dict[str, Any]]:
    """Look at tasks every so many seconds until the last is over; what they are then.

    Raises:
        NotFound: there is no such task.
        ServiceUnavailable: not even the first look was answered; later ones are repeated.
    """
    ends: list[dict[str, Any]] = []
    found = [_look(farm, task_id) for task_id in task_ids]
    while True:
        for task in found:
            view.show(task)
        ends += [task for task in found if task["status"] in OVER]
        over = {task["task_id"] for task in ends}
        task_ids = [task_id for task_id in task_ids if task_id not in over]
        if not task_ids:
            return ends
        time.sleep(every)
        found = [task for task in map(lambda one: _look_again(farm, one), task_ids) if task]


def _look(farm: Direct, task_id: str) -> dict[str, Any]:
    return farm.get(direct.task_path(task_id))


def _look_again(farm: Direct, task_id: str) -> dict[str, Any] | None:
    try:
        return _look(farm, task_id)
    except ServiceUnavailable:
        # The tasks run on; a watch of hours survives a minute without the table.
        return None


@contextmanager
def _view(*, as_json: bool) -> Iterator[View]:
    if as_json:
        yield Changes()
    elif sys.stdout.isatty():
        with _progress() as progress:
            yield Bars(progress)
    else:
        yield Lines()


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(_BAR),
        TextColumn("{task.fields[pace]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
    )
    return Progress(*columns, console=Console())


class Bars:
    """A bar for each task."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def show(self, task: dict[str, Any]) -> None:
        """Move its bar."""
        # A bar that moves says the status by itself, and the line has room for how fast.
        told = paper.visible(listing.standing(task)).removeprefix(f"{Status.PROCESSING}, ")
        if task["task_id"] not in self._bars:
            self._bars[task["task_id"]] = self._progress.add_task(_name(task["input_key"]), total=100, pace=told)
        self._progress.update(self._bars[task["task_id"]], completed=percent(task), pace=told)


class Lines:
    """A line for each change that is worth one."""

    def __init__(self) -> None:
        self._seen: dict[str, Sequence[object]] = {}

    def show(self, task: dict[str, Any]) -> None:
        """Write a line, if there is news."""
        live = task["live"] or {}
        news = (task["status"], live.get("phase"), percent(task) // _STEP)
        if self._seen.get(task["task_id"]) != news:
            self._seen[task["task_id"]] = news
            print(task["task_id"], paper.visible(listing.standing(task)), flush=True)


class Changes:
    """For programs: a line of JSON, what the API answers, whenever that has changed."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, Any]] = {}

    def show(self, task: dict[str, Any]) -> None:
        """Write it, if it is another one than before."""
        # The addresses of outputs are signed anew each time: they are no news.
        news = {**task, "outputs": {name: made | {"url": ""} for name, made in task["outputs"].items()}}
        if self._seen.get(task["task_id"]) != news:
            self._seen[task["task_id"]] = news
            paper.emit(task, indent=None)


def percent(task: dict[str, Any]) -> float:
    """How far a task is: per cent of its encoding."""
    done = 100.0 if task["status"] == Status.COMPLETED else (task["live"] or {}).get("percent")
    return float(done or 0.0)


def _name(key: str) -> str:
    """The end of a key, which tells more than its beginning."""
    shown = paper.visible(key)
    return f"{shown if len(shown) <= _NAME else '…' + shown[1 - _NAME :]:{_NAME}}"
