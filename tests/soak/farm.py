"""The processes of the soak, by name: `api`, `bridge1`, `bridge2`, `w1`, `w2`, `w3`.

Each start of a process has a name of its own (`w1.3`), which every request of it carries, so that the history
knows who wrote.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from tests.clips import make
from tests.farm import Farm
from tests.soak.encoder import NAME
from tests.soak.history import History
from tests.soak.proxy import SoakProxy
from tests.soak.receiver import Receiver
from tests.soak.recipes import Recipe
from transcode.aws import clients
from transcode.aws.dynamodb import DynamoTasks
from transcode.aws.provision import provision
from transcode.aws.s3 import S3Storage

# Seconds: a lease, and what follows from it. A message is visible again after one and a half leases.
LEASE = 4
_VISIBILITY = LEASE * 3 // 2
# The product's own timers, for those who measure them.
_PRODUCT = {"LEASE": "60s", "POLL_INTERVAL": "20s", "SOAK_TIMERS": "product"}
WORKERS, BRIDGES = ("w1", "w2", "w3"), ("bridge1", "bridge2")
# Seconds a process may take to end after SIGTERM. Half a minute is the promise; the machine may be busy.
_STOP = 60.0
# How a process may end after SIGTERM: by itself, or by the signal when it had not begun to work yet.
FAIR = (0, -signal.SIGTERM)


class SoakFarm(Farm):
    """A farm behind the soak's proxy. `events` counts what was done to its processes."""

    def __init__(self, folder: Path, seed: int, *, short: bool = True, real: bool = False) -> None:
        timers = {"LEASE": f"{LEASE}s", "POLL_INTERVAL": "1s"} if short else _PRODUCT
        self.receiver = Receiver(seed)
        super().__init__(
            folder, callback_queue="flow-callbacks", MAX_CONCURRENT_TASKS="2",
            DEFAULT_TRANSCODE_TYPES="mp4_smooth,mp4_standard,thumbnail", **timers, **self.receiver.settings,
        )  # fmt: skip
        self._root, self._seed, self._short, self.real = folder, seed, short, real
        self._films = self._make_films() if real else {}
        self.history = History()
        self.starts: Counter[str] = Counter()
        self.stubborn: list[str] = []
        self.lock = threading.RLock()

    def __enter__(self) -> Self:
        program = self._root / NAME
        shutil.copy2(Path(shutil.which("sleep") or "/bin/sleep").resolve(), program)
        self.receiver.start()
        super().__enter__()
        self.environment["SOAK_PROGRAM"] = "" if self.real else str(program)
        self.provisioned()
        return self

    def _make_films(self) -> dict[str, bytes]:
        """Small ones, so that hundreds are encoded in minutes; the slow one takes longer than a lease."""
        good = make(self._root / "good.mp4", size="160x90", seconds=0.6)
        slow = make(self._root / "slow.mp4", size="640x360", seconds=40.0, rate=25)
        return {"good": good.read_bytes(), "slow": slow.read_bytes()}

    def clip(self, recipe: Recipe) -> bytes:
        """What is uploaded for a recipe."""
        return recipe.film(self._films) if self.real else recipe.clip()

    def provisioned(self) -> None:
        """Shorten what provisioning sets: how long a message is invisible."""
        for url in self.queues if self._short else ():
            self.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(_VISIBILITY)})

    @property
    def queues(self) -> tuple[str, ...]:
        """The addresses of its queues."""
        return self.settings.sqs_queue_url, self.settings.event_queue_url, self.settings.callback_queue_url

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for child in self.children.values():
            _signal(child, signal.SIGCONT)
        super().__exit__(*_)
        self.proxy.stop()
        self.receiver.stop()

    def _environment(self, endpoint: str) -> dict[str, str]:
        self.proxy = SoakProxy(endpoint, self._seed, self.history)
        self.proxy.start()
        return super()._environment(self.proxy.endpoint)

    def aws_ended(self) -> str:
        """How the embedded AWS ended; empty while it runs."""
        child = self._aws._child
        status = child.poll() if child else None
        return "" if status is None else f"ended with status {status}"

    def forget(self) -> None:
        """AWS starts anew and knows nothing any more; the processes keep their address of it, the proxy's."""
        self._aws.stop()
        endpoint = self._aws.start()
        self.proxy.lead_to(endpoint)
        self.settings = self.settings.model_copy(update={"aws_endpoint_url": endpoint})
        provision(self.settings)
        self.store, self.storage = DynamoTasks(self.settings), S3Storage(self.settings)
        self.sqs = clients.sqs(self.settings)
        self.provisioned()

    def start(self, name: str, command: str = "", **changes: str) -> "subprocess.Popen[bytes]":
        """Start a process by its name; what it is follows from it."""
        what = command or ("worker" if name.startswith("w") else name.rstrip("12"))
        with self.lock, self.log_path(name).open("ab") as log:
            self.starts[name] += 1
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.soak.process", what, name], cwd=self._root,
                env=self.environment | {"AWS_SDK_UA_APP_ID": f"{name}.{self.starts[name]}"} | changes,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            self.children[name] = child
        return child

    def stop(self, name: str, how: int = signal.SIGTERM) -> int:
        """End a process with SIGTERM; one that does not end in its time is noted and killed."""
        child = self.children.pop(name)
        _signal(child, how)
        try:
            return child.wait(_STOP)
        except subprocess.TimeoutExpired:
            self.stubborn.append(name)
            self._kill_group(child)
            return child.wait()

    def kill(self, name: str) -> None:
        """kill -9 of a whole program: its main process, and for the API all of them, as when a machine dies."""
        child = self.children.pop(name)
        if name == "api":
            self._kill_group(child)
        else:
            child.kill()
        child.wait()

    def _kill_group(self, child: "subprocess.Popen[bytes]") -> None:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def family(self, name: str) -> list[psutil.Process]:
        """All processes under a name's main process."""
        try:
            return psutil.Process(self.children[name].pid).children(recursive=True)
        except psutil.Error:
            return []

    def pool(self, name: str) -> list[psutil.Process]:
        """A worker's pool processes."""
        try:
            found = psutil.Process(self.children[name].pid).children()
        except psutil.Error:
            return []
        return [p for p in found if not is_encoder(p, self.scratch_root)]

    def encoders(self) -> list[psutil.Process]:
        """What encodes now, whoever's children they are."""
        return [p for p in psutil.process_iter() if is_encoder(p, self.scratch_root)]

    def strays(self) -> list[str]:
        """Processes of this farm that nobody waits for any more; asked when all are stopped."""
        return [f"{p.pid} {' '.join(_words(p))}" for p in psutil.process_iter() if str(self._root) in _cwd(p)]

    @property
    def scratch_root(self) -> Path:
        """Where the workers' scratch folders are, one per node."""
        return self._root / "scratch"

    def scratch(self) -> list[Path]:
        """The scratch folders of tasks that there are."""
        return [p for p in self.scratch_root.glob("*/*") if p.is_dir()]

    def lines(self) -> list[dict[str, Any]]:
        """All log lines of all processes, in the order of time."""
        found = [line | {"of": p.stem} for p in self._root.glob("*.log") for line in self.log(p.stem)]
        return sorted(found, key=lambda line: str(line.get("timestamp", "")))

    def unparsed(self) -> list[str]:
        """What processes have said that is no log line: a traceback, as a rule."""
        texts = [(p.stem, p.read_text(errors="replace")) for p in self._root.glob("*.log")]
        return [f"{name}: {line}" for name, text in texts for line in text.splitlines() if line.strip()[:1] not in "{"]


def _signal(child: "subprocess.Popen[bytes]", number: int) -> None:
    """To the program's main process; `Popen.send_signal` looks first whether it is still there."""
    child.send_signal(number)
    time.sleep(0)


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _cwd(process: psutil.Process) -> str:
    try:
        return process.cwd() + " ".join(process.cmdline())
    except psutil.Error:
        return ""


def is_encoder(process: psutil.Process, scratch: Path) -> bool:
    """Whether it works in a scratch folder: only encodes do, ffmpeg's or the stand-in's."""
    try:
        return process.cwd().startswith(f"{scratch}/")
    except psutil.Error:
        return False
