"""The queue of callbacks in SQS: filled by whoever ends a task, read by the bridge's courier."""

from transcode import callback
from transcode.aws import clients, faults
from transcode.aws.sqs import EventQueue, attributes
from transcode.errors import ServiceUnavailable
from transcode.ports import Callback
from transcode.settings import Settings

# Seconds, and tries.
_SEND_READ, _SEND_TRIES = 5.0, 2


class CallbackQueue(EventQueue):
    """Fills `ports.Callbacks`, and is read like the queue of events."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, settings.callback_queue_url)
        # Whoever ends a task waits for it, a pool process without its heartbeat among them: two tries of 5 s.
        self._sender = clients.sqs(settings, read=_SEND_READ, attempts=_SEND_TRIES)
        # Never the queue of events, which an empty address would mean there.
        self._url = settings.callback_queue_url

    def check(self) -> None:
        """Ask for the queue.

        Raises:
            ServiceUnavailable: it is not there, or does not answer.
        """
        attributes(self._client, self._url)

    def send(self, message: Callback, delay: float) -> None:
        """As the port says. A process without CALLBACK_QUEUE_URL cannot send; the bridge does it then."""
        if not self._url:
            raise ServiceUnavailable("CALLBACK_QUEUE_URL is not set for this process.")
        with faults.told("sqs:SendMessage", f"queue {self._url.rsplit('/', 1)[-1]}"):
            self._sender.send_message(
                QueueUrl=self._url, MessageBody=callback.write(message), DelaySeconds=round(delay)
            )  # fmt: skip
