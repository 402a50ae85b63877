"""`ports.DeadLetterBox`: one suite for the fake and for SQS, then what only SQS can show."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.conftest import Line
from tests.fakes import LetterList
from transcode.aws import clients
from transcode.aws.dead_letters import SqsDeadLetters
from transcode.aws.provision import Provisioned
from transcode.clock import seconds, timestamp
from transcode.errors import ServiceUnavailable
from transcode.ports import DeadLetter, DeadLetterBox
from transcode.settings import Settings

# Puts bodies into the queue, and returns the ids of their messages.
Put = Callable[..., list[str]]


def read(body: str) -> str | None:
    return body.removeprefix("task ") if body.startswith("task ") else None


@pytest.fixture
def url(account: Settings, provisioned: Provisioned) -> str:
    return clients.sqs(account).get_queue_url(QueueName="transcode-tasks-dlq")["QueueUrl"]


@pytest.fixture(params=["fake", "sqs"])
def box(request: pytest.FixtureRequest) -> DeadLetterBox:
    if request.param == "fake":
        return LetterList()
    request.getfixturevalue("url")
    return SqsDeadLetters(request.getfixturevalue("account"), read)


@pytest.fixture
def put(box: DeadLetterBox, request: pytest.FixtureRequest) -> Put:
    if isinstance(box, LetterList):
        return lambda *bodies: [put_into(box, body) for body in bodies]
    client, queue = clients.sqs(request.getfixturevalue("account")), request.getfixturevalue("url")
    return lambda *bodies: [client.send_message(QueueUrl=queue, MessageBody=one)["MessageId"] for one in bodies]


def put_into(box: LetterList, body: str) -> str:
    number = len(box.letters)
    box.letters.append(DeadLetter(f"m{number}", read(body), body, timestamp(1736935200 + number), 1))
    return f"m{number}"


def test_a_look_tells_whose_a_letter_is_and_leaves_it_there(box: DeadLetterBox, put: Put) -> None:
    ids = put("task t1", "nobody can read this")
    for _ in range(3):
        found = box.look(10).letters
        assert [(one.id, one.task_id, one.body) for one in found] == [
            (ids[0], "t1", "task t1"), (ids[1], None, "nobody can read this"),
        ]  # fmt: skip
    assert all(seconds(one.sent_at) > 0 and one.receive_count >= 1 for one in found)


def test_an_empty_box_shows_nothing(box: DeadLetterBox) -> None:
    assert box.look(10).letters == ()
    assert box.delete(["m0"]) == 0


def test_a_look_is_bounded(box: DeadLetterBox, put: Put) -> None:
    put(*(f"task t{number}" for number in range(25)))
    assert len(box.look(12).letters) == 12
    assert len(box.look(100).letters) == 25


def test_letters_are_deleted_wherever_they_lie_and_the_others_stay(box: DeadLetterBox, put: Put) -> None:
    ids = put(*(f"task t{number}" for number in range(25)))
    assert box.delete([ids[0], ids[24], "gone"]) == 2
    assert {one.id for one in box.look(100).letters} == set(ids[1:24])
    assert box.delete([ids[0]]) == 0


class TestSqs:
    def test_what_somebody_else_holds_is_counted(self, account: Settings, url: str) -> None:
        sqs = clients.sqs(account)
        sqs.send_message(QueueUrl=url, MessageBody="x")
        sqs.receive_message(QueueUrl=url)
        found = SqsDeadLetters(account, read).look(10)
        assert (found.letters, found.away) == ((), 1)

    def test_a_queue_without_dead_letters_has_none(self, account: Settings) -> None:
        clients.sqs(account).create_queue(QueueName="transcode-tasks")
        box = SqsDeadLetters(account, read)
        assert box.look(10).letters == ()
        assert box.delete(["m"]) == 0

    def test_a_long_body_is_cut(self, account: Settings, url: str) -> None:
        clients.sqs(account).send_message(QueueUrl=url, MessageBody="x" * 9000)
        [letter] = SqsDeadLetters(account, read).look(10).letters
        assert len(letter.body) == 2000

    @pytest.mark.parametrize("operation", ["ReceiveMessage", "DeleteMessage"])
    def test_a_refusal_names_what_is_missing(
        self, account: Settings, url: str, line: type[Line], operation: str
    ) -> None:
        sent: Any = clients.sqs(account).send_message(QueueUrl=url, MessageBody="x")
        box = SqsDeadLetters(account, read)
        line(box._client).answer(operation, 403, b'{"__type":"com.amazonaws.sqs#AccessDeniedException"}')
        with pytest.raises(ServiceUnavailable, match=f"sqs:{operation} on the queue transcode-tasks-dlq"):
            box.delete([sent["MessageId"]])

    def test_a_letter_that_cannot_be_put_back_comes_back_by_itself(
        self, account: Settings, url: str, line: type[Line]
    ) -> None:
        clients.sqs(account).send_message(QueueUrl=url, MessageBody="x")
        box = SqsDeadLetters(account, read)
        body = b'{"__type":"com.amazonaws.sqs#AccessDeniedException"}'
        line(box._client).answer("ChangeMessageVisibilityBatch", 403, body)
        assert len(box.look(10).letters) == 1
        assert box.look(10).away == 1
