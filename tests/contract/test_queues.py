"""The queues as this project uses them beside Celery: counts, events, the hold on a running task's message."""

from dataclasses import replace
from typing import Any

import pytest

from tests.contract.conftest import Line
from transcode import callback
from transcode.aws import clients
from transcode.aws.callback_queue import CallbackQueue
from transcode.aws.provision import Provisioned
from transcode.aws.sqs import EventQueue, Held, Message, Queues, attributes
from transcode.errors import ServiceUnavailable
from transcode.ports import Callback, Counts
from transcode.settings import Settings


@pytest.fixture
def sqs(account: Settings, provisioned: Provisioned) -> Any:
    """A client, with all queues made and the bucket's test event taken out."""
    client = clients.sqs(account)
    client.purge_queue(QueueUrl=provisioned.event_queue_url)
    return client


@pytest.fixture
def events(sqs: Any, account: Settings, provisioned: Provisioned) -> EventQueue:
    return EventQueue(account, provisioned.event_queue_url)


class TestCounts:
    def test_messages_are_counted_where_they_stand(self, sqs: Any, account: Settings, provisioned: Provisioned) -> None:
        url = provisioned.task_queue_url
        for delay in (0, 0, 0, 900):
            sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=delay)
        sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1)
        dead = sqs.get_queue_url(QueueName="transcode-tasks-dlq")["QueueUrl"]
        sqs.send_message(QueueUrl=dead, MessageBody="x")
        assert Queues(account).counts() == Counts(waiting=2, in_flight=1, delayed=1, dead=1)

    def test_a_queue_without_dead_letter_queue_has_no_dead(self, account: Settings) -> None:
        clients.sqs(account).create_queue(QueueName="transcode-tasks")
        assert Queues(account).counts() == Counts()

    def test_a_missing_queue_is_named(self, account: Settings) -> None:
        with pytest.raises(ServiceUnavailable, match="queue transcode-tasks does not exist"):
            Queues(account).counts()


class TestEvents:
    def test_a_message_is_received_with_its_count_and_deleted(self, sqs: Any, events: EventQueue) -> None:
        sqs.send_message(QueueUrl=events._url, MessageBody='{"视频": 1}')
        [message] = events.receive(0)
        assert (message.body, message.receive_count) == ('{"视频": 1}', 1)
        events.delete(message)
        assert events.release(message) is Held.GONE

    def test_all_of_a_receive_are_deleted_but_those_that_sqs_refuses(self, sqs: Any, events: EventQueue) -> None:
        for n in range(3):
            sqs.send_message(QueueUrl=events._url, MessageBody=str(n))
        first, second, third = events.receive(0)
        events.delete_all([first, replace(second, receipt="of nobody"), third])
        assert [events.release(one) for one in (first, second, third)] == [Held.GONE, Held.HELD, Held.GONE]

    def test_an_empty_queue_gives_nothing(self, events: EventQueue) -> None:
        assert events.receive(0) == []

    def test_a_released_message_comes_again_and_is_counted(self, sqs: Any, events: EventQueue) -> None:
        sqs.send_message(QueueUrl=events._url, MessageBody="x")
        [first] = events.receive(0)
        assert events.receive(0) == []
        assert events.release(first) is Held.HELD
        [again] = events.receive(0)
        assert (again.id, again.receive_count) == (first.id, 2)

    def test_a_held_message_is_kept_from_others(self, sqs: Any, events: EventQueue) -> None:
        sqs.send_message(QueueUrl=events._url, MessageBody="x")
        [message] = events.receive(0)
        assert events.extend(message, 60) is Held.HELD
        assert events.receive(0) == []

    def test_up_to_ten_come_at_once(self, sqs: Any, events: EventQueue) -> None:
        for n in range(11):
            sqs.send_message(QueueUrl=events._url, MessageBody=str(n))
        assert len(events.receive(0)) == 10

    def test_the_event_queue_of_the_settings_is_read(
        self, sqs: Any, account: Settings, provisioned: Provisioned
    ) -> None:
        sqs.send_message(QueueUrl=provisioned.event_queue_url, MessageBody="x")
        assert [m.body for m in EventQueue(account).receive(0)] == ["x"]


class TestHold:
    def taken(self, sqs: Any, url: str, settings: Settings) -> Message:
        sqs.send_message(QueueUrl=url, MessageBody="x")
        [found] = sqs.receive_message(QueueUrl=url)["Messages"]
        return Message(settings, url, found["ReceiptHandle"])

    def seen(self, sqs: Any, url: str) -> bool:
        return bool(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=0).get("Messages"))

    def test_it_is_held_and_given_back(self, sqs: Any, account: Settings, provisioned: Provisioned) -> None:
        message = self.taken(sqs, provisioned.task_queue_url, account)
        assert message.hold(90.0) is Held.HELD
        assert not self.seen(sqs, provisioned.task_queue_url)
        message.release()
        assert self.seen(sqs, provisioned.task_queue_url)

    def test_it_is_deleted_and_then_gone(self, sqs: Any, account: Settings, provisioned: Provisioned) -> None:
        message = self.taken(sqs, provisioned.task_queue_url, account)
        message.delete()
        message.delete()
        assert message.hold(90) is Held.GONE

    def test_twelve_hours_are_the_limit(self, sqs: Any, account: Settings, provisioned: Provisioned) -> None:
        message = self.taken(sqs, provisioned.task_queue_url, account)
        assert message.hold(43200) is Held.AT_LIMIT
        assert message.hold(60) is Held.HELD

    @pytest.mark.parametrize(
        ("word", "words", "held"),
        [
            ("MessageNotInflight", "", Held.GONE),
            ("ReceiptHandleIsInvalid", "The input receipt handle is invalid.", Held.GONE),
            ("InvalidParameterValue", "Message does not exist or is not available.", Held.GONE),
            ("InvalidParameterValue", "Total VisibilityTimeout for the message is beyond the limit", Held.AT_LIMIT),
        ],
    )  # fmt: skip
    def test_each_refusal_of_sqs_is_told_apart(
        self, sqs: Any, account: Settings, provisioned: Provisioned, line: type[Line], word: str, words: str, held: Held
    ) -> None:
        message = self.taken(sqs, provisioned.task_queue_url, account)
        body = f'{{"__type":"com.amazonaws.sqs#{word}","message":"{words}"}}'
        line(message._client).answer("ChangeMessageVisibility", 400, body.encode())
        assert message.hold(60) is held

    def test_a_refusal_of_the_credentials_is_logged_and_not_raised(
        self, sqs: Any, account: Settings, provisioned: Provisioned, line: type[Line]
    ) -> None:
        message = self.taken(sqs, provisioned.task_queue_url, account)
        body = b'{"__type":"com.amazonaws.sqs#AccessDeniedException","message":"no"}'
        for operation in ("ChangeMessageVisibility", "DeleteMessage"):
            line(message._client).answer(operation, 403, body)
        assert message.hold(60) is None
        message.extend(60)
        message.delete()


class TestCallbacks:
    def test_a_message_comes_as_it_was_sent_after_its_delay(self, account: Settings) -> None:
        client = clients.sqs(account)
        url = client.create_queue(QueueName="transcode-callbacks")["QueueUrl"]
        queue = CallbackQueue(account.model_copy(update={"callback_queue_url": url}))
        sent = Callback("a", 2, "orders", 1736935200.5)
        queue.send(sent, 0.0)
        queue.send(sent, 900.0)
        (received,) = queue.receive(0)
        assert callback.read(received.body) == sent
        assert attributes(client, url)["ApproximateNumberOfMessagesDelayed"] == "1"

    def test_a_missing_queue_is_named(self, account: Settings) -> None:
        url = account.sqs_queue_url.replace("transcode-tasks", "transcode-callbacks")
        with pytest.raises(ServiceUnavailable, match="queue transcode-callbacks does not exist"):
            CallbackQueue(account.model_copy(update={"callback_queue_url": url})).check()

    def test_without_an_address_nothing_is_sent_anywhere(
        self, sqs: Any, account: Settings, provisioned: Provisioned
    ) -> None:
        bare = account.model_copy(update={"event_queue_url": provisioned.event_queue_url, "callback_queue_url": ""})
        with pytest.raises(ServiceUnavailable, match="CALLBACK_QUEUE_URL is not set"):
            CallbackQueue(bare).send(Callback("a", 0, "orders", 0.0), 0.0)
        assert EventQueue(account, provisioned.event_queue_url).receive(0) == []
