"""What the bridge does with a notification."""

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from tests.unit.conftest import Farm
from transcode.aws.sqs import Received
from transcode.errors import ServiceUnavailable
from transcode.task import Task
from workers import bridge
from workers.bridge import deal

# Seconds that a test waits for something that takes none.
PATIENCE = 10.0


@dataclass
class Inbox:
    """Notes what is deleted, call by call."""

    deleted: list[list[str]] = field(default_factory=list)

    def receive(self, wait: int) -> list[Received]:
        return []

    def delete_all(self, messages: Sequence[Received]) -> None:
        self.deleted.append([message.id for message in messages])


def record(key: str, sequencer: str = "01") -> dict[str, object]:
    return {
        "eventName": "ObjectCreated:Put",
        "eventTime": "2025-01-15T09:00:00.000Z",
        "s3": {"bucket": {"name": "in-bucket"}, "object": {"key": key, "size": 5, "eTag": "e", "sequencer": sequencer}},
    }


def message(body: object, name: str = "m") -> Received:
    text = body if isinstance(body, str) else json.dumps(body)
    return Received(id=name, receipt="r", body=text, receive_count=1)


def ten() -> list[Received]:
    """A receive: an upload in each message, of `0.mp4` to `9.mp4`."""
    return [message({"Records": [record(f"{n}.mp4")]}, str(n)) for n in range(10)]


def submitted(farm: Farm) -> set[str]:
    return {Task.model_validate(i).input_key for i in farm.store.items.values()}


def test_every_video_of_an_event_becomes_a_task_and_the_message_is_deleted(farm: Farm) -> None:
    inbox = Inbox()
    deal(farm.desk, inbox, [message({"Records": [record("a+b.mp4"), record("x.txt"), record("%E4%B8%AD.mov")]})])
    assert submitted(farm) == {"a b.mp4", "中.mov"}
    assert inbox.deleted == [["m"]]


def test_a_test_event_is_deleted(farm: Farm) -> None:
    inbox = Inbox()
    deal(farm.desk, inbox, [message({"Event": "s3:TestEvent"})])
    assert inbox.deleted == [["m"]]


def test_a_malformed_message_stays_for_the_dead_letter_queue(farm: Farm) -> None:
    inbox = Inbox()
    for body in ("not json", {}, [], {"Records": "x"}, {"Records": []}, "[" * 100_000):
        deal(farm.desk, inbox, [message(body)])
    assert not inbox.deleted
    assert not farm.store.items


def test_a_message_stays_when_the_table_is_away(farm: Farm) -> None:
    def away(task: Task) -> bool:
        raise ServiceUnavailable("no DynamoDB")

    farm.store.create = away  # type: ignore[method-assign]
    inbox = Inbox()
    deal(farm.desk, inbox, [message({"Records": [record("a.mp4")]})])
    assert not inbox.deleted


def test_a_message_is_deleted_when_the_record_is_safe_though_sqs_is_away(farm: Farm) -> None:
    farm.queue.outage = ServiceUnavailable("no SQS")
    inbox = Inbox()
    deal(farm.desk, inbox, [message({"Records": [record("a.mp4")]})])
    assert inbox.deleted == [["m"]]
    assert len(farm.store.items) == 1


def test_a_bad_message_neither_stops_the_others_of_its_receive_nor_goes_with_them(farm: Farm) -> None:
    create = farm.store.create

    def picky(task: Task) -> bool:
        if task.input_key == "3.mp4":
            raise ServiceUnavailable("no DynamoDB")
        if task.input_key == "5.mp4":
            raise RuntimeError("a bug")
        return create(task)

    farm.store.create = picky  # type: ignore[method-assign]
    inbox = Inbox()
    deal(farm.desk, inbox, [*ten(), message("not json", "bad")])
    good = [n for n in range(10) if n not in (3, 5)]
    assert submitted(farm) == {f"{n}.mp4" for n in good}
    assert inbox.deleted == [[str(n) for n in good]]


def test_the_messages_of_a_receive_are_dealt_with_at_the_same_time(farm: Farm) -> None:
    create, all_here = farm.store.create, threading.Barrier(10)

    def meet(task: Task) -> bool:
        all_here.wait(PATIENCE)
        return create(task)

    farm.store.create = meet  # type: ignore[method-assign]
    inbox = Inbox()
    deal(farm.desk, inbox, ten())
    assert inbox.deleted == [[str(n) for n in range(10)]]


def test_pollers_that_hang_together_hold_the_bridge_up_as_long_as_one(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "_PATIENCE", 3.0)
    let_go, busy = threading.Event(), threading.Barrier(3)

    def hang(_: list[Received]) -> None:
        busy.wait(PATIENCE)
        let_go.wait(PATIENCE)

    class Full(Inbox):
        def receive(self, wait: int) -> list[Received]:
            return ten()

    ours = bridge.Bridge(farm.desk, [bridge.Poller(name, Full(), 0, hang) for name in "ab"], lambda: None)
    ours.start()
    busy.wait(PATIENCE)
    began = time.monotonic()
    ours.stop()
    took = time.monotonic() - began
    let_go.set()
    # One after the other they would have twice as long.
    assert 3.0 <= took < 5.5
