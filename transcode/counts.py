"""How many tasks ended per hour: counters beside the records, so that no dashboard has to read the table.

They follow by best effort: a lost one costs nothing but truth for a while. `recount` sets a day's counters
to what the records say; the reconciler does that every hour.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from transcode import logs
from transcode.clock import day, timestamp
from transcode.errors import TranscodeError
from transcode.ports import Query, TaskStore
from transcode.states import OVER, Status
from transcode.task import FARM, Task

log = logs.get(__name__)

# Days that a task may take from its making to its end and still be recounted under the day of its end.
_LONGEST = 3
_PAGE = 100


def _name(of_day: str) -> str:
    return f"ended-{of_day}"


def _slot(task: Task) -> str:
    """The counter of a task that is over: hour and status, `09-completed`."""
    return f"{task.completed_at[11:13]}-{task.status}"


def ended(store: TaskStore, task: Task) -> None:
    """Count a task that has just ended."""
    try:
        store.add_aside(FARM, _name(day(task.completed_at)), _slot(task))
    except TranscodeError as exc:
        log.debug("End not counted, the recount will", task_id=task.task_id, error=str(exc))


def of_day(store: TaskStore, wanted: str) -> dict[Status, list[int]]:
    """Per status, how many tasks ended in each of the day's 24 hours (UTC)."""
    found = store.read_aside(FARM, _name(wanted))
    return {s: [int(found.get(f"{hour:02d}-{s}", 0)) for hour in range(24)] for s in sorted(OVER)}


def recount(store: TaskStore, wanted: str) -> None:
    """Set a day's counters to what the records say."""
    slots = {f"{hour:02d}-{s}": 0 for hour in range(24) for s in OVER}
    store.merge_aside(FARM, _name(wanted), slots | _count(store, wanted))


def _count(store: TaskStore, wanted: str) -> Counter[str]:
    found: Counter[str] = Counter()
    last = datetime.fromisoformat(wanted).replace(tzinfo=UTC)
    for back in range(_LONGEST):
        made = day(timestamp((last - timedelta(days=back)).timestamp()))
        for status in OVER:
            query = Query(date=made, status=status, limit=_PAGE)
            found.update(_slot(task) for task in _all(store, query) if day(task.completed_at) == wanted)
    return found


def _all(store: TaskStore, query: Query) -> Iterator[Task]:
    """Page by page, as a day may have more tasks than memory has room for."""
    while True:
        page = store.page(query)
        yield from page.tasks
        if not page.next_cursor:
            return
        query = Query(query.date, query.status, query.limit, page.next_cursor)
