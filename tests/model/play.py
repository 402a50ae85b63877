"""One run of the simulation: a seed, the faults, what breaks. The same seed gives the same run.

Parts: `clockwork` (time, processes) with `threads` and `chances`, `line` (calls that fail), `table`, `bucket`,
`mail`, `encoder` (the ports), `cast` (who takes part), `oracle` (the invariants), `seams` (where the real
modules are connected), `mutations` (guards taken out, to see that the oracle notices).
"""

import functools
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.model import cast, found, seams  # noqa: F401  `found` brings mutations
from tests.model.bucket import SimBucket
from tests.model.cast import World
from tests.model.chances import USUAL, Chances
from tests.model.clockwork import Clockwork, Violation
from tests.model.encoder import KINDS, SimEncoder
from tests.model.mail import SimCallbacks, SimQueue
from tests.model.mutations import MUTATIONS
from tests.model.oracle import Oracle
from tests.model.table import SimTable
from transcode import presets, submit
from transcode.settings import Settings

# Simulated seconds with faults, and those in which everything must have ended after the last of them:
# the longest wait is an hour, for a message that was lost after many re-sends.
CHAOS, BOUND = 1000.0, 3 * 3600.0
# Seconds that stragglers get after the last task has ended.
_AFTERMATH = 400.0
# Keys that are uploaded, those that get a second version; and for the last keys, what is requested over the API.
_KEYS, _TWICE = 5, 2
_REQUESTS: tuple[tuple[tuple[str, ...] | None, ...], ...] = ((None,), (("thumbnail",), None))
VERSIONED, PLAIN = "in-bucket", "old-bucket"


@dataclass(frozen=True)
class Outcome:
    """What one run showed. `settled`: simulated seconds from the last fault to the last end."""

    seed: int
    violation: str = ""
    tasks: int = 0
    writes: int = 0
    settled: float = 0.0
    stats: Counter[str] = field(default_factory=Counter)
    story: tuple[str, ...] = ()


@functools.cache
def _settings() -> Settings:
    return Settings(
        _env_file=None, aws_region="eu-west-1", input_bucket=(VERSIONED, PLAIN), output_bucket="out-bucket",
        dynamodb_table="tasks", sqs_queue_url="https://sqs.eu-west-1.amazonaws.com/1/tasks", lease=60.0,
        default_transcode_types=("mp4_standard", "mp4_smooth", "thumbnail"),
        output_key_template="{input_bucket}/{input_key}/{type}.{ext}",
        callback_queue_url="https://sqs.eu-west-1.amazonaws.com/1/callbacks", default_callback="orders",
        callback_targets=("orders=https://orders.example.com/hook",), callback_secrets=("orders=0123456789abcdef",),
    )  # fmt: skip


_presets = functools.cache(presets.load)


def play(
    seed: int, mutations: Iterable[str] = (), *, chances: Chances = USUAL,
    tell: bool = False,
) -> Outcome:  # fmt: skip
    """Run one seed; with `tell`, the outcome has its story."""
    clock = Clockwork(f"{seed}", chances)
    clock.story = [] if tell else None
    world = _world(clock, Path(tempfile.mkdtemp(prefix="model-", dir=_fast_folder())))
    with pytest.MonkeyPatch.context() as patch:
        seams.connect(patch, clock)
        world.table.near_commit = partial(cast.somebody, world, submit.cancel)
        for change in map(MUTATIONS.__getitem__, mutations):
            change(patch, world)
        try:
            return _run(world, seed)
        except Violation as broken:
            return Outcome(seed, str(broken), len(world.table.data.items), stats=clock.stats, story=_story(clock))
        finally:
            clock.end_all()
            shutil.rmtree(world.scratch, ignore_errors=True)


def _fast_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _world(clock: Clockwork, scratch: Path) -> World:
    oracle = Oracle(clock)
    table, bucket = SimTable(clock, oracle), SimBucket(clock, oracle)
    oracle.data, oracle.readers = table.data, bucket
    mail, notes, callbacks = SimQueue(clock), SimQueue(clock), SimCallbacks(clock)
    oracle.announced = callbacks.sent
    return World(
        clock, oracle, table, bucket, mail, notes, callbacks, SimEncoder(clock), _presets(), _settings(), scratch
    )


def _run(world: World, seed: int) -> Outcome:
    clock = world.clock
    chaos = CHAOS if clock.chaos else 0.0
    _begin(world, chaos)
    clock.run(chaos, lambda: False)
    clock.heal()
    clock.run(chaos + BOUND, lambda: _all_over(world))
    world.oracle.check_ended(world.accepted, world.uploads)
    settled = clock.now - chaos
    if not chaos:
        world.oracle.check_calm()
    clock.run(clock.now + _AFTERMATH, lambda: False)
    clock.spawn("AUDITOR", partial(cast.auditor, world))
    clock.run(clock.now + _AFTERMATH, lambda: False)
    world.oracle.check_ended(world.accepted, world.uploads)
    statuses = Counter(f"ended {t.status}" for t in map(world.table.data.read, world.table.data.items))
    stats = clock.stats + world.oracle.check_rest(clock.killed) + statuses
    return Outcome(seed, "", len(world.table.data.items), world.oracle.writes, settled, stats, _story(clock))


def _story(clock: Clockwork) -> tuple[str, ...]:
    return tuple(clock.story or ())


def _begin(world: World, chaos: float) -> None:
    clock = world.clock
    for name, node in (("W1", "gpu0"), ("W2", "gpu0"), ("W3", "gpu1"), ("W4", "cpu")):
        clock.spawn(name, partial(cast.worker, world, node=node), stoppable=True)
    for name in ("R1", "R2"):
        clock.spawn(name, partial(cast.reconciler, world))
    clock.spawn("BRIDGE", partial(cast.bridge, world))
    clock.spawn("API", partial(cast.client, world))
    clock.spawn("PEOPLE", partial(cast.people, world))
    _make_inputs(world, chaos)


def _make_inputs(world: World, chaos: float) -> None:
    """Videos of all kinds, some of them replaced while the first version is being worked on."""
    clock = world.clock
    for number in range(_KEYS):
        # Where tasks meet on a key, good files: what fails early does not compete.
        contested = number < _TWICE or number == _KEYS - 1
        kind = "ok" if contested else clock.dice.choices(list(KINDS), list(KINDS.values()))[0]
        bucket, key = (PLAIN if number == 0 else VERSIONED), f"{kind}-{number}.mp4"
        first = clock.dice.uniform(0, chaos / 3)
        again = [first + clock.dice.uniform(1, clock.dice.choice([5, 150]))] if number < _TWICE else []
        for when in (first, *again):
            clock.at(when, partial(cast.upload, world, bucket, key, versioned=bucket == VERSIONED))
        if number >= _KEYS - len(_REQUESTS):
            world.requests += [(bucket, key, types) for types in _REQUESTS[number - _KEYS]]


def _all_over(world: World) -> bool:
    known = world.uploads <= world.oracle.uploads.keys()
    busy = any(p.name == "PEOPLE" or p.attempt for p in world.clock.processes)
    return (
        known and not busy and not world.requests and all(t["status"] in _OVER for t in world.table.data.items.values())
    )


_OVER = ("completed", "failed", "cancelled")
