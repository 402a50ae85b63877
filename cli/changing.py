"""`transcode cancel`, `retry` and `purge`: what is changed of tasks that are there."""

from typing import Annotated

import typer

from cli import direct, paper
from transcode.errors import TranscodeError

TaskIds = Annotated[list[str], typer.Argument(help="their ids", metavar="TASK_ID")]


def cancel(task_ids: TaskIds) -> None:
    """Cancel tasks.

    Those that wait are cancelled at once, those that run within seconds.
    """
    raise typer.Exit(_each("cancel", task_ids))


def retry(task_ids: TaskIds) -> None:
    """Start failed or cancelled tasks again.

    What they have published is kept and not made again.
    """
    raise typer.Exit(_each("retry", task_ids))


def _each(what: str, task_ids: list[str]) -> int:
    """Do it to each; one that is refused leaves the others alone. The exit status says whether any was."""
    paths = {task_id: direct.task_path(task_id) for task_id in task_ids}
    farm, refused = direct.connect(), 0
    for task_id, path in paths.items():
        try:
            answer = farm.post(f"{path}/{what}")
        except TranscodeError as error:
            refused = 1
            paper.note(f"{task_id}: {error}")
        else:
            print(f"{answer['task_id']}: {answer['message']}")
    return refused


def purge(yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False) -> None:
    """Cancel all tasks that wait; those that run go on."""
    direct.read_settings()
    if not yes:
        typer.confirm("All tasks that wait will be cancelled. Go on?", abort=True)
    print(direct.connect().post("/api/queue/purge")["message"])
