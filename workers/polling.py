"""How a queue is polled: every wait has a limit, every failure a pause, and nothing ends it but a cancel.

Only here is the polling of kombu 5.7.0 overridden. Each override names the fault it cures and what would
let us delete it. `last_answered_poll` is what health and metrics ask.
"""

# ruff: noqa: ARG002  kombu decides the signatures

import json
from time import monotonic
from typing import Any

import pycurl
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from kombu.asynchronous.aws.connection import AsyncHTTPSConnection
from kombu.asynchronous.aws.sqs.connection import AsyncSQSConnection
from kombu.transport import SQS
from kombu.utils.encoding import bytes_to_str

from transcode import logs, metrics

log = logs.get(__name__)

# What a call to AWS may raise; ResponseParserError is an answer that is not AWS's (a proxy's HTML page).
BOTO_ERRORS = (BotoCoreError, ClientError, ResponseParserError, OSError)
# What the loop is told instead of a number of messages when a poll was not answered.
_FAILED = -1
# Seconds a TCP and TLS handshake may take; within a region it takes milliseconds.
_CONNECT = 5
# Seconds beyond the long poll after which an unanswered poll is given up.
_GRACE = 10
# Seconds between two looks for a free slot; one that is freed by a task is told at once.
_LOOK = 1.0
# Seconds before polling again after the first failure; doubled with each further one, up to the longest.
_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
# Characters kept of an answer that is an error: enough for AWS's code and sentence.
_BODY_KEPT = 300

_answered: dict[str, float] = {}


def last_answered_poll(queue: str) -> float | None:
    """When SQS last answered a poll of `queue`, on the monotonic clock; None before the first answer.

    A worker whose slots are all taken asks for nothing, so that counts as answered: an old time always
    means that a poll is due and does not come through. Known in the worker's main process only.
    """
    return _answered.get(queue)


def _is_json(body: bytes) -> bool:
    """Whether SQS can have said this; botocore takes a proxy's HTML page for an empty answer."""
    try:
        return isinstance(json.loads(body), dict)
    except ValueError:
        return False


def _raise(error: Exception) -> None:
    raise error


class Failure(dict[str, Any]):
    """Stands where the messages of a poll would, when SQS did not answer with 200."""


class _HTTPConnection(AsyncHTTPSConnection):
    """One request of curl, with limits."""

    def getrequest(self) -> Any:
        # Stock takes a timeout and never tells curl: a poll that the network swallows never ends and the
        # queue is not polled again. Until a kombu release with pull request 2488 (closed, not in 5.7.0).
        request = super().getrequest()
        request.on_prepare = self._limit
        return request

    def _limit(self, curl: Any) -> None:
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.CONNECTTIMEOUT, _CONNECT)
        curl.setopt(pycurl.TIMEOUT_MS, int(self.timeout * 1000))


class PollConnection(AsyncSQSConnection):
    """The asynchronous client that polls."""

    def __init__(self, *args: Any, poll_timeout: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.poll_timeout = poll_timeout

    def get_http_connection(self) -> _HTTPConnection:
        """A connection with limits, see `_HTTPConnection`."""
        return _HTTPConnection(http_client=self._httpclient, timeout=self.poll_timeout)

    def _on_list_ready(self, parent: Any, markers: Any, operation: str, response: Any) -> Any:
        # Stock: a 5xx or a dropped connection becomes `[]` and 5.7.0 crashes on it; any 4xx is raised and
        # ends the worker (kombu issues 2031, 2217, 931). Until a release that retries both.
        body = response.read() or b""
        if response.status != 200 or not _is_json(body):
            return Failure(status=response.status, body=bytes_to_str(body)[:_BODY_KEPT])
        return super()._on_list_ready(parent, markers, operation, response)


class PollingChannel(SQS.Channel):
    """The part of the channel that polls.

    Own transport options, in seconds: `poll_timeout` (default: the long poll and ten), `retry_pause` (1),
    `idle_pause` (0): what POLL_INTERVAL asks for beyond the long poll.
    """

    _asynsqs: PollConnection | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._polling: set[str] = set()
        self._failures: dict[str, int] = {}
        # The queues that are not asked because all slots are taken, and what looks at them again.
        self._postponed: dict[str, Any] = {}
        super().__init__(*args, **kwargs)
        options = self.transport_options
        self._poll_timeout = options.get("poll_timeout", self.wait_time_seconds + _GRACE)
        self._retry_pause = options.get("retry_pause", _PAUSE)
        self._idle_pause = options.get("idle_pause", 0)

    def asynsqs(self, queue: str | None = None) -> PollConnection:
        """The asynchronous client; ours, see `PollConnection`."""
        if self._asynsqs is None:
            self._asynsqs = PollConnection(
                self.sqs(),
                region=self.region,
                message_system_attribute_names=self.get_message_attributes["MessageSystemAttributeNames"],
                poll_timeout=self._poll_timeout,
            )
        return self._asynsqs

    def _schedule_queue(self, queue: str) -> None:
        # Stock looks for a free slot in each turn of the loop, before or after the message that frees one is deleted,
        # as chance has it; in half of the cases the next look is up to a second later. Until a release that asks then.
        if look := self._postponed.pop(queue, None):
            look.cancel()
        if queue in self._active_queues and not self.qos.can_consume():
            # No poll is due, see `last_answered_poll`.
            _answered[queue] = monotonic()
            self._postponed[queue] = self.hub.call_later(_LOOK, self._schedule_queue, queue)
        else:
            super()._schedule_queue(queue)

    def slot_freed(self) -> None:
        """Ask for the next message as soon as there is a slot for it."""
        for queue in tuple(self._postponed):
            self._schedule_queue(queue)

    def _get_async(self, queue: str, count: int = 1, callback: Any = None) -> Any:
        # Stock: two consumers of one queue (cancel_consumer, add_consumer, a reconnect) poll it twice and
        # hold twice the messages; an error while signing (credentials expired, metadata service silent)
        # counts as a lost broker. Until a release that keeps one poll a queue and retries it.
        if queue in self._polling:
            return None
        self._polling.add(queue)
        # curl sends it, not the client whose requests are counted elsewhere.
        metrics.asked_aws("sqs", "ReceiveMessage")
        try:
            return super()._get_async(queue, count, callback=callback)
        except BOTO_ERRORS as exc:
            self._on_messages_ready("", queue, Failure(status="not sent", body=repr(exc)[:_BODY_KEPT]))
            return self._loop1(queue, _FAILED)

    def _on_messages_ready(self, url: str, queue: str, messages: Any) -> int:
        self._polling.discard(queue)
        if isinstance(messages, Failure):
            if queue in self._active_queues:
                self._on_failed_poll(queue, messages)
            return _FAILED
        self._failures.pop(queue, None)
        _answered[queue] = monotonic()
        try:
            fetched: int = super()._on_messages_ready(url, queue, messages)
        except Exception as exc:
            # Stock: when curl calls us from a timer, kombu logs the error and the queue is never polled
            # again. Raised from the loop itself it ends the worker, visibly, and the fleet starts another.
            self.hub.call_soon(_raise, exc)
            return _FAILED
        return fetched

    def _on_failed_poll(self, queue: str, failure: Failure) -> None:
        self._failures[queue] = self._failures.get(queue, 0) + 1
        log.error("Poll failed", queue=queue, times=self._failures[queue], **failure)

    def _loop1(self, queue: str, messages_fetched: int | None = None) -> Any:
        # Stock asks again at once, with polling_interval 0 about 28 times a second while SQS is down; and
        # for ever after a cancel. An interval of its own for an idle worker is ours.
        if queue not in self._active_queues:
            return None
        pause = self._pause(queue, messages_fetched)
        if pause:
            return self.hub.call_later(pause, self._schedule_queue, queue)
        return super()._loop1(queue, messages_fetched)

    def _pause(self, queue: str, fetched: int | None) -> float:
        """Seconds until the queue is looked at again; 0: now."""
        if fetched == _FAILED:
            doublings = min(self._failures.get(queue, 1) - 1, 10)
            return float(min(_LONGEST_PAUSE, self._retry_pause * 2**doublings))
        if fetched == 0 and queue in self.queue_urls and not self.qos.holds_any:
            return float(self._idle_pause)
        return 0.0
