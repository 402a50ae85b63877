"""What is done to the processes: killed, frozen, restarted, cut off. The dice decide what, whom and when."""

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil

from tests.soak.farm import BRIDGES, FAIR, LEASE, WORKERS, SoakFarm
from tests.soak.history import Violation
from tests.soak.proxy import OUTAGES

# Seconds between two blows, and until a killed process is started again.
_PAUSE, _ABSENT = (2.0, 8.0), (0.0, 3.0)
# What Celery says when a pool process is killed before the pool has started, or while the worker reconnects: the
# worker ends then, and whoever keeps it, the fleet or systemd, starts it again.
_GIVES_UP = {"Could not start worker processes": "starts", "Unrecoverable error: StopIteration()": "reconnects"}
# Lines of a log that are shown of a process that ended by itself.
_LAST = 25
# Seconds of a freeze: from harmless to well past a lease and its margin. Seconds of an outage.
_FROZEN, _OUTAGE = (1.0, LEASE + 5.0), (1.0, 6.0)


@dataclass
class Chaos:
    """One round's bad luck. `rage` goes on until `heal`, after which everything runs again."""

    farm: SoakFarm
    dice: random.Random
    injected: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    # Names that something is being done to; nobody else touches them.
    busy: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._over, self._choosing = threading.Event(), threading.Lock()
        self._threads: list[threading.Thread] = []
        self._rage = threading.Thread(target=self._run, name="chaos", daemon=True)
        # How often, against each other.
        self._blows: dict[Callable[[], None], int] = {
            self._kill_worker: 4, self._kill_pool_process: 6, self._kill_encoder: 8, self._freeze_worker: 5,
            self._freeze_pool_process: 4, self._restart_worker: 4, self._kill_bridge: 3, self._freeze_bridge: 2,
            self._restart_bridge: 1, self._kill_api: 2, self._kill_api_process: 2, self._cut: 6,
        }  # fmt: skip

    def rage(self) -> None:
        """Begin."""
        self._rage.start()

    def heal(self) -> None:
        """End: what is frozen thaws, what is gone comes back."""
        self._over.set()
        self._rage.join()
        for thread in self._threads:
            thread.join()
        for name in ("api", *BRIDGES, *WORKERS):
            self._revive(name)

    def _run(self) -> None:
        while not self._over.wait(self.dice.uniform(*_PAUSE)):
            blow = self.dice.choices(list(self._blows), list(self._blows.values()))[0]
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                blow()
            for name in ("api", *BRIDGES, *WORKERS):
                self._look_after(name)

    def _look_after(self, name: str) -> None:
        """Nothing may end by itself."""
        child = self.farm.children.get(name)
        if name in self.busy or child is None or child.poll() is None:
            return
        said = "\n".join(self.farm.log_path(name).read_text(errors="replace").splitlines()[-_LAST:])
        when = next((when for words, when in _GIVES_UP.items() if words in said), "")
        if when:
            self.injected[f"worker ended: a pool process was killed while it {when}"] += 1
        else:
            text = f"{name} ended by itself with status {child.returncode}; its last words:\n{said}"
            self.violations.append(Violation("", text))
        self.farm.start(name)

    def _revive(self, name: str) -> None:
        child = self.farm.children.get(name)
        if child is None or child.poll() is not None:
            self.farm.start(name)

    @contextlib.contextmanager
    def _taken(self, names: tuple[str, ...]) -> Iterator[str]:
        """One of the names that nothing is done to, until the block ends; empty when all are busy."""
        with self._choosing:
            free = [n for n in names if n not in self.busy and n in self.farm.children]
            name = self.dice.choice(free) if free else ""
            self.busy.add(name)
        try:
            yield name
        finally:
            self.busy.discard(name)

    def _aside(self, names: tuple[str, ...], act: Callable[[str], None], kind: str) -> None:
        """Do something that takes a while to one of the names, beside whatever else happens."""

        def do() -> None:
            with self._taken(names) as name, contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                if name:
                    self.injected[kind] += 1
                    act(name)

        thread = threading.Thread(target=do, daemon=True)
        thread.start()
        self._threads.append(thread)
        # It has chosen its name when the next blow falls.
        time.sleep(0.05)

    def _kill(self, name: str) -> None:
        self.farm.kill(name)
        time.sleep(self.dice.uniform(*_ABSENT))
        self.farm.start(name)

    def _restart(self, name: str) -> None:
        status = self.farm.stop(name)
        if status not in FAIR:
            self.violations.append(Violation("", f"{name} ended with status {status} after SIGTERM"))
        self.farm.start(name)

    def _freeze(self, name: str) -> None:
        group = os.getpgid(self.farm.children[name].pid)
        os.killpg(group, signal.SIGSTOP)
        self._over.wait(self.dice.uniform(*_FROZEN))
        os.killpg(group, signal.SIGCONT)

    def _kill_worker(self) -> None:
        self._aside(WORKERS, self._kill, "kill -9 of a worker")

    def _restart_worker(self) -> None:
        self._aside(WORKERS, self._restart, "SIGTERM of a worker")

    def _freeze_worker(self) -> None:
        self._aside(WORKERS, self._freeze, "freeze of a worker")

    def _kill_bridge(self) -> None:
        self._aside(BRIDGES, self._kill, "kill -9 of a bridge")

    def _restart_bridge(self) -> None:
        self._aside(BRIDGES, self._restart, "SIGTERM of a bridge")

    def _freeze_bridge(self) -> None:
        self._aside(BRIDGES, self._freeze, "freeze of a bridge")

    def _kill_api(self) -> None:
        self._aside(("api",), self._kill, "kill -9 of the API")

    def _kill_api_process(self) -> None:
        with self._taken(("api",)) as name:
            self._kill_one(self.farm.family(name) if name else [], "kill -9 of an API process")

    def _kill_pool_process(self) -> None:
        with self._taken(WORKERS) as name:
            self._kill_one(self.farm.pool(name) if name else [], "kill -9 of a pool process")

    def _kill_encoder(self) -> None:
        self._kill_one(self.farm.encoders(), "kill -9 of ffmpeg")

    def _kill_one(self, found: list[psutil.Process], kind: str) -> None:
        if found:
            self.injected[kind] += 1
            self.dice.choice(found).kill()

    def _freeze_pool_process(self) -> None:
        def freeze(name: str) -> None:
            found = self.farm.pool(name)
            if found:
                process = self.dice.choice(found)
                process.suspend()
                self._over.wait(self.dice.uniform(*_FROZEN))
                process.resume()

        self._aside(WORKERS, freeze, "freeze of a pool process")

    def _cut(self) -> None:
        self.farm.proxy.fail(self.dice.choice(list(OUTAGES)), self.dice, self.dice.uniform(*_OUTAGE))
