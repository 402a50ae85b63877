"""The roll of the workers: what each node tells of itself, and what readers make of it. Pure.

The nodes stand in sixteen side items of the farm, an attribute each, so that one request reads all of them. A write
costs the size of the whole item, and a node is some 700 bytes: in one item 100 nodes would pay 70 units each time, in
sixteen it is 5. `workers.heartbeat` tells, `/api/workers` shows.
"""

import zlib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from transcode import logs
from transcode.clock import timestamp
from transcode.task import ASIDE, Frozen

log = logs.get(__name__)

# Names of the side items.
PAGES = tuple(f"{ASIDE.WORKERS}{number:02}" for number in range(16))
# Seconds between two tellings of a node: a person who watches is content, and the table hardly notices.
EVERY = 30.0
# Seconds after which a node is silent: three tellings did not come.
_SILENT_AFTER = 3 * EVERY
# Seconds that a node stays on the roll which nobody heard of any more, or which said that it ended. The first is a
# riddle for a person to find next morning; of the others a fleet that comes and goes makes many.
_KEPT, _KEPT_ENDED = 86400.0, 3600.0


class State(StrEnum):
    """How a node stands, by what it told last."""

    RUNNING = "running"
    # It told nothing for a while: killed, frozen, or cut off.
    SILENT = "silent"
    # It said so itself.
    ENDED = "ended"


class Card(Frozen):
    """The card that a node is pinned to; memory in bytes."""

    name: str
    uuid: str
    driver: str
    memory: int


class Load(Frozen):
    """How busy the card is: percents, bytes, degrees Celsius, NVENC sessions. None is what it does not tell."""

    encoder: int | None = None
    decoder: int | None = None
    gpu: int | None = None
    memory_used: int
    memory_total: int
    temperature: int | None = None
    sessions: int | None = None


class Aside(Frozen):
    """A card of the node's machine that is out of work, and why; `node` is the one that worked on it."""

    uuid: str
    name: str
    node: str
    since: str
    why: str


class Worker(Frozen):
    """One node, as it was at `seen_at`."""

    node: str
    host: str
    pid: int
    started_at: str
    seen_at: str
    ended: bool = False
    version: str = ""
    concurrency: int
    # `nvdec+nvenc` and the like, or `cpu`: what it can work on.
    kind: str
    card: Card | None = None
    ffmpeg: str
    sandbox: str
    load: Load | None = None
    # Ids of the tasks that run.
    tasks: tuple[str, ...] = ()
    # Seconds since SQS last answered a poll; None: not once yet.
    poll_age: float | None = None
    aside: tuple[Aside, ...] = ()

    def state(self, now: float) -> State:
        """How it stands at a time."""
        if self.ended:
            return State.ENDED
        return State.SILENT if self.seen_at < timestamp(now - _SILENT_AFTER) else State.RUNNING


def page(node: str) -> str:
    """The side item that a node stands in."""
    return PAGES[zlib.crc32(node.encode()) % len(PAGES)]


def told(worker: Worker) -> dict[str, Any]:
    """A node's attribute of the item, without what goes without saying."""
    return worker.model_dump(mode="json", exclude_defaults=True)


def read(items: Iterable[Mapping[str, Any]], now: float) -> tuple[Worker, ...]:
    """The nodes on the roll: those of the machine whose node began last come first.

    Stale and unreadable ones are left out.
    """
    entries = (pair for item in items for pair in item.items() if not _is_stale(pair[1], now))
    workers = [worker for name, entry in entries if (worker := _read(name, entry))]
    newest: dict[str, str] = {}
    for worker in workers:
        newest[worker.host] = max(newest.get(worker.host, ""), worker.started_at)
    # By length first, so that gpu10 comes after gpu2; the second sorting keeps this order within a machine.
    workers.sort(key=lambda worker: (len(worker.node), worker.node))
    workers.sort(key=lambda worker: (newest[worker.host], worker.host), reverse=True)
    return tuple(workers)


def _read(name: str, entry: object) -> Worker | None:
    try:
        return Worker.model_validate(entry)
    except ValidationError as exc:
        log.debug("Worker not understood", node=name, why=str(exc))
        return None


def stale(item: Mapping[str, Any], now: float) -> tuple[str, ...]:
    """The names that nobody needs on the roll any more; also of nodes that only another version can read."""
    return tuple(name for name, entry in item.items() if _is_stale(entry, now))


def _is_stale(entry: object, now: float) -> bool:
    seen = entry.get("seen_at") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(seen, str):
        return True
    kept = _KEPT_ENDED if entry.get("ended") else _KEPT
    # One from a wrong clock's tomorrow would stay till then.
    return not timestamp(now - kept) <= seen <= timestamp(now + _KEPT)
