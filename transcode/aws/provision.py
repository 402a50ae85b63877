"""The AWS resources, made where they are missing: buckets, queues, notifications, table, topic. Safe to repeat.

First everything is looked at and what is missing becomes a plan; then the plan is carried out, step by step. What
exists is kept: a queue's timers are only raised to what the product needs, another's bucket notifications and queue
policies stay. What exists in a shape that cannot work is refused with a sentence, before anything is changed.

What is wanted is in `provisioning.shapes`, how each kind of thing is looked at in its neighbours and in `tables`.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from transcode.aws import clients, tables
from transcode.aws.place import Place
from transcode.aws.provisioning import buckets, notifications, queues, shapes, topic
from transcode.aws.provisioning.shapes import Names, Wishes
from transcode.aws.provisioning.steps import Finding, Plan, Tell
from transcode.settings import Settings

Sleep = Callable[[float], None]

_NONE = Wishes()


@dataclass
class Provisioned:
    """What there is now. `steps` tells what was done, a line each; empty when all was there."""

    task_queue_url: str = ""
    event_queue_url: str = ""
    steps: list[str] = field(default_factory=list)
    remarks: tuple[str, ...] = ()


def plan(
    settings: Settings, wishes: Wishes = _NONE, names: Names | None = None, sleep: Sleep = time.sleep
) -> Plan:  # fmt: skip
    """Look at everything, change nothing; the steps that make what is missing.

    Raises:
        SettingsError: something exists in a shape that cannot work.
        ServiceUnavailable: AWS refused or did not answer.
    """
    return Plan.of(_findings(settings, wishes, names or Names.of(settings), sleep))


def provision(
    settings: Settings, *, task_queue: str = "", event_queue: str = "", wishes: Wishes = _NONE,
    sleep: Sleep = time.sleep, tell: Tell = lambda _: None,
) -> Provisioned:  # fmt: skip
    """Make what is missing.

    Args:
        settings: names of buckets, table and, by their addresses, of queues.
        task_queue: the task queue's name, where the settings' address is not to decide.
        event_queue: likewise; without any, notifications go to the task queue.
        wishes: what the settings do not say.
        sleep: waits between tries.
        tell: gets each line as it is done, and how far long steps are.

    Raises:
        SettingsError: something exists in a shape that cannot work; nothing was changed.
        ServiceUnavailable: AWS refused or did not answer; what was done stays done.
    """
    names = Names.of(settings, task_queue, event_queue)
    wanted = plan(settings, wishes, names, sleep)
    for step in wanted.steps:
        step.apply(tell)
        tell(step.line)
    sqs = clients.sqs(settings)
    url = queues.address(sqs, names.task)
    events = queues.address(sqs, names.event) if names.event else url
    return Provisioned(url, events, [step.line for step in wanted.steps], wanted.remarks)


def _findings(settings: Settings, wishes: Wishes, names: Names, sleep: Sleep) -> Iterator[Finding]:
    """In the order in which one thing needs the other."""
    s3, sqs = clients.s3(settings), clients.sqs(settings)
    # First, as it is the one that may be refused.
    table = list(tables.find(settings, wishes, sleep))
    for bucket in dict.fromkeys((*settings.input_bucket, settings.output_bucket)):
        takes = bucket in settings.input_bucket
        yield from buckets.find(s3, bucket, settings.aws_region, takes_uploads=takes, origins=wishes.admin_origins)
    for shape in queue_shapes(names, queues.dead_letters(sqs, names.task)):
        yield from queues.find(sqs, shape)
    told = names.event or names.task
    yield from queues.let_s3_send(sqs, told, settings.input_bucket)
    for bucket in settings.input_bucket:
        yield from notifications.find(s3, sqs, bucket, told, sleep)
    yield from table
    if wishes.topic:
        yield from topic.find(clients.sns(settings), Place.of(settings).topic(wishes.topic))


def queue_shapes(names: Names, dead: str = "") -> Iterator[shapes.QueueShape]:
    """The queues that are wanted; `dead` is the task queue's dead-letter queue where it has one."""
    task = shapes.task_queue(names.task)
    task = replace(task, dead=dead or task.dead)
    yield task
    if names.urgent:
        # With the same dead-letter queue: what ends there is dealt with in the same way.
        yield replace(task, name=names.urgent)
    if names.event:
        yield shapes.event_queue(names.event)
    if names.callback:
        yield shapes.callback_queue(names.callback)
