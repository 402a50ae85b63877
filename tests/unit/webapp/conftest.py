"""The application over fakes, and callers of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.fakes import FakeClock, FolderStorage, LetterList, ListCallbacks, ListQueue, MemoryTasks
from transcode import presets
from transcode import settings as env
from transcode.ports import Counts
from transcode.settings import Settings
from webapp import App, create_app
from webapp.deps import Deps
from webapp.readiness import Readiness

KEY = "a-key-of-more-than-16-characters"
FIELDS: dict[str, Any] = {
    "aws_region": "eu-central-1",
    "input_bucket": ("videos", "more-videos"),
    "output_bucket": "renditions",
    "sqs_queue_url": "https://sqs.eu-central-1.amazonaws.com/123456789012/transcode",
    "dynamodb_table": "tasks",
    "output_key_template": "{input_bucket}/{input_key}/{type}.{ext}",
}


@pytest.fixture
def make_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Settings]:
    """Settings of a test, untouched by the environment and any config.env."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return lambda **fields: env.load(**(FIELDS | fields))


@dataclass
class Bench:
    """The fakes under one application, within a test's reach."""

    settings: Settings
    clock: FakeClock
    store: MemoryTasks
    storage: FolderStorage
    queue: ListQueue
    dead_letters: LetterList = field(default_factory=LetterList)
    counts: Counts = field(default_factory=lambda: Counts(waiting=3, in_flight=2, delayed=1, dead=4))

    def deps(self, **other: Any) -> Deps:
        found = Deps(
            settings=self.settings,
            presets=presets.load(),
            store=self.store,
            storage=self.storage,
            queue=self.queue,
            callbacks=ListCallbacks(),
            counts=lambda: self.counts,
            dead_letters=self.dead_letters,
            readiness=Readiness({"queue": lambda: None, "table": lambda: None, "buckets": lambda: None}),
            clock=self.clock,
        )
        return replace(found, **other)

    def app(self, **other: Any) -> App:
        return create_app(self.deps(**other))


@pytest.fixture
def make_bench(make_settings: Callable[..., Settings], tmp_path: Path) -> Callable[..., Bench]:
    def make(**fields: Any) -> Bench:
        clock = FakeClock()
        return Bench(
            make_settings(**fields), clock, MemoryTasks(clock), FolderStorage(tmp_path / "s3", clock), ListQueue()
        )

    return make


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """Open on loopback, as on a first machine."""
    bench = make_bench()
    bench.storage.put("videos", "holiday/beach.mp4", b"a video")
    return bench


@pytest.fixture
def client(bench: Bench) -> Iterator[FlaskClient]:
    with bench.app().test_client() as client:
        yield client
