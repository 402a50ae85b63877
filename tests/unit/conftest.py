"""A whole small farm out of fakes: what the use cases work with, standing still until a test moves it."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.fakes import FakeClock, FakeEncoder, FolderStorage, ListCallbacks, ListQueue, MemoryTasks
from transcode import presets as preset_files
from transcode.attempt import Tools
from transcode.ffmpeg.probe import Source, Video
from transcode.settings import Settings
from transcode.submit import Desk

SOURCE = Source("mov", 10.0, 1000, Video(index=0, codec="h264", width=1280, height=720))


@dataclass
class Letter:
    """A message that keeps what was done with it."""

    receive_count: int = 1
    extended: list[float] = field(default_factory=list)
    deleted: bool = False

    def extend(self, seconds: float) -> None:
        self.extended.append(seconds)

    def delete(self) -> None:
        self.deleted = True


@dataclass
class Farm:
    clock: FakeClock
    store: MemoryTasks
    storage: FolderStorage
    queue: ListQueue
    callbacks: ListCallbacks
    encoder: FakeEncoder
    desk: Desk
    tools: Tools
    stopping: list[bool]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    monkeypatch.chdir(tmp_path)
    return Settings(
        aws_region="eu-west-1", input_bucket="in-bucket", output_bucket="out-bucket", dynamodb_table="tasks",
        sqs_queue_url="https://sqs.eu-west-1.amazonaws.com/1/tasks", temp_dir=tmp_path / "scratch",
    )  # fmt: skip


@pytest.fixture
def farm(settings: Settings, tmp_path: Path) -> Farm:
    clock = FakeClock()
    store, storage, queue = MemoryTasks(clock), FolderStorage(tmp_path / "s3", clock), ListQueue()
    encoder, stopping = FakeEncoder(SOURCE), [False]
    callbacks = ListCallbacks()
    desk = Desk(store, storage, queue, callbacks, preset_files.load(), settings, clock)
    tools = Tools(desk, encoder, "cpu@test", tmp_path / "scratch", lambda: stopping[0])
    return Farm(clock, store, storage, queue, callbacks, encoder, desk, tools, stopping)


@pytest.fixture
def letter() -> Letter:
    return Letter()
