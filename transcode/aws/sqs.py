"""SQS beside Celery's own use of it: counts, the event queue, and the hold on a message of a running task.

Celery and kombu fetch and send the task queue's messages; here is what they do not do.
"""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from transcode import logs
from transcode.aws import clients, faults
from transcode.errors import ServiceUnavailable
from transcode.ports import Counts
from transcode.settings import Settings

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

log = logs.get(__name__)

# Messages per answer; SQS gives ten at most.
_BATCH = 10
# Seconds. A heartbeat every 20 s must not wait longer than its turn: two tries of 5 s.
_HEARTBEAT_READ, _HEARTBEAT_TRIES = 5.0, 2
_COUNTED = {
    "waiting": "ApproximateNumberOfMessages",
    "in_flight": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}


def _told(action: str, queue_url: str) -> AbstractContextManager[None]:
    return faults.told(f"sqs:{action}", f"queue {queue_url.rsplit('/', 1)[-1]}")


class Queues:
    """How many messages stand where."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = clients.sqs(settings)
        self._url = settings.sqs_queue_url
        self._urls = tuple(settings.queue_urls.values())

    def counts(self) -> Counts:
        """The counts of the task queue and the urgent one together, and of their dead-letter queue.

        Raises:
            ServiceUnavailable: SQS did not tell.
        """
        found = [attributes(self._client, url) for url in self._urls]
        counted = {name: sum(int(one.get(attribute, 0)) for one in found) for name, attribute in _COUNTED.items()}
        return Counts(**counted, dead=self._dead(found[0].get("RedrivePolicy", "")))

    def dead_letters(self) -> "EventQueue | None":
        """The task queue's dead-letter queue, None when it has none."""
        found = attributes(self._client, self._url)
        url = dead_letter_url(self._client, found.get("RedrivePolicy", ""))
        return EventQueue(self._settings, url) if url else None

    def _dead(self, policy: str) -> int:
        url = dead_letter_url(self._client, policy)
        return int(attributes(self._client, url)[_COUNTED["waiting"]]) if url else 0


def attributes(client: "SQSClient", url: str) -> dict[str, str]:
    """All attributes of a queue, as SQS names them."""
    with _told("GetQueueAttributes", url):
        answer = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return {str(name): value for name, value in answer.get("Attributes", {}).items()}


def dead_letter_url(client: "SQSClient", policy: str) -> str:
    """The address of the dead-letter queue that a redrive policy names; empty when it names none."""
    arn = json.loads(policy).get("deadLetterTargetArn", "") if policy else ""
    if not arn:
        return ""
    account, name = arn.split(":")[-2:]
    with _told("GetQueueUrl", name):
        return client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]


@dataclass(frozen=True)
class Received:
    """A message in hand. `receive_count` tells how often it has been handed out, this time included."""

    id: str
    receipt: str
    body: str
    receive_count: int


class EventQueue:
    """The queue of storage notifications, as the bridge reads it."""

    def __init__(self, settings: Settings, queue_url: str = "") -> None:
        self._client = clients.sqs(settings)
        self._url = queue_url or settings.event_queue_url

    def receive(self, wait: int) -> list[Received]:
        """What is there, ten messages at most; waits up to `wait` seconds (20 at most) for the first."""
        with _told("ReceiveMessage", self._url):
            answer = self._client.receive_message(
                QueueUrl=self._url,
                WaitTimeSeconds=wait,
                MaxNumberOfMessages=_BATCH,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        return [
            Received(m["MessageId"], m["ReceiptHandle"], m["Body"], int(m["Attributes"]["ApproximateReceiveCount"]))
            for m in answer.get("Messages", [])
        ]

    def delete(self, message: Received) -> None:
        """Done with it."""
        _delete(self._client, self._url, message.receipt)

    def delete_all(self, messages: Sequence[Received]) -> None:
        """Done with them, ten at most: one request. What SQS does not delete comes again, and the log says so."""
        entries: Any = [{"Id": str(n), "ReceiptHandle": one.receipt} for n, one in enumerate(messages)]
        with _told("DeleteMessage", self._url):
            answer = self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)
        if failed := answer.get("Failed"):
            log.warning("Messages not deleted", count=len(failed), reason=failed[0].get("Message", failed[0]["Code"]))

    def extend(self, message: Received, seconds: float) -> "Held":
        """Keep it from other readers for `seconds` from now."""
        return _hold(self._client, self._url, message.receipt, seconds)

    def release(self, message: Received) -> "Held":
        """Give it back at once; another receive will bring it."""
        return self.extend(message, 0)


class Held(StrEnum):
    """What became of a wish to hold a message."""

    HELD = "held"
    # SQS lets a message be held for 12 hours in all.
    AT_LIMIT = "at its limit"
    # Deleted, or visible again and perhaps in other hands.
    GONE = "gone"


class Message:
    """The message of a running task, for its heartbeat: nothing here raises, the lease alone decides.

    Made in the task's own process: connections do not survive a fork.
    """

    def __init__(self, settings: Settings, queue_url: str, receipt: str) -> None:
        self._settings = settings
        self._url = queue_url
        self._receipt = receipt

    @cached_property
    def _client(self) -> "SQSClient":
        return clients.sqs(self._settings, read=_HEARTBEAT_READ, attempts=_HEARTBEAT_TRIES)

    def hold(self, seconds: float) -> Held | None:
        """Keep it from other workers for `seconds` from now; None when SQS did not answer."""
        try:
            held = _hold(self._client, self._url, self._receipt, seconds)
        except ServiceUnavailable as exc:
            log.warning("Message not extended", error=str(exc))
            return None
        if held is not Held.HELD:
            log.warning("Message not extended", reason=f"it is {held}")
        return held

    def extend(self, seconds: float) -> None:
        """As `hold`; what goes wrong is in the log alone."""
        self.hold(seconds)

    def release(self) -> None:
        """Give it back at once."""
        self.hold(0)

    def delete(self) -> None:
        """Give it up for good."""
        try:
            _delete(self._client, self._url, self._receipt)
        except ServiceUnavailable as exc:
            log.warning("Message not deleted", error=str(exc))


def _delete(client: "SQSClient", url: str, receipt: str) -> None:
    with _told("DeleteMessage", url):
        client.delete_message(QueueUrl=url, ReceiptHandle=receipt)


def _hold(client: "SQSClient", url: str, receipt: str, seconds: float) -> Held:
    with _told("ChangeMessageVisibility", url):
        try:
            client.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=round(seconds))
        except ClientError as exc:
            return _refusal(exc)
    return Held.HELD


def _refusal(exc: ClientError) -> Held:
    """SQS says most of it with one code, InvalidParameterValue; only its words tell the limit from the loss."""
    word = faults.code(exc).rsplit(".", 1)[-1]
    if word in ("MessageNotInflight", "ReceiptHandleIsInvalid"):
        return Held.GONE
    if word != "InvalidParameterValue":
        raise exc
    words = str(exc.response["Error"].get("Message", ""))
    return Held.AT_LIMIT if "otal VisibilityTimeout" in words or "maximum" in words else Held.GONE
