"""Whether the things we depend on answer. Asked for often, looked up rarely, and never waited for long.

A health check must answer even when AWS does not: each look runs in a thread of its own, and one that is
late is reported as such and left alone until it ends.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait

from transcode import logs
from transcode.errors import TranscodeError

log = logs.get(__name__)

# Looks whether one dependency answers; raises one of our errors when it does not.
Probe = Callable[[], object]

OK = "ok"
# Seconds an answer is kept: a load balancer asks every few seconds, several of them more often.
KEPT = 5.0
# Seconds to wait for the looks: health checks commonly give up after 3 to 5.
PATIENCE = 2.0


class Readiness:
    """The state of the dependencies.

    Args:
        probes: one look per dependency, by the name that `/api/health` shows.
        patience: seconds to wait for them, all together.
        clock: seconds that only grow.
    """

    def __init__(
        self, probes: Mapping[str, Probe], patience: float = PATIENCE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._probes, self._patience, self._clock = probes, patience, clock
        self._pool = ThreadPoolExecutor(max_workers=max(1, len(probes)), thread_name_prefix="probe")
        self._running: dict[str, Future[str]] = {}
        self._lock = threading.Lock()
        self._found: dict[str, str] = {}
        self._looked = float("-inf")

    def look(self) -> dict[str, str]:
        """Per dependency `ok`, or a sentence that says what is wrong. At most 5 seconds old."""
        with self._lock:
            if self._clock() - self._looked >= KEPT:
                self._found = self._look_now()
                self._looked = self._clock()
            return dict(self._found)

    def _look_now(self) -> dict[str, str]:
        for name, probe in self._probes.items():
            if name not in self._running:
                self._running[name] = self._pool.submit(_answer, name, probe)
        done, _ = wait(self._running.values(), timeout=self._patience)
        return {name: self._result(name, done) for name in self._probes}

    def _result(self, name: str, done: set[Future[str]]) -> str:
        if self._running[name] not in done:
            return f"The {name} did not answer within {self._patience:g} s."
        return self._running.pop(name).result()


def _answer(name: str, probe: Probe) -> str:
    try:
        probe()
    except TranscodeError as error:
        return str(error)
    except Exception:
        # A health check that fails to look is not healthy, and says so without a trace.
        log.exception("Probe failed", dependency=name)
        return f"The {name} could not be looked at; the log says why."
    return OK
