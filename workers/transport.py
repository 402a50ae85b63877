"""Celery's way to SQS, hardened: task queues by address, polling that never ends, nothing lost or hoarded.

`register()` makes it kombu's transport for `sqs://`. It is written against kombu 5.7.0 and celery 5.7.0,
which are pinned; every override says which fault it cures and what would let us delete it. Polling is in
`polling`, which of two queues is asked in `urgent`, what is held in `held`, foreign messages in `vetting`, remote
control in `mailbox` and `control`. The options are listed in `celeryconfig`; all of them can be printed, none holds a
secret.
"""

# ruff: noqa: ARG002  kombu decides the signatures

from functools import cached_property
from typing import Any

import kombu.transport
from botocore.exceptions import ClientError
from celery.exceptions import CeleryCommandException
from kombu.asynchronous import set_event_loop
from kombu.transport import SQS
from kombu.utils.imports import symbol_by_name

from transcode import logs
from transcode.aws import clients
from transcode.errors import TranscodeError
from transcode.settings import Settings
from workers.held import Held
from workers.mailbox import MailboxChannel
from workers.polling import BOTO_ERRORS, Failure, PollingChannel, last_answered_poll
from workers.urgent import UrgentChannel
from workers.vetting import VettingChannel

__all__ = ["BOTO_ERRORS", "Transport", "last_answered_poll", "register"]

log = logs.get(__name__)

# Seconds one call in the worker's event loop may wait, and how often it is tried: while it waits, the
# worker neither polls nor notices a finished task.
_READ, _ATTEMPTS = 5, 4
# Seconds a blocking receive waits. Only the command line receives so, and `inspect` waits one in all.
_BLOCKING_WAIT = 1
# Seconds until a message is tried again whose pool process died: one heartbeat, so that a crash that
# comes with the file does not spin.
_AFTER_CRASH = 20
# SQS's words for a message that is deleted already: the task itself may delete it, after eleven hours.
_GONE = frozenset({"ReceiptHandleIsInvalid", "InvalidParameterValue"})
# sysexits' EX_TEMPFAIL: try again later.
_TRY_LATER = 75


class Channel(PollingChannel, UrgentChannel, VettingChannel, MailboxChannel):
    """The whole channel. `settings`, an own option, says where the settings are: 'module:name'."""

    QoS = Held

    @cached_property
    def settings(self) -> Settings:
        """Where credentials and endpoint come from; named, not given, because options get printed."""
        found: Settings = symbol_by_name(self.transport_options["settings"])
        return found

    @cached_property
    def region(self) -> str:
        """The settings' region; stock falls back to us-east-1."""
        return self.settings.aws_region

    def _new_boto_client(self, service: str, *_: Any, config: Any = None, **__: Any) -> Any:
        # Stock builds clients of its own from the broker's address: other credentials than the rest of the
        # product, in a text that gets logged. `config` is only given where nothing may be tried twice.
        if service == "sns":
            return clients.sns(self.settings)
        return clients.sqs(self.settings, read=_READ, attempts=1 if config else _ATTEMPTS)

    def _on_failed_poll(self, queue: str, failure: Failure) -> None:
        PollingChannel._on_failed_poll(self, queue, failure)
        MailboxChannel._on_failed_poll(self, queue, failure)

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Delete the message; where that fails it comes again, which is harmless, and the log says so.

        Stock ends the worker when the call is denied, and says nothing when it fails otherwise (celery
        issue 8242). Until a release that does neither.
        """
        try:
            info = self.qos.get(delivery_tag).delivery_info
            self.sqs().delete_message(QueueUrl=info["sqs_queue"], ReceiptHandle=info["sqs_message"]["ReceiptHandle"])
        except KeyError:
            pass  # a message that did not come from SQS
        except BOTO_ERRORS as exc:
            if not (isinstance(exc, ClientError) and exc.response["Error"]["Code"] in _GONE):
                log.error("Message of a finished task not deleted; it will come again", reason=str(exc))
        self.qos.ack(delivery_tag)

    def _has_redrive_policy(self, queue: str, queue_url: str) -> bool:
        # Stock, new in 5.7, deletes rejected messages of a queue that has no dead-letter queue. We delete
        # nothing that we did not understand; provisioning gives every queue a dead-letter queue.
        return True

    def _restore(self, message: Any) -> None:
        # Asked for when a message is rejected to be tried again: its pool process died. Stock makes it
        # visible after one poll length, and fails on messages that no Celery client wrote.
        self.give_back(message, _AFTER_CRASH)

    def give_back(self, message: Any, seconds: int) -> None:
        """Let other workers see a message that we hold, after `seconds`.

        Stock makes what a stopping worker held visible only after one poll length.
        """
        info = message.delivery_info
        if "sqs_message" not in info:
            return
        try:
            self._new_release_client(self.sqs()).change_message_visibility(
                QueueUrl=info["sqs_queue"],
                ReceiptHandle=info["sqs_message"]["ReceiptHandle"],
                VisibilityTimeout=seconds,
            )
        except BOTO_ERRORS as exc:
            log.warning("Message not given back; it comes when its visibility ends", reason=str(exc))

    def _delete_message(self, queue: str, message: dict[str, Any]) -> None:
        # Stock uses the asynchronous client, for which a command line has no loop: `inspect` dies of it.
        try:
            self.sqs().delete_message(QueueUrl=self._resolve_queue_url(queue), ReceiptHandle=message["ReceiptHandle"])
        except BOTO_ERRORS as exc:
            log.warning("Message not deleted", queue=queue, reason=str(exc))

    def _receive_message(self, queue: str, max_number_of_messages: int = 1, wait_time_seconds: Any = None) -> Any:
        return super()._receive_message(queue, max_number_of_messages, _BLOCKING_WAIT)

    def _purge(self, queue: str) -> int:
        # Stock adds ten readings of the size up, and dies with a traceback of the second purge in a minute.
        # People type `celery purge` to get rid of work, so the waiting tasks are cancelled with it.
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed"]
        url = self._resolve_queue_url(queue)
        try:
            found = self.sqs().get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            if hook := self.transport_options.get("before_purge"):
                symbol_by_name(hook)()
            # Notifications in the task queue itself are uploads that nobody has recorded yet: they stay.
            if self.settings.event_queue_url:
                self.sqs().purge_queue(QueueUrl=url)
        except TranscodeError as exc:
            raise CeleryCommandException(f"{queue} was not purged: {exc}", _TRY_LATER) from None
        except ClientError as exc:
            again = "PurgeQueueInProgress" in exc.response["Error"]["Code"]
            reason = "SQS allows one purge a minute; try again later" if again else str(exc)
            raise CeleryCommandException(f"{queue} was not purged: {reason}.", _TRY_LATER if again else 1) from None
        return sum(int(found[name]) for name in names)


class Transport(SQS.Transport):
    """What kombu asks for a connection."""

    Channel = Channel
    # Stock has fanout (SNS) but does not say so, and Celery then starts no mailbox. Until a kombu release
    # whose SQS transport names it.
    implements = SQS.Transport.implements.extend(exchange_type=frozenset({"direct", "topic", "fanout"}))
    # Stock does not count AWS's own errors: one 503 while (re)connecting would end the worker.
    connection_errors = SQS.Transport.connection_errors + BOTO_ERRORS

    def register_with_event_loop(self, connection: Any, hub: Any) -> None:
        """Poll again after a reconnect.

        Stock forgets the loop in a reconnect and never polls again (side effect of kombu pull request 2404;
        celery issues 6210, 8350). Until a release in which a new channel finds the loop.
        """
        set_event_loop(hub)
        for channel in self.channels:
            channel.hub = hub
            for queue in channel._active_queues:
                hub.call_soon(channel._schedule_queue, queue)


def register() -> None:
    """Make this the transport of `sqs://`, in this process."""
    kombu.transport.TRANSPORT_ALIASES["sqs"] = f"{__name__}:{Transport.__qualname__}"
