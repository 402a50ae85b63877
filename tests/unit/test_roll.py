"""What nodes tell of themselves, and what readers make of it."""

from typing import Any

import pytest

from tests.fakes import START
from transcode import roll
from transcode.clock import timestamp
from transcode.roll import Aside, Card, Load, State, Worker


def a_worker(node: str = "cpu@here", seen: float = START, started: float = START, **more: Any) -> Worker:
    given: dict[str, Any] = {
        "pid": 7,
        "concurrency": 2,
        "kind": "cpu",
        "ffmpeg": "ffmpeg version 9",
        "sandbox": "bwrap",
    }
    host = node.partition("@")[2]
    return Worker(node=node, host=host, seen_at=timestamp(seen), started_at=timestamp(started), **given | more)


FULL = a_worker(
    "gpu0@here", kind="nvenc+nvdec", version="0.1.0", tasks=("a", "b"), poll_age=1.5,
    card=Card(name="Tesla T4", uuid="GPU-1", driver="580.95.05", memory=15 * 1024**3),
    load=Load(encoder=40, decoder=None, gpu=10, memory_used=1, memory_total=2, temperature=61, sessions=2),
    aside=(Aside(uuid="GPU-2", name="Tesla T4", node="gpu1", since=timestamp(START), why="它坏了"),),
)  # fmt: skip


@pytest.mark.parametrize("worker", [FULL, a_worker(), a_worker(ended=True)])
def test_what_is_told_is_read(worker: Worker) -> None:
    assert roll.read([{worker.node: roll.told(worker)}], START) == (worker,)


def test_a_node_is_told_of_in_less_than_a_kilobyte() -> None:
    assert len(str(roll.told(FULL))) < 1000


@pytest.mark.parametrize(
    ("worker", "age", "state"),
    [
        (a_worker(), 0, State.RUNNING),
        (a_worker(), 90, State.RUNNING),
        (a_worker(), 91, State.SILENT),
        # Its clock may be ahead of ours.
        (a_worker(), -30, State.RUNNING),
        (a_worker(ended=True), 0, State.ENDED),
        (a_worker(ended=True), 900, State.ENDED),
    ],
)  # fmt: skip
def test_a_node_is_silent_after_three_tellings_that_did_not_come(worker: Worker, age: float, state: State) -> None:
    assert worker.state(START + age) is state


def test_the_machine_that_joined_last_comes_first_and_its_nodes_by_name() -> None:
    workers = [
        a_worker("gpu10@old"), a_worker("gpu2@old"), a_worker("gpu0@new", started=START + 9),
        a_worker("gpu1@new", started=START - 9), a_worker("cpu@middle", started=START + 5),
    ]  # fmt: skip
    found = roll.read([{worker.node: roll.told(worker)} for worker in workers], START)
    assert [worker.node for worker in found] == ["gpu0@new", "gpu1@new", "cpu@middle", "gpu2@old", "gpu10@old"]


def test_what_another_version_told_hides_nobody() -> None:
    item = {"a@x": 5, "b@x": {"node": "b@x"}, "cpu@here": roll.told(a_worker()) | {"of_tomorrow": [1]}}
    assert roll.read([item], START) == (a_worker(),)


def test_nodes_that_nobody_needs_any_more_are_stale() -> None:
    workers = [
        a_worker("a@x", START - 86300), a_worker("b@x", START - 86500), a_worker("c@x", START - 3500, ended=True),
        a_worker("d@x", START - 3700, ended=True), a_worker("next-year@x", START + 365 * 86400),
    ]  # fmt: skip
    item = {worker.node: roll.told(worker) for worker in workers} | {"e@x": 5, "f@x": {"seen_at": 5}}
    assert roll.stale(item, START) == ("b@x", "d@x", "next-year@x", "e@x", "f@x")
    # Another version's node lives, even where we cannot read it.
    assert roll.stale({"g@x": {"seen_at": timestamp(START), "kind": 5}}, START) == ()
