"""What the bridge does with a notification."""

import json
from dataclasses import dataclass, field

from tests.unit.conftest import Farm
from transcode.aws.sqs import Received
from transcode.errors import ServiceUnavailable
from transcode.task import Task
from workers.bridge import handle


@dataclass
class Inbox:
    deleted: list[str] = field(default_factory=list)

    def receive(self, wait: int) -> list[Received]:
        return []

    def delete(self, message: Received) -> None:
        self.deleted.append(message.id)


def record(key: str, sequencer: str = "01") -> dict[str, object]:
    return {
        "eventName": "ObjectCreated:Put",
        "eventTime": "2025-01-15T09:00:00.000Z",
        "s3": {"bucket": {"name": "in-bucket"}, "object": {"key": key, "size": 5, "eTag": "e", "sequencer": sequencer}},
    }


def message(body: object) -> Received:
    text = body if isinstance(body, str) else json.dumps(body)
    return Received(id="m", receipt="r", body=text, receive_count=1)


def test_every_video_of_an_event_becomes_a_task_and_the_message_is_deleted(farm: Farm) -> None:
    inbox = Inbox()
    handle(farm.desk, inbox, message({"Records": [record("a+b.mp4"), record("x.txt"), record("%E4%B8%AD.mov")]}))
    assert {Task.model_validate(i).input_key for i in farm.store.items.values()} == {"a b.mp4", "中.mov"}
    assert inbox.deleted == ["m"]


def test_a_test_event_is_deleted(farm: Farm) -> None:
    inbox = Inbox()
    handle(farm.desk, inbox, message({"Event": "s3:TestEvent"}))
    assert inbox.deleted == ["m"]


def test_a_malformed_message_stays_for_the_dead_letter_queue(farm: Farm) -> None:
    inbox = Inbox()
    for body in ("not json", {}, [], {"Records": "x"}, {"Records": []}, "[" * 100_000):
        handle(farm.desk, inbox, message(body))
    assert not inbox.deleted
    assert not farm.store.items


def test_a_message_stays_when_the_table_is_away(farm: Farm) -> None:
    def away(task: Task) -> bool:
        raise ServiceUnavailable("no DynamoDB")

    farm.store.create = away  # type: ignore[method-assign]
    inbox = Inbox()
    handle(farm.desk, inbox, message({"Records": [record("a.mp4")]}))
    assert not inbox.deleted


def test_a_message_is_deleted_when_the_record_is_safe_though_sqs_is_away(farm: Farm) -> None:
    farm.queue.outage = ServiceUnavailable("no SQS")
    inbox = Inbox()
    handle(farm.desk, inbox, message({"Records": [record("a.mp4")]}))
    assert inbox.deleted == ["m"]
    assert len(farm.store.items) == 1
