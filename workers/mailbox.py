"""The queues that carry `celery inspect` and `control`: made, marked as alive, made again, deleted.

A worker's mailbox is subscribed to one SNS topic; a caller has a reply queue of its own. They are the only
queues a worker ever makes or deletes. What Celery itself must be told, and what cleans up after the dead,
is in `control`.
"""

# ruff: noqa: ARG002  kombu decides the signatures

import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from botocore.exceptions import ClientError
from kombu.transport import SQS
from kombu.transport.SQS.exceptions import UndefinedQueueException
from kombu.utils.uuid import uuid

from transcode import logs
from workers.polling import BOTO_ERRORS, Failure

log = logs.get(__name__)

TAGS = {"managed-by": "celery-control"}
SUFFIX = "-pidbox"
# SQS allows 80 characters; a reply queue's own name takes 56 of them.
_PREFIX_LENGTH = 24
_NODE_LENGTH = 40
# Seconds a command or a reply is worth keeping: callers wait a few.
_RETENTION = "60"
# Seconds between marks that this worker lives; `control.reap` takes three missed marks for its death.
_MARK_EVERY = 300
# How SQS, SNS and AWS-compatible stores without SNS say that this will never work.
_REFUSALS = frozenset(
    [
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "UnauthorizedOperation",
        "InvalidAction",
        "UnknownOperationException",
        "UnsupportedOperation",
    ]
)


def control_prefix(queue_name: str) -> str:
    """What the names of the task queue's control queues and topic begin with; two farms never share one."""
    if len(queue_name) < _PREFIX_LENGTH:
        return f"{queue_name}-"
    return f"{queue_name[: _PREFIX_LENGTH - 10]}-{zlib.crc32(queue_name.encode()):08x}-"


def is_control(queue: str) -> bool:
    """Whether a queue, as Celery names it, belongs to remote control."""
    return queue.endswith(".pidbox")


def is_reply(queue: str) -> bool:
    """Whether it is a caller's reply queue."""
    return is_control(queue) and ".reply." in queue


def is_mailbox(queue: str) -> bool:
    """Whether it is a worker's mailbox."""
    return is_control(queue) and "@" in queue


class MailboxChannel(SQS.Channel):
    """The part of the channel that knows names and addresses, and makes the control queues.

    Own transport options: `queue_urls`, name to address of every task queue; `control_prefix`.
    """

    supports_fanout = True
    # SQS refuses the name of a deleted queue for 60 seconds, so a mailbox has a new name per process.
    mailbox_id: ClassVar[str] = uuid()[:8]
    # Set for good when this process may not use SNS or make queues.
    deaf: ClassVar[bool] = False
    _marked: ClassVar[float] = float("-inf")

    def _update_queue_cache(self, prefix: str) -> None:
        # Stock calls ListQueues for every channel. Until `predefined_queues` allows control queues too.
        self.queue_urls = dict(self.transport_options["queue_urls"])
        # kombu's own option would rename the task queues as well.
        self.queue_name_prefix = self.transport_options.get("control_prefix", "")

    def canonical_queue_name(self, queue: str) -> str:
        """The name in SQS; only control queues (and the topic) get a prefix and a translation."""
        if is_mailbox(queue):
            node = self.entity_name(queue.rsplit(".", 2)[0])[:_NODE_LENGTH]
            return f"{self.queue_name_prefix}{node}-{self.mailbox_id}{SUFFIX}"
        return str(self.entity_name(self.queue_name_prefix + queue)) if is_control(queue) else queue

    def _resolve_queue_url(self, queue: str) -> str:
        # No look-up: an address is given, or follows from the account of a given one.
        if is_control(queue):
            account = next(iter(self.queue_urls.values())).rsplit("/", 1)[0]
            return f"{account}/{self.canonical_queue_name(queue)}"
        if queue not in self.queue_urls:
            raise UndefinedQueueException(f"{queue!r} is none of the task queues: {', '.join(self.queue_urls)}.")
        return str(self.queue_urls[queue])

    def _new_queue(self, queue: str, **declared: Any) -> str:
        # Stock makes any queue it is asked about. Only declaring passes arguments: a reply to a caller
        # that has left must not make its queue again.
        name = self.canonical_queue_name(queue)
        if declared and is_control(queue) and name not in self._queue_cache and not self.deaf:
            with self._or_deaf(queue):
                self._queue_cache[name] = self._make(name)
        return self._resolve_queue_url(queue)

    def _make(self, name: str) -> str:
        attributes = {"MessageRetentionPeriod": _RETENTION, "VisibilityTimeout": "30"}
        made = self.sqs().create_queue(QueueName=name, tags=TAGS, Attributes=attributes)
        return str(made["QueueUrl"])

    @contextmanager
    def _or_deaf(self, queue: str) -> Iterator[None]:
        """A worker that may not use remote control says so once and works without it."""
        try:
            yield
        except ClientError as exc:
            code = exc.response.get("Error", {}).get("Code", "")
            if not is_mailbox(queue) or code not in _REFUSALS:
                raise
            MailboxChannel.deaf = True
            log.warning("Remote control is off", reason=f"{exc.operation_name}: {code}")
            self._drop(queue)

    def _drop(self, queue: str) -> None:
        url = self._queue_cache.pop(self.canonical_queue_name(queue), None)
        try:
            if url:
                self.sqs().delete_queue(QueueUrl=url)
        except BOTO_ERRORS as exc:
            log.warning("Control queue not deleted", url=url, reason=str(exc))

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        # Never a task queue, whatever `celery amqp` asks for.
        if is_control(queue) and not (self.deaf and is_mailbox(queue)):
            super()._delete(queue, *args, **kwargs)
            # Stock forgets the wrong name, and would use the deleted queue again.
            self._queue_cache.pop(self.canonical_queue_name(queue), None)

    def _size(self, queue: str) -> int:
        # Declaring asks for it; SQS may not know a queue yet that was made an instant ago.
        return 0 if is_control(queue) else int(super()._size(queue))

    def _queue_bind(self, exchange: str, routing_key: str, pattern: Any, queue: str) -> None:
        if not self.deaf:
            with self._or_deaf(queue):
                super()._queue_bind(exchange, routing_key, pattern, queue)

    def _subscribe_queue_to_fanout_exchange_if_required(self, queue: str) -> None:
        if not self.deaf:
            with self._or_deaf(queue):
                super()._subscribe_queue_to_fanout_exchange_if_required(queue)

    def _schedule_queue(self, queue: str) -> None:
        if not (self.deaf and is_mailbox(queue)):
            super()._schedule_queue(queue)

    def _lookup(self, exchange: str, routing_key: str, default: str | None = None) -> list[str]:
        # Stock finds a caller's reply queue in a table of its own process, so workers drop every reply.
        # The queue's name follows from the key. Until a kombu release that routes replies (5.7.0 does not).
        if is_control(exchange) and exchange.startswith("reply."):
            return [f"{routing_key}.{exchange}"]
        found: list[str] = super()._lookup(exchange, routing_key, default)
        return found

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        # A reply to a caller that has left must not raise: Celery would reset the worker's mailbox.
        try:
            super()._put(queue, message, **kwargs)
        except BOTO_ERRORS as exc:
            if not is_reply(queue):
                raise
            log.warning("Reply not delivered", queue=queue, reason=str(exc))

    def _get_async(self, queue: str, count: int = 1, callback: Any = None) -> Any:
        if is_mailbox(queue) and time.monotonic() > self._marked + _MARK_EVERY:
            self._mark(queue)
        return super()._get_async(queue, count, callback=callback)

    def _mark(self, queue: str) -> None:
        """Tag the mailbox with the time, for `control.reap`; a refusal must not keep us from polling."""
        MailboxChannel._marked = time.monotonic()
        try:
            self.sqs().tag_queue(QueueUrl=self._resolve_queue_url(queue), Tags={"seen": str(int(time.time()))})
        except BOTO_ERRORS as exc:
            log.warning("Mailbox not marked as alive", queue=queue, reason=str(exc))

    def _on_failed_poll(self, queue: str, failure: Failure) -> None:
        gone = "NonExistentQueue" in str(failure["body"]) or "QueueDoesNotExist" in str(failure["body"])
        if is_mailbox(queue) and gone:
            self._make_again(queue)

    def _make_again(self, queue: str) -> None:
        """Somebody deleted the mailbox of a living worker."""
        self._queue_cache.pop(self.canonical_queue_name(queue), None)
        # A new helper too: the old one remembers the subscription of the deleted queue.
        MailboxChannel.mailbox_id, self._fanout = uuid()[:8], None
        try:
            self._new_queue(queue, again=True)
            self.fanout.initialise_exchange(self._get_exchange_for_queue(queue))
            self._subscribe_queue_to_fanout_exchange_if_required(queue)
        except BOTO_ERRORS as exc:
            log.error("Mailbox not made again", queue=queue, reason=str(exc))
