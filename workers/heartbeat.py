"""A node tells of itself: every half minute, in one small write, what it runs on, what it runs and how it fares.

A daemon thread of the node's main process does it, from `worker_ready` to `worker_shutdown`. Nothing hangs on it:
what goes wrong here is logged, and the node works on. What is told has its shape in `transcode.roll`. A task's own
heartbeat is another thing, see `transcode.lease`.
"""

import os
import socket
import threading
import time
from importlib import metadata

from celery.worker import state

from transcode import logs, roll
from transcode.aws.dynamodb import DynamoTasks
from transcode.clock import Clock, timestamp
from transcode.errors import TranscodeError
from transcode.ffmpeg import nvml
from transcode.ffmpeg.encoder import FfmpegEncoder
from transcode.ffmpeg.trials import Examined
from transcode.ports import TaskStore
from transcode.roll import Aside, Card, Load, Worker
from transcode.settings import Settings
from transcode.task import FARM
from workers import names, roster
from workers.forking import ForkPause
from workers.polling import last_answered_poll
from workers.roster import Stage
from workers.tools import read_settings

log = logs.get(__name__)

# Seconds that the end of a node waits for its last telling; without it the node is silent, then forgotten.
_PATIENCE = 5.0
# Times that a set is read which another thread changes meanwhile.
_READS = 5
# Characters of a reason: the item is shared by all nodes.
_WHY_KEPT = 300


class Heartbeat:
    """The telling of one node.

    Args:
        store: its own, used by no other thread.
        known: what does not change as long as the node runs.
        settings: where the scratch folder and the queue are.
        every: seconds between two tellings.
        clock: the time that is told.
    """

    def __init__(
        self, store: TaskStore, known: Worker, settings: Settings, every: float = roll.EVERY, clock: Clock = time.time
    ) -> None:
        self._store, self._known, self._settings = store, known, settings
        self._every, self._clock = every, clock
        self._over, self._pause = threading.Event(), ForkPause()
        # Others' names that are to be taken off the roll with the next telling.
        self._stale: tuple[str, ...] = ()
        self._thread = threading.Thread(target=self._run, name="telling", daemon=True)

    def start(self) -> None:
        """Tell at once, then regularly."""
        self._thread.start()

    def stop(self) -> None:
        """Tell once more, that the node ended, and no longer; harmless to repeat."""
        self._over.set()
        self._thread.join(_PATIENCE)

    def tell(self, *, ended: bool = False) -> None:
        """One telling; whatever goes wrong is logged only."""
        try:
            with self._pause:
                worker = self._now(ended)
                values = {**dict.fromkeys(self._stale), worker.node: roll.told(worker)}
                found = self._store.merge_aside(FARM, roll.page(worker.node), values)
            self._stale = roll.stale(found, self._clock())
        except TranscodeError as exc:
            log.debug("Node not told of", why=str(exc))
        except Exception:
            # The next one may do better, and nobody else would tell that the node lives.
            log.exception("Unforeseen error in the heartbeat")

    def _run(self) -> None:
        self.tell()
        while not self._over.wait(self._every):
            self.tell()
        self.tell(ended=True)

    def _now(self, ended: bool) -> Worker:
        load = nvml.load(self._known.card.uuid) if self._known.card and not ended else None
        return self._known.model_copy(
            update={
                "seen_at": timestamp(self._clock()), "ended": ended,
                "load": load and Load.model_validate(load, from_attributes=True),
                "tasks": running(), "poll_age": _poll_age(self._settings.queue_name),
                "aside": put_aside(self._settings),
            }
        )  # fmt: skip


def running() -> tuple[str, ...]:
    """The ids of the tasks that this node runs; none where Celery's set could not be read in peace."""
    for _ in range(_READS):
        try:
            requests = list(state.active_requests)
        except RuntimeError:
            continue  # the node's other thread changed it meanwhile
        return tuple(sorted(str(found.args[0]) for found in requests if found.name == names.RUN and found.args))
    return ()


def put_aside(settings: Settings) -> tuple[Aside, ...]:
    """The cards of this machine that its fleet has put aside or lost."""
    fleet = roster.read(settings.temp_dir)
    out = [card for card in fleet.cards if card.stage in (Stage.ASIDE, Stage.GONE)] if fleet else []
    return tuple(
        Aside(uuid=card.uuid, name=card.name, node=card.node, since=card.since, why=card.why[:_WHY_KEPT])
        for card in out
    )


def _poll_age(queue: str) -> float | None:
    answered = last_answered_poll(queue)
    return None if answered is None else round(time.monotonic() - answered, 1)


def introduced(node: str, encoder: FfmpegEncoder, settings: Settings, now: float) -> Worker:
    """What does not change as long as a node runs."""
    device, tools = encoder.device, encoder.tools
    walled = device is None or device.walled
    return Worker(
        node=node, host=socket.gethostname(), pid=os.getpid(), started_at=timestamp(now), seen_at=timestamp(now),
        version=_version(), concurrency=settings.max_concurrent_tasks,
        kind=Examined(device.gpu).kind if device else "cpu",
        card=Card.model_validate(device.card, from_attributes=True) if device else None,
        ffmpeg=tools.version.partition(" Copyright")[0], sandbox=tools.sandbox.kind.value if walled else "none",
    )  # fmt: skip


def _version() -> str:
    try:
        return metadata.version("gpu-transcode-farm")
    except metadata.PackageNotFoundError:
        return ""  # run from its source, not installed


def begin(node: str) -> Heartbeat:
    """Start to tell of this node. What its card and its ffmpeg can do was found out at its start and is at hand."""
    found = read_settings()
    # A store of its own, made in the calling thread: boto3 makes clients in one thread at a time only.
    told = Heartbeat(
        DynamoTasks(found), introduced(node, FfmpegEncoder.from_settings(found), found, time.time()), found
    )
    told.start()
    return told
