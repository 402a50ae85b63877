"""The farm as Prometheus sees it: queue, waiting tasks, ends of today, nodes, cards, bridge. Looked at when asked.

They are the same in every process, so they are read and not added up. What a number costs in calls of AWS does not
grow with the table. Numbers that are counted are in `meters` and, for the work itself, in `transcode.metrics`.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from transcode import counts, logs, roll
from transcode.clock import day, seconds, timestamp
from transcode.errors import TranscodeError
from transcode.ports import Query
from transcode.roll import State, Worker
from transcode.states import Status
from transcode.task import ASIDE, FARM
from webapp.deps import Deps

log = logs.get(__name__)

# Seconds that the farm's numbers are kept: two Prometheus servers shall not cost twice the calls.
_KEPT = 10.0
# Waiting tasks of which the longest waiting one is told: one that was retried is old and waits for a moment only.
_OLDEST = 20

Labelled = dict[tuple[str, ...], float]


class Farm(Collector):
    """Gauges of the whole farm."""

    def __init__(self, deps: Deps, clock: Callable[[], float] = time.monotonic) -> None:
        self._deps, self._clock = deps, clock
        self._lock = threading.Lock()
        self._found: tuple[Metric, ...] = ()
        self._looked = float("-inf")

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not ask AWS."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """The gauges, at most 10 seconds old. Who comes while another looks gets the last ones."""
        if self._clock() - self._looked >= _KEPT and self._lock.acquire(blocking=False):
            try:
                self._found = tuple(self._look())
                self._looked = self._clock()
            finally:
                self._lock.release()
        return self._found

    def _look(self) -> Iterator[Metric]:
        """Seven calls of AWS.

        Three for the queue and its dead letters, one for today's ends, two for what waits, one for nodes and bridge.
        """
        answered: Labelled = {}
        sources = {"queue": self._queue, "ended": self._ended, "waiting": self._waiting, "workers": self._workers}
        for name, read in sources.items():
            try:
                yield from read()
                answered[(name,)] = 1
            except TranscodeError as error:
                # A number that is not known is left out: 0 would be a lie that an alert believes.
                log.warning("Numbers not read", source=name, error=str(error))
                answered[(name,)] = 0
        yield _gauge("transcode_source_up", "1 where the numbers of a source could be read.", ("source",), answered)

    def _queue(self) -> Iterator[Metric]:
        found = self._deps.counts()
        told = {"waiting": found.waiting, "in_flight": found.in_flight, "delayed": found.delayed, "dead": found.dead}
        yield _by("transcode_queue_messages", "Messages in the task queue; approximate.", "state", told)

    def _ended(self) -> Iterator[Metric]:
        hours = counts.of_day(self._deps.store, day(timestamp(self._deps.clock())))
        told = {str(status): sum(of_hour) for status, of_hour in hours.items()}
        yield _by("transcode_tasks_ended_today", "Tasks that ended since midnight UTC.", "status", told)

    def _waiting(self) -> Iterator[Metric]:
        now = self._deps.clock()
        page = self._deps.store.page(Query(status=Status.PENDING, limit=_OLDEST, oldest=True))
        # A task waits since its record last moved, or since its delay was over.
        ages = [now - max(seconds(task.updated_at or task.created_at), task.not_before) for task in page.tasks]
        words = "Seconds for which the longest waiting task, of the 20 made first, could have run already."
        yield _gauge("transcode_oldest_pending_seconds", words, (), {(): max(0.0, *ages, 0.0)})

    def _workers(self) -> Iterator[Metric]:
        now = self._deps.clock()
        items = self._deps.store.read_asides(FARM, (*roll.PAGES, ASIDE.BRIDGE))
        bridge = next((item["seen_at"] for item in items if isinstance(item.get("seen_at"), str)), "")
        workers = roll.read((item for item in items if "seen_at" not in item), now)
        states = [worker.state(now) for worker in workers]
        yield _by("transcode_workers", "Worker nodes.", "state", {str(s): states.count(s) for s in State})
        if bridge:
            words = "Seconds since a bridge last put things right; it says so once a minute."
            yield _gauge("transcode_bridge_silent_seconds", words, (), {(): max(0.0, now - seconds(bridge))})
        yield from of_nodes([worker for worker in workers if worker.state(now) is State.RUNNING])


def of_nodes(workers: list[Worker]) -> Iterator[Metric]:
    """What the running nodes tell of themselves and of their cards. A number that a card does not tell is left out."""
    by_node: dict[str, Labelled] = {"tasks": {}, "capacity": {}, "poll": {}}
    cards: dict[str, Labelled] = {"busy": {}, "memory": {}, "sessions": {}, "heat": {}}
    for worker in workers:
        node = (worker.node,)
        by_node["tasks"][node], by_node["capacity"][node] = len(worker.tasks), worker.concurrency
        if worker.poll_age is not None:
            by_node["poll"][node] = worker.poll_age
        _add_load(cards, node, worker.load)
    yield _gauge("transcode_worker_tasks", "Tasks that a node runs.", ("node",), by_node["tasks"])
    yield _gauge("transcode_worker_capacity", "Tasks that a node takes at once.", ("node",), by_node["capacity"])
    words = "Seconds since SQS last answered a node's poll, when it last told."
    yield _gauge("transcode_worker_poll_age_seconds", words, ("node",), by_node["poll"])
    yield _gauge("transcode_gpu_busy_percent", "How busy a part of a card is.", ("node", "part"), cards["busy"])
    yield _gauge("transcode_gpu_memory_bytes", "Memory of a card.", ("node", "state"), cards["memory"])
    yield _gauge("transcode_gpu_sessions", "NVENC sessions of a card.", ("node",), cards["sessions"])
    yield _gauge("transcode_gpu_celsius", "Temperature of a card.", ("node",), cards["heat"])
    # All nodes of a machine tell of the same ones.
    aside = {(worker.host, card.uuid, card.name) for worker in workers for card in worker.aside}
    words = "1 for each card that is put aside."
    yield _gauge("transcode_gpu_aside", words, ("host", "uuid", "name"), dict.fromkeys(aside, 1))


def _add_load(cards: dict[str, Labelled], node: tuple[str], load: roll.Load | None) -> None:
    if load is None:
        return
    parts = {"encoder": load.encoder, "decoder": load.decoder, "gpu": load.gpu}
    cards["busy"] |= {(*node, part): value for part, value in parts.items() if value is not None}
    cards["memory"] |= {(*node, "used"): load.memory_used, (*node, "total"): load.memory_total}
    for name, value in (("sessions", load.sessions), ("heat", load.temperature)):
        if value is not None:
            cards[name][node] = value


def _by(name: str, words: str, label: str, values: dict[str, Any]) -> Metric:
    return _gauge(name, words, (label,), {(word,): value for word, value in values.items()})


def _gauge(name: str, words: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    found = GaugeMetricFamily(name, words, labels=labels)
    for told, value in values.items():
        found.add_metric(told, value)
    return found
