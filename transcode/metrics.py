"""What this process did, in numbers for Prometheus: attempts, phases, encode speed, renditions, requests to AWS.

Counted in every process. `serve` shows them where METRICS_PORT is set: the worker's processes together, the bridge by
itself; the API's are on its `/metrics`. What holds for the whole farm (queue, nodes, cards) is in `webapp.gauges`.

prometheus-client is imported late: it decides at its import whether it shares numbers between processes, and gunicorn
and the fleet say so only after this module is there.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIServer

from transcode import logs

log = logs.get(__name__)

# The variable by which prometheus-client shares numbers between processes.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_MEMORY = Path("/dev/shm")  # noqa: S108
# Only a collector on the same machine: the numbers are nobody else's business, and there is no key.
_ADDRESS = "127.0.0.1"

# Seconds of a phase: a thumbnail takes a tenth, a long film hours.
_SECONDS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 150, 300, 900, 3600, 14400)
# Times realtime: a loaded CPU is below 1, a card with small pictures above 20.
_SPEEDS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)


class _Numbers:
    """All numbers of a process."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Histogram

        self.attempts = Counter(
            "transcode_attempts", "Attempts that ended: with which code, and what the task is then.", ("code", "status")
        )
        self.phases = Histogram(
            "transcode_phase_seconds", "Time of a phase of an attempt.", ("phase",), buckets=_SECONDS
        )
        self.speed = Histogram(
            "transcode_encode_speed", "Length of the film by the time of its encode.", buckets=_SPEEDS
        )
        self.renditions = Counter("transcode_renditions", "Types that were made, or could not be.", ("type", "outcome"))
        self.requests = Counter(
            "transcode_aws_requests", "Requests to AWS, tries again included.", ("service", "operation")
        )


_kept: list[_Numbers] = []
_making = threading.Lock()


def _numbers() -> _Numbers:
    if not _kept:
        with _making:
            # prometheus-client refuses to make one twice.
            _kept.extend([] if _kept else [_Numbers()])
    return _kept[0]


def attempt_ended(code: str, status: str, phases: Mapping[str, float], source: Mapping[str, Any]) -> None:
    """Count an attempt.

    Args:
        code: `completed`, or that of the error.
        status: of the task afterwards; `pending` is a retry, `processing` is a task that another worker has now.
        phases: seconds by name.
        source: the facts of the film, as far as they are known.
    """
    with _harmless():
        _numbers().attempts.labels(code, str(status)).inc()
        for name, spent in phases.items():
            _numbers().phases.labels(name).observe(spent)
        length, encode = source.get("duration"), phases.get("encode")
        if length and encode:
            _numbers().speed.observe(length / encode)


def made(types: Iterable[str], failed: Iterable[str] = ()) -> None:
    """Count the renditions of a committed attempt."""
    with _harmless():
        for outcome, names in (("made", types), ("failed", failed)):
            for name in names:
                _numbers().renditions.labels(name, outcome).inc()


def asked_aws(service: str, operation: str) -> None:
    """Count a request to AWS."""
    with _harmless():
        _numbers().requests.labels(service, operation).inc()


@contextmanager
def _harmless() -> Iterator[None]:
    """Whatever happens to the numbers, the work that they count goes on."""
    try:
        yield
    # A ValueError is what prometheus-client says of numbers that it could not make the first time.
    except (OSError, ValueError) as error:
        log.debug("Not counted", why=str(error))


def share(port: int, scratch: Path) -> Path:
    """Let the processes that this one starts write their numbers into a folder, emptied of an earlier run's.

    It lies in memory where it can: the numbers are written through a map of the file, and a full disk would end the
    process that writes. `port` tells it from that of another worker of the machine.
    """
    folder = (_MEMORY if os.access(_MEMORY, os.W_OK) else scratch) / f"transcode-metrics-{os.getuid()}-{port}"
    # The scratch folder, too, is closed to others.
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    for file in folder.glob("*.db"):
        file.unlink()
    os.environ[FOLDER] = str(folder)
    return folder


def serve(port: int, folder: Path | None = None) -> WSGIServer | None:
    """Answer Prometheus on 127.0.0.1: with the numbers in a folder, else with this process's.

    A port that is taken is logged, and the work goes on: then None.
    """
    from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = REGISTRY
    if folder is None:
        _numbers()
    else:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    try:
        server, _ = start_http_server(port, _ADDRESS, registry)
    except OSError as error:
        log.error("Metrics not served", port=port, why=str(error))
        return None
    log.info("Metrics served", port=port)
    return server
