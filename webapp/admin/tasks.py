"""The list of tasks, with its filters, and what can be done with many at once: retry and cancel, after a look."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date as Day

from flask import Blueprint, Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as Redirect

from transcode import counts, submit
from transcode.clock import day, timestamp
from transcode.errors import Conflict, NotFound, TranscodeError
from transcode.ports import Query
from transcode.states import Status
from transcode.submit import Desk
from transcode.task import Task
from webapp import trail
from webapp.admin import door, skin, words
from webapp.admin.words import gettext as _
from webapp.admin.words import ngettext
from webapp.deps import deps
from webapp.errors import Problem, Refused

blueprint = Blueprint("tasks", __name__, url_prefix="/tasks")

_SHOWN = 25
# Pages that a search by key reads at most: the table has no index by key.
_SEARCHED = 20
# Processing tasks that are counted.
_COUNTED = 100
_CHANGES: Mapping[str, Callable[[Desk, str], Task]] = {"retry": submit.retry, "cancel": submit.cancel}


@dataclass(frozen=True)
class Found:
    """Tasks that were asked for, how many were looked at, and where older ones go on."""

    tasks: tuple[Task, ...]
    looked_at: int
    next_cursor: str


@blueprint.get("")
def show() -> Response:
    """Show the tasks that the filters leave, newest first."""
    date, state = _day(request.args.get("date", "")), _state(request.args.get("status", ""))
    key = request.args.get("key", "").strip()
    found = _find(Query(date, state, _SHOWN, request.args.get("cursor", "")), key)
    kept = {"date": date or None, "status": state, "key": key or None}
    return skin.page(
        "tasks", found=found, filters=kept, statuses=tuple(Status), cursor=request.args.get("cursor", ""),
        counts=_counts(),
    )  # fmt: skip


def _counts() -> dict[Status, str]:
    """How many tasks have each status, as the chips tell it; none where AWS does not tell.

    It costs the same however many tasks there are: the counts of the queues, today's counters, and one page of what
    is processing.
    """
    found = deps()
    with suppress(TranscodeError):
        queue = found.counts()
        today = counts.of_day(found.store, day(timestamp(found.clock())))
        running = found.store.page(Query(status=Status.PROCESSING, limit=_COUNTED))
        more = "+" if running.next_cursor else ""
        return {
            # SQS counts approximately, and by messages.
            Status.PENDING: f"≈ {words.number(queue.waiting + queue.delayed)}",
            Status.PROCESSING: f"{words.number(len(running.tasks))}{more}",
            **{status: words.number(sum(hours)) for status, hours in today.items()},
        }
    return {}


def _day(text: str) -> str:
    try:
        return Day.fromisoformat(text).isoformat()
    except ValueError:
        return ""


def _state(text: str) -> Status | None:
    return Status(text) if text in set(Status) else None


def _find(query: Query, key: str) -> Found:
    """A page of tasks; with a key prefix page after page, until one is full or enough were read."""
    matched: list[Task] = []
    looked_at, cursor = 0, query.cursor
    for _step in range(_SEARCHED if key else 1):
        page = deps().store.page(Query(query.date, query.status, query.limit, cursor))
        matched += [task for task in page.tasks if task.input_key.startswith(key)]
        looked_at, cursor = looked_at + len(page.tasks), page.next_cursor
        if not cursor or len(matched) >= query.limit:
            break
    return Found(tuple(matched), looked_at, cursor)


@blueprint.post("/confirm")
def confirm() -> Response | Redirect:
    """Show what would be changed, and ask."""
    ids = _ids()
    if not ids:
        flash(_("No task was ticked."), "bad")
        return redirect(_back())
    return skin.page("confirm", tasks=[_read(one) for one in ids], change=_change(), back=_back())


@blueprint.post("/change")
def change() -> Redirect:
    """Retry or cancel the tasks, each for itself; say of each that could not be changed why."""
    name, wrong = _change(), list[str]()
    done = [one for one in _ids() if _changed(name, one, wrong)]
    # A few are enough to know what is the matter, and a cookie carries them.
    for sentence in wrong[:3]:
        flash(sentence, "bad")
    if done and name == "retry":
        flash(ngettext("%(num)d task will be tried again.", "%(num)d tasks will be tried again.", len(done)), "good")
    elif done:
        flash(ngettext("%(num)d task is being cancelled.", "%(num)d tasks are being cancelled.", len(done)), "good")
    return redirect(_back())


def _changed(name: str, task_id: str, wrong: list[str]) -> bool:
    try:
        task = _CHANGES[name](deps().desk, task_id)
    except (Conflict, NotFound) as error:
        wrong.append(f"{task_id}: {error}")
        return False
    trail.changed(name, task)
    return True


def _change() -> str:
    name = request.form.get("change", "")
    if name not in _CHANGES:
        raise Refused(Problem(422, "change_unknown", _("A task can be retried or cancelled, nothing else.")))
    return name


def _ids() -> list[str]:
    """The tasks that were ticked: at most as many as a page can show."""
    return list(dict.fromkeys(request.form.getlist("task")))[: _SHOWN * 2]


def _read(task_id: str) -> Task:
    return deps().store.read(task_id)


def _back() -> str:
    wanted = request.form.get("back", "")
    return door.inside(wanted) if wanted else url_for("admin.tasks.show")
