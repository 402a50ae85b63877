"""The numbers that `/metrics` tells: requests to the API, counted in all processes, and the farm's gauges.

`metrics` says why prometheus-client must not be imported early.
"""

import os

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from transcode.metrics import FOLDER
from webapp.deps import Deps
from webapp.gauges import Farm

# Seconds: a table that answers takes some 10 ms, one that is asked in vain up to a minute.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


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
