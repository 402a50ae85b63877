"""`ports.DeadLetterBox` in SQS: people look into the dead-letter queue of the task queue, and throw letters away.

SQS shows messages only to who receives them, and a receipt is good until the next receive. So a look receives for a
few seconds and puts back, and a letter is deleted by receiving again until it comes.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from transcode.aws import clients, faults
from transcode.aws.sqs import attributes, dead_letter_url
from transcode.clock import timestamp
from transcode.errors import ServiceUnavailable
from transcode.ports import DeadLetter, DeadLetters
from transcode.settings import Settings

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

# Messages per answer, SQS's maximum, and answers per look or deletion at most.
_BATCH, _BATCHES = 10, 20
# Seconds for which a message in our hands is hidden from others; it is put back long before.
_HIDDEN = 10
# Seconds to wait for messages: with 0, SQS asks a part of its servers only.
_WAIT = 1
# Characters of a body that are shown: Celery's envelope of one task has about 900.
_SHOWN = 2000
_VISIBLE, _AWAY = "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"


class SqsDeadLetters:
    """The dead-letter queue that the task queue's redrive policy names, looked up anew each time.

    Args:
        settings: they name the task queue.
        read_task_id: whose message a body is; None when it is none of ours.
    """

    def __init__(self, settings: Settings, read_task_id: Callable[[str], str | None]) -> None:
        self._client = clients.sqs(settings)
        self._queue_url = settings.sqs_queue_url
        self._read_task_id = read_task_id

    def look(self, limit: int) -> DeadLetters:
        """As the port says."""
        url = self._url()
        counted = attributes(self._client, url) if url else {}
        wanted = min(limit, int(counted.get(_VISIBLE, 0)))
        found: dict[str, Any] = {}
        for batch in _batches(self._client, url, wanted):
            found |= {message["MessageId"]: message for message in batch}
            if len(found) >= wanted:
                break
        _put_back(self._client, url, found.values())
        letters = sorted((self._letter(message) for message in found.values()), key=lambda one: one.sent_at)
        return DeadLetters(tuple(letters[:limit]), int(counted.get(_AWAY, 0)))

    def delete(self, ids: Collection[str]) -> int:
        """As the port says; of a queue of more than 200 letters some may not come by, and stay."""
        url, left, others = self._url(), set(ids), list[Any]()
        for batch in _batches(self._client, url, len(left)):
            for message in batch:
                if message["MessageId"] in left:
                    self._delete(url, message["ReceiptHandle"])
                    left.discard(message["MessageId"])
                else:
                    others.append(message)
            if not left:
                break
        _put_back(self._client, url, others)
        return len(set(ids)) - len(left)

    def _url(self) -> str:
        return dead_letter_url(self._client, attributes(self._client, self._queue_url).get("RedrivePolicy", ""))

    def _delete(self, url: str, receipt: str) -> None:
        with _told("DeleteMessage", url):
            self._client.delete_message(QueueUrl=url, ReceiptHandle=receipt)

    def _letter(self, message: dict[str, Any]) -> DeadLetter:
        body, told = message["Body"], message["Attributes"]
        return DeadLetter(
            id=message["MessageId"], task_id=self._read_task_id(body), body=body[:_SHOWN],
            sent_at=timestamp(int(told["SentTimestamp"]) / 1000), receive_count=int(told["ApproximateReceiveCount"]),
        )  # fmt: skip


def _told(action: str, url: str) -> Any:
    return faults.told(f"sqs:{action}", f"queue {url.rsplit('/', 1)[-1]}")


def _batches(client: "SQSClient", url: str, wanted: int) -> Iterator[list[Any]]:
    """What is there, batch after batch, until nothing comes; nothing at all where nothing is wanted."""
    for _ in range(_BATCHES if url and wanted else 0):
        with _told("ReceiveMessage", url):
            answer = client.receive_message(
                QueueUrl=url, MaxNumberOfMessages=_BATCH, WaitTimeSeconds=_WAIT, VisibilityTimeout=_HIDDEN,
                MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
            )  # fmt: skip
        if not answer.get("Messages"):
            return
        yield list(answer["Messages"])


def _put_back(client: "SQSClient", url: str, messages: Iterable[Any]) -> None:
    """Let others see them again. Where that fails, they come back by themselves."""
    held = list(messages)
    with suppress(ServiceUnavailable):
        for start in range(0, len(held), _BATCH):
            entries: Any = [
                {"Id": str(place), "ReceiptHandle": one["ReceiptHandle"], "VisibilityTimeout": 0}
                for place, one in enumerate(held[start : start + _BATCH])
            ]
            with _told("ChangeMessageVisibility", url):
                client.change_message_visibility_batch(QueueUrl=url, Entries=entries)
