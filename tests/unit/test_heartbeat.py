"""A node's telling of itself, with a real thread, real requests of Celery and real forks."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.worker import state
from celery.worker.request import Request
from kombu.message import Message
from kombu.utils.json import dumps

from tests.fakes import START, FakeClock, MemoryTasks
from tests.farm import until
from tests.unit.test_roll import a_worker
from transcode import roll
from transcode.errors import ServiceUnavailable
from transcode.ffmpeg.binaries import Tools
from transcode.ffmpeg.encoder import FfmpegEncoder
from transcode.ffmpeg.gpu import Device
from transcode.ffmpeg.lanes import Gpu, Nvenc
from transcode.ffmpeg.nvml import Card
from transcode.ffmpeg.sandbox import Kind, Sandbox
from transcode.roll import State, Worker
from transcode.settings import Settings
from transcode.task import FARM
from workers import forking, heartbeat, names, polling, roster
from workers.forking import ForkPause
from workers.heartbeat import Heartbeat
from workers.roster import Roster, Stage, Standing

NODE = a_worker("cpu@here")
# Seconds; no test waits so long.
NEVER = 3600.0


class Shaky(MemoryTasks):
    """A table that can be made to fail."""

    trouble: Exception | None = None

    def merge_aside(self, task_id: str, name: str, values: dict[str, Any]) -> dict[str, Any]:
        if self.trouble:
            raise self.trouble
        return super().merge_aside(task_id, name, values)


@dataclass
class Scene:
    settings: Settings
    clock: FakeClock = field(default_factory=FakeClock)
    store: Shaky = field(default_factory=Shaky)

    def heartbeat(self, known: Worker = NODE, every: float = NEVER) -> Heartbeat:
        return Heartbeat(self.store, known, self.settings, every, self.clock)

    def seen(self) -> dict[str, Worker]:
        return {worker.node: worker for worker in roll.read(self.store.read_asides(FARM, roll.PAGES), self.clock())}


@pytest.fixture
def scene(settings: Settings) -> Scene:
    return Scene(settings)


def test_a_node_tells_at_once_then_regularly_and_last_that_it_ended(scene: Scene) -> None:
    told = scene.heartbeat(every=0.01)
    told.start()
    until(scene.seen, "it tells at once")
    scene.clock.advance(30)
    until(lambda: scene.seen()["cpu@here"].seen_at.endswith("10:00:30.000000Z"), "it tells again")
    assert scene.seen()["cpu@here"].state(scene.clock()) is State.RUNNING
    told.stop()
    told.stop()
    assert scene.seen()["cpu@here"].state(scene.clock()) is State.ENDED


def test_a_table_that_does_not_answer_disturbs_nothing(scene: Scene) -> None:
    told = scene.heartbeat()
    for trouble in (ServiceUnavailable("No."), RuntimeError("Nobody foresaw it.")):
        scene.store.trouble = trouble
        told.tell()
    assert scene.seen() == {}
    scene.store.trouble = None
    told.tell()
    assert list(scene.seen()) == ["cpu@here"]


def test_those_who_are_long_gone_are_taken_off_the_roll(scene: Scene) -> None:
    gone, ended = a_worker("gpu0@gone", START - 90000), a_worker("gpu0@spot", START - 4000, ended=True)
    fresh = a_worker("gpu0@fresh", START - 4000)
    for worker in (gone, ended, fresh):
        scene.store.merge_aside(FARM, roll.page("cpu@here"), {worker.node: roll.told(worker)})
    told = scene.heartbeat()
    told.tell()
    told.tell()
    assert set(scene.store.read_aside(FARM, roll.page("cpu@here"))) == {"gpu0@fresh", "cpu@here"}


def test_what_was_put_aside_is_told_with_its_reason(scene: Scene) -> None:
    stamp = "2025-01-15T09:00:00.000000Z"
    sick = Standing("GPU-1", 0, "Tesla T4", "gpu0", Stage.ASIDE, stamp, "It hung. " * 99)
    well = replace(sick, uuid="GPU-2", stage=Stage.WORKS, why="")
    Roster("here", os.getpid(), cpu=False, cards=(sick, well)).write(scene.settings.temp_dir)
    scene.heartbeat().tell()
    (found,) = scene.seen()["cpu@here"].aside
    assert (found.uuid, found.node, found.since) == ("GPU-1", "gpu0", stamp)
    assert found.why.startswith("It hung.")
    assert len(found.why) == 300
    roster.remove(scene.settings.temp_dir)
    scene.heartbeat().tell()
    assert scene.seen()["cpu@here"].aside == ()


def test_the_age_of_the_last_answered_poll_is_told(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.heartbeat().tell()
    assert scene.seen()["cpu@here"].poll_age is None
    monkeypatch.setitem(polling._answered, scene.settings.queue_name, time.monotonic() - 45)
    scene.heartbeat().tell()
    age = scene.seen()["cpu@here"].poll_age
    assert age is not None
    assert age >= 45


def _work(argument: str) -> None:
    """Never called."""


@pytest.fixture
def accepted() -> Iterator[Callable[[str, str], Request]]:
    """Has Celery take a call for running, as its main process does."""
    app = Celery("tests", set_as_current=False)
    for name in (names.RUN, names.INGEST):
        app.task(_work, name=name, shared=False)
    kept: list[Request] = []

    def accept(name: str, argument: str) -> Request:
        body = dumps([[argument], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
        headers = {"task": name, "id": argument, "lang": "py", "root_id": argument, "parent_id": None}
        json = "application/json"
        message = Message(body, headers=headers, content_type=json, content_encoding="utf-8", accept=[json])
        kept.append(Request(message, app=app))
        state.task_accepted(kept[-1])
        return kept[-1]

    yield accept
    for request in kept:
        state.task_ready(request)


def test_the_tasks_that_run_are_told_and_nothing_else_that_does(
    scene: Scene, accepted: Callable[[str, str], Request]
) -> None:
    accepted(names.RUN, "task-2")
    first = accepted(names.RUN, "task-1")
    accepted(names.INGEST, "an event")
    scene.heartbeat().tell()
    assert scene.seen()["cpu@here"].tasks == ("task-1", "task-2")
    state.task_ready(first)
    scene.heartbeat().tell()
    assert scene.seen()["cpu@here"].tasks == ("task-2",)


def test_the_running_tasks_can_be_read_while_they_change(accepted: Callable[[str, str], Request]) -> None:
    requests = [accepted(names.RUN, f"task-{n}") for n in range(50)]
    over = threading.Event()

    def churn() -> None:
        while not over.is_set():
            for request in requests:
                state.active_requests.discard(request)
                state.active_requests.add(request)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        found = [heartbeat.running() for _ in range(300)]
    finally:
        over.set()
        thread.join()
    assert {len(tasks) for tasks in found} <= {0, 49, 50}


TOOLS = Tools(
    Path("ffmpeg"), Path("ffprobe"), "ffmpeg version 5.1.9 Copyright (c)", frozenset(), frozenset(), frozenset(),
    Sandbox(Kind.BWRAP),
)  # fmt: skip


def test_a_node_on_the_cpu_is_introduced(settings: Settings) -> None:
    found = heartbeat.introduced("cpu@here", FfmpegEncoder(TOOLS), settings, START)
    assert (found.kind, found.card, found.concurrency, found.pid) == ("cpu", None, 2, os.getpid())
    assert (found.ffmpeg, found.sandbox) == ("ffmpeg version 5.1.9", "bwrap")
    assert found.started_at == "2025-01-15T10:00:00.000000Z"


def test_a_node_on_a_card_is_introduced_with_what_the_card_was_seen_to_do(settings: Settings, tmp_path: Path) -> None:
    card = Card(1, "GPU-1", "Tesla T4", "580.95.05", 15 * 1024**3)
    able = Gpu({"h264": Nvenc()}, frozenset({"h264"}))
    found = heartbeat.introduced(
        "gpu1@here", FfmpegEncoder(TOOLS, 2, Device(card, tmp_path, able, walled=False)), settings, START
    )
    assert (found.kind, found.sandbox) == ("nvenc+nvdec", "none")
    assert found.card == roll.Card(name="Tesla T4", uuid="GPU-1", driver="580.95.05", memory=15 * 1024**3)


def forked(pause: ForkPause, wanted: list[str]) -> bool:
    """Whether a child came after what is wanted, and can itself begin a telling and fork."""
    child = os.fork()
    if child == 0:
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(0)
        with pause:
            os._exit(os.waitpid(grandchild, 0)[1] + (0 if wanted else 9))
    return os.waitpid(child, 0)[1] == 0


def test_no_process_is_forked_in_the_middle_of_a_telling() -> None:
    pause, inside, over = ForkPause(), threading.Event(), []

    def tell() -> None:
        with pause:
            inside.set()
            time.sleep(0.3)
            over.append("over")

    thread = threading.Thread(target=tell)
    thread.start()
    inside.wait()
    assert forked(pause, over)
    thread.join()
    with pause:  # the fork let go of it again
        pass


def test_a_telling_that_hangs_holds_a_fork_up_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "_FORK_WAITS", 0.1)
    pause = ForkPause()
    with pause:
        assert forked(pause, ["not waited for"])
    with pause:
        pass
