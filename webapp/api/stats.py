"""`/api/stats`: what the dashboard shows, as JSON. Its cost does not grow with the table."""

from datetime import UTC, datetime, timedelta

from apiflask import APIBlueprint
from pydantic import Field

from transcode import counts, roll
from transcode.clock import day, timestamp
from transcode.ports import Query, TaskStore
from transcode.roll import State, Worker
from transcode.states import Status
from transcode.task import FARM
from webapp.api.schemas import LARGEST_PAGE, CardOut, LoadOut, Out
from webapp.deps import deps

blueprint = APIBlueprint("stats", __name__, tag="Stats", url_prefix="/api/stats")

_HOURS = 24


class QueueNow(Out):
    """How many messages stand where; SQS counts approximately."""

    waiting: int
    in_flight: int
    delayed: int
    dead_letter: int


class RunningNow(Out):
    """How many tasks are processing."""

    count: int = Field(description=f"At most {LARGEST_PAGE}.")
    more: bool = Field(description="There are more than that.")


class Ended(Out):
    """How many tasks came to their end."""

    completed: int
    failed: int
    cancelled: int


class HourOut(Ended):
    """The same for one hour."""

    hour: str = Field(description="Its beginning, UTC.", examples=["2025-01-15T09:00:00Z"])


class WorkersNow(Out):
    """How many worker nodes are in which state."""

    running: int
    silent: int
    ended: int = Field(description="Within the last hour.")
    capacity: int = Field(description="Tasks that the running ones take at once.")


class CardNow(Out):
    """A GPU at work."""

    node: str
    card: CardOut
    load: LoadOut | None
    tasks: int = Field(description="Tasks that run on it.")


class Stats(Out):
    """The farm at a glance."""

    timestamp: str
    queue: QueueNow
    running: RunningNow
    today: Ended = Field(description="Since midnight UTC.")
    hours: tuple[HourOut, ...] = Field(description="The last 24, the current one last.")
    workers: WorkersNow
    cards: tuple[CardNow, ...] = Field(description="GPUs of the running nodes.")


@blueprint.get("")
@blueprint.output(Stats)
@blueprint.doc(responses={503: "The queue or the table does not answer"})
def get_stats() -> Stats:
    """Tell how the farm stands and what it did in the last 24 hours.

    Seven calls of AWS, however large the table is: `GetQueueAttributes` of the queue and of its dead letters,
    `GetQueueUrl` of the latter, `GetItem` for the counters of today and of yesterday, `Query` for what is
    processing, `BatchGetItem` for the workers. An urgent queue costs one more.
    """
    found, now = deps(), deps().clock()
    messages = found.counts()
    hours = last_hours(found.store, now)
    workers = roll.read(found.store.read_asides(FARM, roll.PAGES), now)
    today = [hour for hour in hours if hour.hour.startswith(day(timestamp(now)))]
    return Stats(
        timestamp=timestamp(now),
        queue=QueueNow(
            waiting=messages.waiting, in_flight=messages.in_flight, delayed=messages.delayed, dead_letter=messages.dead
        ),
        running=_running(found.store),
        today=Ended(**{str(status): sum(getattr(hour, status) for hour in today) for status in _ENDS}),
        hours=hours,
        workers=_workers(workers, now),
        cards=tuple(_card(w, w.card) for w in workers if w.card and w.state(now) is State.RUNNING),
    )


_ENDS = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


def last_hours(store: TaskStore, now: float) -> tuple[HourOut, ...]:
    """What ended in each of the last 24 hours, the current one last."""
    this = datetime.fromtimestamp(now, UTC).replace(minute=0, second=0, microsecond=0)
    hours = [this - timedelta(hours=back) for back in reversed(range(_HOURS))]
    days = {hour.strftime("%Y-%m-%d") for hour in hours}
    found = {one: counts.of_day(store, one) for one in sorted(days)}
    return tuple(
        HourOut(
            hour=hour.strftime("%Y-%m-%dT%H:00:00Z"),
            **{str(status): found[hour.strftime("%Y-%m-%d")][status][hour.hour] for status in _ENDS},
        )
        for hour in hours
    )


def _running(store: TaskStore) -> RunningNow:
    page = store.page(Query(status=Status.PROCESSING, limit=LARGEST_PAGE))
    return RunningNow(count=len(page.tasks), more=bool(page.next_cursor))


def _workers(workers: tuple[Worker, ...], now: float) -> WorkersNow:
    states = [worker.state(now) for worker in workers]
    capacity = sum(worker.concurrency for worker in workers if worker.state(now) is State.RUNNING)
    return WorkersNow(**{str(state): states.count(state) for state in State}, capacity=capacity)


def _card(worker: Worker, card: roll.Card) -> CardNow:
    return CardNow.model_validate(
        {"node": worker.node, "card": card, "load": worker.load, "tasks": len(worker.tasks)}, from_attributes=True
    )
