"""The numbers that Prometheus reads: requests, counted in all processes; the farm, looked at when asked.

Only here is prometheus-client used to measure; `metrics` says why it must not be imported early.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from transcode import counts, logs, roll
from transcode.clock import day, timestamp
from transcode.errors import TranscodeError
from transcode.roll import State
from transcode.task import FARM
from webapp.deps import Deps

log = logs.get(__name__)

# Seconds: a table that answers takes some 10 ms, one that is asked in vain up to a minute.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# Seconds that the farm's numbers are kept: two Prometheus servers shall not cost twice the calls.
_KEPT = 10.0
# The variable by which prometheus-client shares numbers between processes.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class Meters:
    """All numbers of one application."""

    def __init__(self, deps: Deps) -> None:
        # Not prometheus-client's registry for everything: a process may have several applications, as tests do.
        self._own = CollectorRegistry()
        self._requests = Counter(
            "transcode_http_requests", "Requests served.", ("method", "route", "status"), registry=self._own
        )
        self._seconds = Histogram(
            "transcode_http_request_seconds", "Time until the answer.", ("method", "route"), registry=self._own,
            buckets=_BUCKETS,
        )  # fmt: skip
        self._farm = CollectorRegistry()
        self._farm.register(Farm(deps))

    def served(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def text(self) -> tuple[bytes, str]:
        """Everything in Prometheus's text format, and that format's content type."""
        return generate_latest(self._counted()) + generate_latest(self._farm), CONTENT_TYPE_LATEST

    def _counted(self) -> CollectorRegistry:
        if FOLDER not in os.environ:
            return self._own
        # The files of all processes, also of those that have ended, added up.
        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return shared


class Farm(Collector):
    """Gauges of the whole farm. They are the same in every process, so they are read and not added up."""

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
        """Five calls of AWS: three for the queue and its dead letters, one each for today's ends and the workers."""
        answered = GaugeMetricFamily(
            "transcode_source_up", "1 where the numbers of a source could be read.", labels=["source"]
        )
        sources = {"queue": self._queue, "ended": self._ended, "workers": self._workers}
        for name, read in sources.items():
            try:
                yield read()
                answered.add_metric([name], 1)
            except TranscodeError as error:
                # A number that is not known is left out: 0 would be a lie that an alert believes.
                log.warning("Numbers not read", source=name, error=str(error))
                answered.add_metric([name], 0)
        yield answered

    def _queue(self) -> Metric:
        found = self._deps.counts()
        told = {"waiting": found.waiting, "in_flight": found.in_flight, "delayed": found.delayed, "dead": found.dead}
        return _gauge("transcode_queue_messages", "Messages in the task queue; approximate.", "state", told)

    def _ended(self) -> Metric:
        hours = counts.of_day(self._deps.store, day(timestamp(self._deps.clock())))
        told = {str(status): sum(of_hour) for status, of_hour in hours.items()}
        return _gauge("transcode_tasks_ended_today", "Tasks that ended since midnight UTC.", "status", told)

    def _workers(self) -> Metric:
        now = self._deps.clock()
        states = [w.state(now) for w in roll.read(self._deps.store.read_asides(FARM, roll.PAGES), now)]
        told = {str(state): states.count(state) for state in State}
        return _gauge("transcode_workers", "Worker nodes.", "state", told)


def _gauge(name: str, words: str, label: str, values: dict[str, int]) -> Metric:
    found = GaugeMetricFamily(name, words, labels=[label])
    for word, value in values.items():
        found.add_metric([word], value)
    return found
