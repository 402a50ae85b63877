"""What Celery must be told so that `inspect` and `control` work over SQS and leave nothing behind.

`install(app)` tells it. `reap(app)` removes what killed workers and callers could not remove themselves;
it is harmless to repeat and to run in several places. The queues themselves are made in `mailbox`.
"""

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
from workers.mailbox import SUFFIX

log = logs.get(__name__)

# Seconds without a mark after which a control queue's owner is taken for dead: three marks of 300 s.
DEAD_AFTER = 900.0


class Mailbox(pidbox.Mailbox):
    """Stock gives a process one reply queue's name; SQS refuses that name for 60 s after each command."""

    @cached_property
    def oid(self) -> str:
        """The key of this call's reply queue. Every call works on a copy, so each has its own."""
        return str(uuid())


class Control(control.Control):
    """Remote control with our mailbox."""

    Mailbox = Mailbox


class RemoveMailbox(bootsteps.StartStopStep):
    """Deletes this worker's mailbox when it stops, not when it reconnects: SQS knows no auto_delete."""

    requires = (ControlStep,)

    def stop(self, c: Any) -> None:
        """Called by Celery, before the mailbox's own channel is closed."""
        box = next((step.box for step in c.steps if isinstance(step, ControlStep)), None)
        if box and box.consumer and c.blueprint.state != bootsteps.RUN:
            box.consumer.cancel()
            box.node.channel.queue_delete(box.node.mailbox.get_queue(box.hostname).name)


def install(app: Celery) -> None:
    """Give an app our remote control."""
    app.control_cls = f"{__name__}:{Control.__qualname__}"
    app.steps["consumer"].add(RemoveMailbox)


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
            channel.sqs().delete_queue(QueueUrl=url)
        channel.fanout.subscriptions.cleanup(app.control.mailbox.exchange.name)
    return [url.rsplit("/", 1)[1] for url in gone]


def _control_queues(channel: Any) -> Iterator[str]:
    pages = channel.sqs().get_paginator("list_queues").paginate(QueueNamePrefix=channel.queue_name_prefix)
    for page in pages:
        for url in page.get("QueueUrls", ()):
            if url.endswith(SUFFIX) and url not in channel.queue_urls.values():
                yield url


def _is_dead(sqs: Any, url: str, older: float) -> bool:
    try:
        made = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["CreatedTimestamp"])["Attributes"]
        seen = sqs.list_queue_tags(QueueUrl=url).get("Tags", {}).get("seen", 0)
    except ClientError as exc:
        # Deleted by its owner in this instant, or none of our business.
        log.info("Control queue not looked at", url=url, reason=str(exc))
        return False
    return time.time() - max(float(made["CreatedTimestamp"]), float(seen)) > older
