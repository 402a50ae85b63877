"""One round: a new farm, its tasks, its faults, then quiet, then the verdict."""

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.farm import until
from tests.soak.chaos import Chaos
from tests.soak.checker import Checker
from tests.soak.farm import BRIDGES, FAIR, WORKERS, SoakFarm
from tests.soak.history import Violation
from tests.soak.people import People
from tests.soak.reader import Reader

# Seconds. What is stuck for so long after the faults stopped is stuck for good: with these timers everything
# is over within half a minute.
_STUCK, _DRAINED, _GONE = 180.0, 60.0, 30.0


@dataclass
class Verdict:
    """What a round did and saw. `left` counts what is allowed to be left behind by killed attempts."""

    seed: int
    tasks: int = 0
    seconds: float = 0.0
    settled: float = 0.0
    injected: Counter[str] = field(default_factory=Counter)
    did: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    stories: dict[str, list[str]] = field(default_factory=dict)


def play(seed: int, tasks: int, *, real: bool = False) -> Verdict:
    """Play one round, with the stand-in encoder or with the real ffmpeg."""
    verdict, began = Verdict(seed, tasks), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, SoakFarm(Path(folder), seed, real=real) as farm:
        try:
            _play(farm, verdict)
        except Exception as exc:
            if status := farm.aws_ended():
                raise RuntimeError(f"The embedded AWS {status}; that is no fault of the product.") from exc
            raise
        verdict.violations += farm.history.violations
        verdict.seen += farm.history.seen
        verdict.injected += farm.proxy.injected
        verdict.calls += farm.proxy.calls
        verdict.stories = {v.task: _story(farm, v.task) for v in verdict.violations if v.task}
    verdict.seconds = time.monotonic() - began
    return verdict


def _play(farm: SoakFarm, verdict: Verdict) -> None:
    dice = random.Random(verdict.seed)
    for name in ("api", *BRIDGES, *WORKERS):
        farm.start(name)
    farm.ready()
    people, reader = People(farm, random.Random(dice.random()), verdict.tasks), Reader(farm)
    chaos = Chaos(farm, random.Random(dice.random()))
    reader.start()
    farm.proxy.rage()
    farm.receiver.raging = True
    chaos.rage()
    try:
        people.run()
    finally:
        chaos.heal()
        farm.proxy.rest()
        farm.receiver.raging = False
    healed = time.monotonic()
    _settle(farm, people, verdict)
    verdict.settled = time.monotonic() - healed
    reader.stop()
    _judge(farm, people, reader, verdict)
    verdict.did, verdict.injected = people.did, chaos.injected
    verdict.seen += reader.seen
    verdict.violations += people.violations + chaos.violations + reader.violations


def _wait(look: Callable[[], object], seconds: float) -> bool:
    try:
        until(look, "", seconds)
    except AssertionError:
        return False
    return True


def _settle(farm: SoakFarm, people: People, verdict: Verdict) -> None:
    """Wait until nothing is left to do."""
    records = farm.history.records

    def over() -> bool:
        found = [records.get(a.task, {}).get("status") for a in people.asked] + [r["status"] for r in records.values()]
        return all(status in ("completed", "failed", "cancelled") for status in found)

    _wait(over, _STUCK)
    if not _wait(lambda: not any(_waiting(farm).values()), _DRAINED):
        verdict.violations.append(Violation("", f"messages are left: {_waiting(farm)}"))
    if not _wait(lambda: not farm.encoders(), _GONE):
        verdict.violations.append(Violation("", f"ffmpeg still runs: {farm.encoders()}"))


def _waiting(farm: SoakFarm) -> dict[str, int]:
    """Messages per queue, dead-letter queues too."""
    found = {}
    for url in [*farm.queues, *(f"{u}-dlq" for u in farm.queues)]:
        answer = farm.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        counts = [int(n) for name, n in answer.items() if name.startswith("ApproximateNumberOfMessages")]
        found[url.rsplit("/", 1)[1]] = sum(counts)
    return found


def _judge(farm: SoakFarm, people: People, reader: Reader, verdict: Verdict) -> None:
    checker = Checker(farm, people.asked, reader)
    verdict.violations += [*checker.check(), *checker.mixed(), *checker.uploads(), *checker.bugs(), *checker.counters()]
    verdict.violations += checker.callbacks()
    verdict.seen += Counter(f"told as {status}" for told in farm.receiver.told.values() for status in told)
    verdict.left["unfinished uploads of killed attempts"] += len(reader.unfinished())
    verdict.left["scratch folders before clean-up"] += len(farm.scratch())
    _stop(farm, verdict)
    _clean(farm, verdict)
    if not _wait(lambda: not farm.strays(), _GONE):
        verdict.violations.append(Violation("", f"processes are left: {farm.strays()}"))


def _stop(farm: SoakFarm, verdict: Verdict) -> None:
    for name in list(farm.children):
        status = farm.stop(name)
        if status not in FAIR:
            verdict.violations.append(Violation("", f"{name} ended with status {status} at the end"))
    for name in farm.stubborn:
        verdict.violations.append(Violation("", f"{name} did not end after SIGTERM and was killed"))


def _clean(farm: SoakFarm, verdict: Verdict) -> None:
    """A worker cleans its scratch folder when it starts: what killed attempts have left goes then."""
    if not farm.scratch():
        return
    for name in WORKERS:
        farm.start(name)
    if not _wait(lambda: not farm.scratch(), _DRAINED):
        verdict.violations.append(Violation("", f"scratch folders are left: {farm.scratch()}"))
    for name in WORKERS:
        farm.kill(name)


def _story(farm: SoakFarm, task: str) -> list[str]:
    """All that is known of a task: its writes, and the lines of all logs that name it."""
    writes = [f"  {write}" for write in farm.history.writes[task]]
    lines = [f"  {line['of']}: {line}" for line in farm.lines() if line.get("task_id") == task]
    return ["  writes:", *writes, "  logs:", *lines]
