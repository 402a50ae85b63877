"""The dashboard: what waits, what ended, what runs, on which machines.

What a look costs does not grow with the table or the fleet: four requests to SQS at most (both queues' counts), two
reads of counters, one of the workers, one query of what is processing, and one for the newest tasks, which walks
back a day per query until it has ten (31 at most, on a table that is nearly empty).
"""

from flask import Blueprint, Response

from transcode import counts, roll
from transcode.clock import day, timestamp
from transcode.ports import Query
from transcode.states import Status
from transcode.task import FARM
from webapp.admin import chart, skin
from webapp.deps import deps

blueprint = Blueprint("dashboard", __name__)

_RECENT, _RUNNING = 10, 20


@blueprint.get("")
@blueprint.get("/")
def show() -> Response:
    """Show the farm as it is now."""
    found, now = deps(), deps().clock()
    today = counts.of_day(found.store, day(timestamp(now)))
    yesterday = counts.of_day(found.store, day(timestamp(now - 86400)))
    return skin.page(
        "dashboard",
        queue=found.counts(),
        ended={status: sum(hours) for status, hours in today.items()},
        chart=chart.draw(yesterday, today, now),
        running=found.store.page(Query(status=Status.PROCESSING, limit=_RUNNING)),
        recent=found.store.page(Query(limit=_RECENT)).tasks,
        workers=roll.read(found.store.read_asides(FARM, roll.PAGES), now),
    )
