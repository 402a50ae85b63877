"""Who takes part: workers, reconcilers, the bridge, API clients, people. Each drives the real use case."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes import START
from tests.model.bucket import SimBucket
from tests.model.clockwork import Clockwork, Process
from tests.model.encoder import SimEncoder
from tests.model.mail import Receipt, SimCallbacks, SimQueue
from tests.model.oracle import Oracle
from tests.model.table import SimTable
from transcode import counts, events, submit
from transcode.attempt import Tools
from transcode.clock import day, timestamp
from transcode.errors import Busy, TranscodeError
from transcode.presets import Presets
from transcode.reconcile import PASSES_PER_LEASE, Reconciler
from transcode.run import run
from transcode.settings import Settings
from transcode.states import OVER
from transcode.submit import Desk

# As in workers.tasks: receipts after which an early message is dropped, and the seconds of "later".
_PATIENCE, _LATER = 3, 30.0
# Seconds a notification stays hidden after the bridge has received it.
_EVENT_VISIBILITY = 30.0


@dataclass
class World:
    """Everything that a run has, and what was promised to whom."""

    clock: Clockwork
    oracle: Oracle
    table: SimTable
    bucket: SimBucket
    queue: SimQueue
    events: SimQueue
    callbacks: SimCallbacks
    encoder: SimEncoder
    presets: Presets
    settings: Settings
    scratch: Path
    requests: list[tuple[str, str, tuple[str, ...] | None]] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)
    uploads: set[tuple[str, str, str]] = field(default_factory=set)

    def desk(self, process: Process) -> Desk:
        """What a process submits with; the clock is its own."""
        now = lambda: START + self.clock.now + process.skew  # noqa: E731
        return Desk(self.table, self.bucket, self.queue, self.callbacks, self.presets, self.settings, now)


def upload(world: World, bucket: str, key: str, *, versioned: bool) -> None:
    """A client uploads a video; S3 tells of it at least once, now or later."""
    facts = world.bucket.put(bucket, key, versioned=versioned)
    world.uploads.add((bucket, key, facts.version_id or facts.etag))
    described = {
        "key": key, "size": facts.size, "eTag": facts.etag, "versionId": facts.version_id or None,
        "sequencer": f"{int(world.clock.now * 1000) + facts.size:016X}",
    }  # fmt: skip
    record = {
        "eventName": "ObjectCreated:Put", "eventTime": timestamp(START + world.clock.now),
        "s3": {"bucket": {"name": bucket}, "object": described},
    }  # fmt: skip
    world.clock.say(f"{key} {facts.version_id or facts.etag} uploaded")
    world.events.post(json.dumps({"Records": [record] * (2 if world.clock.hits("duplicate") else 1)}))


def bridge(world: World, process: Process) -> None:
    """As workers.bridge: submit what a notification tells of, then delete it."""
    desk = world.desk(process)
    while True:
        receipt = world.events.receive()
        if receipt is None:
            world.clock.sleep(world.clock.dice.uniform(1, 10))
            continue
        receipt.extend(_EVENT_VISIBILITY)
        with suppress(TranscodeError):
            for found in events.read(receipt.letter.body):
                if isinstance(found, events.Upload):
                    submit.accept(desk, found)
            receipt.delete()


def worker(world: World, process: Process, node: str) -> None:
    """As a pool process of a Celery worker: one message at a time, one attempt per message."""
    tools = Tools(world.desk(process), world.encoder, node, world.scratch / node, lambda: process.stopping)
    while not process.stopping:
        receipt = world.queue.receive()
        if receipt is None:
            world.clock.sleep(world.clock.dice.uniform(1, 10))
            continue
        _work(world, process, receipt, tools)
        process.attempt = None


def _work(world: World, process: Process, receipt: Receipt, tools: Tools) -> None:
    """As workers.tasks.run_task: what becomes of the message is told by how `run` ends."""
    try:
        run(receipt.letter.body, receipt, tools)
    except Busy as busy:
        if "commit got no answer" in str(busy) and process.attempt:
            world.oracle.unanswered.add(process.attempt[:2])
        if receipt.letter.received <= _PATIENCE:
            receipt.extend(max(1.0, busy.seconds))
            return
    except TranscodeError:
        receipt.extend(_LATER)
        return
    receipt.delete()


def reconciler(world: World, process: Process) -> None:
    """As workers.bridge: a few passes per lease; one that breaks off is followed by the next."""
    loop = Reconciler(world.desk(process))
    while True:
        world.clock.sleep(world.settings.lease / PASSES_PER_LEASE)
        with suppress(TranscodeError):
            loop.sweep()
            _bury(world, loop)


def _bury(world: World, loop: Reconciler) -> None:
    """As workers.dead_letters."""
    for letter in list(world.queue.dead):
        world.clock.point("receive a dead letter")
        if loop.dead_letter(letter.body) and letter in world.queue.dead:
            world.queue.dead.remove(letter)


def client(world: World, process: Process) -> None:
    """Callers of the API, one after the other; a caller without an answer calls again."""
    desk = world.desk(process)
    while world.requests:
        world.clock.sleep(world.clock.dice.uniform(0, 200))
        bucket, key, types = world.requests[0]
        with suppress(TranscodeError):
            world.accepted.add(submit.add(desk, bucket, key, types).task_id)
            world.requests.pop(0)


def people(world: World, process: Process) -> None:
    """Cancel, retry and purge at bad moments, as long as there are faults."""
    desk, clock = world.desk(process), world.clock
    while clock.chaos:
        clock.sleep(clock.dice.uniform(20, 150))
        tasks = sorted(world.table.data.items)
        if tasks:
            act = _purge if clock.hits("purge") else _press
            with suppress(TranscodeError):
                act(world, desk, clock.dice.choice(tasks))


def auditor(world: World, process: Process) -> None:
    """The hourly recount, early; and what the dashboard then shows."""
    today = day(timestamp(START))
    counts.recount(world.table, today)
    world.oracle.check_counted(counts.of_day(world.table, today))


def somebody(world: World, press: Callable[[Desk, str], object], task_id: str) -> None:
    """Another person presses a button in the same moment."""

    def once(process: Process) -> None:
        with suppress(TranscodeError):
            press(world.desk(process), task_id)

    world.clock.spawn("PEOPLE", once)


def _press(world: World, desk: Desk, task_id: str) -> None:
    """One of the two buttons; the page may be old, so the wrong one is pressed now and then, or one twice."""
    shown = desk.store.read(task_id)
    world.clock.point("somebody thinks")
    over = shown.status in OVER
    press: Callable[[Desk, str], object] = submit.retry if over == (world.clock.dice.random() < 0.9) else submit.cancel
    if world.clock.hits("meddle"):
        somebody(world, press, task_id)
    press(desk, task_id)


def _purge(world: World, desk: Desk, _: str) -> None:
    """Over the API; or `celery purge`, which empties the queue as well; or by hand, which tells nobody."""
    way = world.clock.dice.choice(["api", "celery", "hand"])
    world.clock.stats[f"purge by {way}"] += 1
    if way != "hand":
        submit.purge(desk, emptied=way == "celery")
    if way != "api":
        world.queue.purge()
