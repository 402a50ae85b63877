"""`transcode tasks` and `transcode task`: the list, and everything known of one."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from cli import direct, paper
from transcode.states import Status

Json = Annotated[bool, typer.Option("--json", help="for programs: what the API answers")]


def tasks(
    status: Annotated[Status | None, typer.Option(help="only those that stand so")] = None,
    date: Annotated[str, typer.Option(help="only those made on a day, 2025-01-15 (UTC)")] = "",
    limit: Annotated[int, typer.Option(help="how many at most, 100 or fewer")] = 20,
    cursor: Annotated[str, typer.Option(help="where the list before ended")] = "",
    as_json: Json = False,
) -> None:
    """List tasks, newest first.

    Without a filter these are the tasks of the last 31 days.
    """
    page = direct.connect().get("/api/tasks", status=status, date=date, limit=limit, cursor=cursor)
    if as_json:
        paper.emit(page)
        return
    if not page["tasks"]:
        paper.note("There are no such tasks.")
    else:
        paper.table(("TASK", "STATUS", "CREATED (UTC)", "INPUT"), map(_row, page["tasks"]))
    if page["next_cursor"]:
        paper.note(f"There are more: --cursor {page['next_cursor']}")


def _row(task: dict[str, Any]) -> tuple[str, ...]:
    # To the minute: the key needs the room. `task` tells the second.
    return task["task_id"], task["status"], paper.moment(task["created_at"])[:16], task["input_key"]


def task(task_id: Annotated[str, typer.Argument(help="its id")], as_json: Json = False) -> None:
    """Show everything known of a task."""
    found = direct.connect().get(f"{direct.task_path(task_id)}")
    if as_json:
        paper.emit(found)
    else:
        paper.facts(_facts(found))


def _facts(task: dict[str, Any]) -> Iterator[tuple[str, object]]:
    yield "task", task["task_id"]
    yield "status", standing(task)
    yield "input", f"s3://{task['input_bucket']}/{task['input_key']}  {task['input_version']['size']:,} bytes"
    yield "types", ", ".join(f"{name} ({state})" for name, state in task["progress"].items())
    yield from ((name, paper.moment(task[f"{name}_at"])) for name in ("created", "started", "completed", "updated"))
    yield "runs from", paper.moment(task["not_before"]) if task["status"] == Status.PENDING else ""
    yield "kept until", paper.moment(task["expires_at"])
    yield "attempts", f"{task['attempts']} of {task['max_retries']}"
    yield "worker", task["worker"]
    yield "priority", task["priority"]
    yield "prefix", task["output_prefix"]
    yield "metadata", ", ".join(f"{name}={value}" for name, value in task["metadata"].items())
    yield from _callback(task)
    yield "source", ", ".join(f"{name} {value}" for name, value in task["source"].items() if value not in ("", None))
    yield "seconds", ", ".join(f"{name} {took:.1f}" for name, took in task["phases"].items())
    yield from _made(task)
    yield from _went_wrong(task)


def standing(task: dict[str, Any]) -> str:
    """Where a task stands, in words: its status, and how far it is while it runs."""
    live = task["live"] or {}
    parts = [task["status"], "to be cancelled" if task["cancel_requested"] and not task["completed_at"] else ""]
    if task["status"] == Status.PROCESSING:
        parts += [live.get("phase") or task["phase"] or "", *pace(live)]
    return ", ".join(part for part in parts if part)


def pace(live: dict[str, Any]) -> Iterator[str]:
    """How far and how fast, as far as it is known."""
    forms = (("percent", "{:.0f} %"), ("fps", "{:.0f} fps"), ("speed", "{:.1f}x"), ("eta", "{:.0f} s to go"))
    yield from (form.format(live[name]) for name, form in forms if live.get(name))


def _callback(task: dict[str, Any]) -> Iterator[tuple[str, object]]:
    told = task["callback_delivery"]
    yield "callback", task["callback"]
    if told:
        yield "", f"{told['state']} after {told['attempts']} tries, status {told['status']}  {told['error'] or ''}"


def _made(task: dict[str, Any]) -> Iterator[tuple[str, object]]:
    for name, made in task["outputs"].items():
        codecs = " + ".join(filter(None, (made["codec"], made["audio_codec"])))
        length = f", {made['duration']:.2f} s" if made["duration"] else ""
        yield "output", f"{name}: s3://{task['output_bucket']}/{made['key']}"
        yield "", f"{made['bytes']:,} bytes, {made['width']}x{made['height']}{length}, {codecs}"
        yield "", made["warning"] and f"warning: {made['warning']}"


def _went_wrong(task: dict[str, Any]) -> Iterator[tuple[str, object]]:
    for story in task["history"]:
        ended = f"attempt {story['attempt']} on {story['worker']} ended {paper.moment(story['ended_at'])}"
        yield "history", f"{ended}: {story['error'] or 'well'}"
    yield "error", task["error_message"] and f"{task['error_message']} ({task['error_code']})"
    for wrong in task["error_details"]:
        yield "", f"{wrong['transcode_type']}, {wrong['stage']}: {wrong['error']}"
        yield "command", wrong["command"]
        yield from (("", line) for line in wrong["output"].splitlines())
