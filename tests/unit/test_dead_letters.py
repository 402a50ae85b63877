"""What becomes of messages that ended in the dead-letter queue."""

import base64
import json
from dataclasses import dataclass, field

import pytest

from transcode.aws.sqs import Received
from workers import names
from workers.dead_letters import DeadLetters
from workers.publisher import read_task_id


def celery_message(args: object, task: str = names.RUN) -> str:
    body = base64.b64encode(json.dumps([args, {}, {}]).encode()).decode()
    return json.dumps({"body": body, "headers": {"task": task}, "properties": {"body_encoding": "base64"}})


@dataclass
class Grave:
    messages: list[Received]
    deleted: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def receive(self, wait: int) -> list[Received]:
        found, self.messages = self.messages[:10], self.messages[10:]
        return found

    def delete(self, message: Received) -> None:
        self.deleted.append(message.id)

    def extend(self, message: Received, seconds: float) -> None:
        self.left.append(message.id)


def test_a_message_that_is_dealt_with_is_deleted_and_an_unreadable_one_is_left() -> None:
    grave = Grave([Received(n, n, body, 1) for n, body in (("a", celery_message(["t1"])), ("b", "what is this?"))])
    asked: list[str] = []

    def decide(task_id: str) -> bool:
        asked.append(task_id)
        return True

    assert DeadLetters(lambda: grave, decide).sweep() == 1
    assert (asked, grave.deleted, grave.left) == (["t1"], ["a"], ["b"])


def test_without_a_dead_letter_queue_there_is_nothing_to_do() -> None:
    assert DeadLetters(lambda: None, lambda task_id: True).sweep() == 0


def test_the_wrapping_that_kombu_puts_around_a_message_is_understood() -> None:
    assert read_task_id(base64.b64encode(celery_message(["t1"]).encode()).decode()) == "t1"


@pytest.mark.parametrize(
    "body",
    ["", "x", "{}", "[]", celery_message(["t1"], names.INGEST), celery_message([]), celery_message([7]), "{" * 9999],
)
def test_what_is_no_message_of_ours_has_no_task(body: str) -> None:
    assert read_task_id(body) is None
