"""The dashboard: what waits, what ended, what runs, on which machines.

What a look costs is the same on every table and every fleet: four requests to SQS at most (the queues' counts), two
reads of counters, one of the workers, and six queries for what is processing and the newest tasks. These are put
together from the statuses: the list of all walks back a day per query, up to 31 of them on a quiet farm.
"""

import heapq
from itertools import chain

from flask import Blueprint, Response

from transcode import counts, roll
from transcode.clock import day, timestamp
from transcode.ports import Query
from transcode.states import Status
from transcode.task import FARM, Task
from webapp.admin import chart as charts
from webapp.admin import skin
from webapp.deps import deps

blueprint = Blueprint("dashboard", __name__)

# Tasks that are shown as running, and as the newest of all.
_NEWEST, _RECENT = 20, 10


@blueprint.get("")
@blueprint.get("/")
def show() -> Response:
    """Show the farm as it is now."""
    found, now = deps(), deps().clock()
    newest = {status: found.store.page(Query(status=status, limit=_NEWEST)) for status in Status}
    today = counts.of_day(found.store, day(timestamp(now)))
    yesterday = counts.of_day(found.store, day(timestamp(now - 86400)))
    return skin.page(
        "dashboard",
        queue=found.counts(),
        ended={status: sum(hours) for status, hours in today.items()},
        chart=charts.draw(yesterday, today, now),
        running=newest[Status.PROCESSING],
        recent=heapq.nlargest(_RECENT, chain.from_iterable(page.tasks for page in newest.values()), key=_made),
        workers=roll.read(found.store.read_asides(FARM, roll.PAGES), now),
    )


def _made(task: Task) -> tuple[str, str]:
    return task.created_at, task.task_id
