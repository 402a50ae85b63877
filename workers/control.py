"""What Celery must be told so that `inspect` and `control` work over SQS and leave nothing behind.

`install(app)` tells it. `reap(app)` removes what killed workers and callers could not remove themselves; every node
does it, and it is harmless to repeat. The queues themselves are made in `mailbox`, what commands mean is in `commands`.
"""

import threading
import time
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError
from celery import Celery, bootsteps
from celery.app import control
from celery.worker.consumer.control import Control as ControlStep
from kombu import pidbox
from kombu.utils.uuid import uuid

from transcode import logs
from workers import commands
from workers.forking import ForkPause
from workers.mailbox import SUFFIX, MailboxChannel
from workers.polling import BOTO_ERRORS

log = logs.get(__name__)

# Seconds without a mark after which a control queue's owner is taken for dead: three marks of 300 s.
DEAD_AFTER = 900.0
# Seconds between two reapings of a node: what is left behind costs nothing while it waits, looking for it does.
_REAP_EVERY = 6 * 3600.0


class Mailbox(pidbox.Mailbox):
    """Stock gives a process one reply queue's name; SQS refuses that name for 60 s after each command."""

    @cached_property
    def oid(self) -> str:
        """The key of this call's reply queue. Every call works on a copy, so each has its own."""
        return str(uuid())


class Control(control.Control):
    """Remote control with our mailbox, and with our meaning of some commands."""

    Mailbox = Mailbox

    def broadcast(
        self, command: str, arguments: Any = None, *more: Any, callback: Any = None, **options: Any
    ) -> list[dict[str, Any]] | None:
        """Send a command to the nodes, or do here what is not theirs.

        Raises:
            CeleryCommandException: the command has no effect here; it says why.
        """
        given = dict(arguments or {})
        commands.refuse(self.app, command, given)
        if command not in commands.CANCELLING:
            sent: list[dict[str, Any]] | None
            sent = super().broadcast(command, arguments, *more, callback=callback, **options)
            return sent
        answers = commands.cancel(self.app, given.get("task_id", ()))
        for answer in answers if callback else ():
            callback(answer)
        return answers


class RemoveMailbox(bootsteps.StartStopStep):
    """Deletes this worker's mailbox when it stops, not when it reconnects: SQS knows no auto_delete."""

    requires = (ControlStep,)

    def stop(self, c: Any) -> None:
        """Called by Celery, before the mailbox's own channel is closed."""
        box = next((step.box for step in c.steps if isinstance(step, ControlStep)), None)
        if box and box.consumer and c.blueprint.state != bootsteps.RUN:
            box.consumer.cancel()
            box.node.channel.queue_delete(box.node.mailbox.get_queue(box.hostname).name)


class Reaper(bootsteps.StartStopStep):
    """Removes what the dead left behind, when a node starts and every few hours."""

    requires = (ControlStep,)
    _thread: threading.Thread | None = None

    def include_if(self, c: Any) -> bool:
        """Not where remote control is switched off: then no call of SNS is made."""
        return bool(c.app.conf.worker_enable_remote_control)

    def start(self, c: Any) -> None:
        """Called by Celery, also after a reconnect: then the thread is there already."""
        if self._thread is None:
            self._thread = threading.Thread(target=_reap_on, args=(c.app,), name="reaper", daemon=True)
            self._thread.start()


def _reap_on(app: Celery) -> None:
    pause = ForkPause()
    while not MailboxChannel.deaf:
        try:
            with pause:
                gone = reap(app)
        except BOTO_ERRORS as exc:
            log.warning("Control queues of the dead not removed", reason=str(exc))
        except Exception:
            # The next time it may do better.
            log.exception("Unforeseen error while control queues of the dead were removed")
        else:
            log.debug("Control queues of the dead removed", queues=gone)
        time.sleep(_REAP_EVERY)


def install(app: Celery) -> None:
    """Give an app our remote control."""
    app.control_cls = f"{__name__}:{Control.__qualname__}"
    app.steps["consumer"].update({RemoveMailbox, Reaper})


def reap(app: Celery, older: float = DEAD_AFTER) -> list[str]:
    """Delete the control queues of the dead, then the subscriptions that lead nowhere.

    Args:
        app: whose control queues; those of other farms have other names.
        older: seconds since the last sign of life.

    Returns:
        The names of the queues that are gone.
    """
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        gone = [url for url in _control_queues(channel) if _is_dead(channel.sqs(), url, older)]
        for url in gone:
            _delete(channel.sqs(), url)
        channel.fanout.subscriptions.cleanup(app.control.mailbox.exchange.name)
    return [url.rsplit("/", 1)[1] for url in gone]


def _control_queues(channel: Any) -> Iterator[str]:
    pages = channel.sqs().get_paginator("list_queues").paginate(QueueNamePrefix=channel.queue_name_prefix)
    for page in pages:
        for url in page.get("QueueUrls", ()):
            if url.endswith(SUFFIX) and url not in channel.queue_urls.values():
                yield url


def _delete(sqs: Any, url: str) -> None:
    try:
        sqs.delete_queue(QueueUrl=url)
    except ClientError as exc:
        # Several nodes start at the same time, and another one was faster.
        log.info("Control queue of the dead not deleted", url=url, reason=str(exc))


def _is_dead(sqs: Any, url: str, older: float) -> bool:
    try:
        made = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["CreatedTimestamp"])["Attributes"]
        seen = sqs.list_queue_tags(QueueUrl=url).get("Tags", {}).get("seen", 0)
    except ClientError as exc:
        # Deleted by its owner in this instant, or none of our business.
        log.info("Control queue not looked at", url=url, reason=str(exc))
        return False
    return time.time() - max(float(made["CreatedTimestamp"]), float(seen)) > older
