"""The least that each role must be allowed, as IAM policies: exactly the calls that the code makes.

A test records the calls of a whole farm and compares. A role that lacks `sns` and the queues of remote control works
all the same, without `celery inspect` and `control`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from transcode.aws.place import Place
from transcode.aws.provisioning.shapes import TOPIC, Names
from transcode.aws.tables import INDEXES
from transcode.settings import Settings

# The processes, and the people who type `celery inspect`, `control` and `purge`.
PROCESSES, PEOPLE = ("api", "bridge", "worker"), "operator"
ROLES = (*PROCESSES, PEOPLE)
# What S3 calls the reading of an object, HEAD included. A pinned version is another action.
_READ = ("s3:GetObject",)
_READ_PINNED = ("s3:GetObject", "s3:GetObjectVersion")
# Without it S3 answers 403 for an object that is not there, not 404. It also shows whether a bucket answers.
_SEE = ("s3:ListBucket",)
# Sending the parts of an output, completing them (also those of a killed worker), and throwing away those of a lost
# attempt. HEAD tells what stands there.
_WRITE = ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload")
_RECORDS = ("dynamodb:GetItem", "dynamodb:UpdateItem")
_NEW_RECORDS = ("dynamodb:PutItem", *_RECORDS)
_TAKE = ("sqs:ReceiveMessage", "sqs:DeleteMessage")
_HOLD = (*_TAKE, "sqs:ChangeMessageVisibility")
_COUNT = ("sqs:GetQueueAttributes",)
_SEND = ("sqs:SendMessage",)
# The address of a dead-letter queue is asked for by its name.
_FIND = ("sqs:GetQueueUrl",)
# Mailboxes of workers, made when they start and deleted when they end, or by others when they are dead; replies go to
# the callers' queues.
_MAILBOXES = (
    "sqs:CreateQueue", "sqs:DeleteQueue", "sqs:TagQueue", "sqs:ListQueueTags", "sqs:GetQueueAttributes",
    "sqs:SetQueueAttributes", "sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:SendMessage",
)  # fmt: skip
# kombu 5.7 asks for the topic with CreateTopic and its tags at every start, also when it is there.
_TOPIC = ("sns:CreateTopic", "sns:TagResource", "sns:ListSubscriptionsByTopic", "sns:Subscribe")
# A caller's reply queue, made for one command and deleted after it.
_REPLIES = ("sqs:CreateQueue", "sqs:DeleteQueue", "sqs:ReceiveMessage", "sqs:DeleteMessage")
_ASK = ("sns:CreateTopic", "sns:TagResource", "sns:Publish")
# To find the mailboxes of the dead, and to end subscriptions whose queue is gone. These actions know no resource, so
# they can be allowed for all only.
_REAP = ("sqs:ListQueues", "sns:Unsubscribe")


@dataclass(frozen=True)
class Estate:
    """What the policies are about. `dead` is the task queue's dead-letter queue, by name."""

    place: Place
    input_buckets: tuple[str, ...]
    output_bucket: str
    table: str
    names: Names
    dead: str
    control_prefix: str = ""

    @classmethod
    def of(cls, settings: Settings, dead: str = "", control_prefix: str = "") -> "Estate":
        """That of the settings; `dead` where the task queue has another dead-letter queue than ours."""
        names = Names.of(settings)
        return cls(
            Place.of(settings), settings.input_bucket, settings.output_bucket, settings.dynamodb_table, names,
            dead or f"{names.task}-dlq", control_prefix,
        )  # fmt: skip

    @property
    def tasks(self) -> list[str]:
        """The queues of tasks."""
        return [self.place.queue(name) for name in (self.names.task, self.names.urgent) if name]

    @property
    def inputs(self) -> list[str]:
        """The input buckets."""
        return [self.place.bucket(name) for name in self.input_buckets]

    @property
    def output(self) -> list[str]:
        """The output bucket."""
        return [self.place.bucket(self.output_bucket)]


def policies(estate: Estate) -> dict[str, dict[str, Any]]:
    """The policy of each role."""
    made = {"api": _api(estate), "bridge": _bridge(estate), "worker": _worker(estate), "operator": _operator(estate)}
    return {role: {"Version": "2012-10-17", "Statement": list(statements)} for role, statements in made.items()}


def _allow(sid: str, actions: tuple[str, ...], resources: list[str]) -> Iterator[dict[str, Any]]:
    if resources:
        yield {"Sid": sid, "Effect": "Allow", "Action": sorted(actions), "Resource": resources}


def _objects(buckets: list[str]) -> list[str]:
    return [f"{bucket}/*" for bucket in buckets]


def _api(estate: Estate) -> Iterator[dict[str, Any]]:
    yield from _allow("SendTasks", (*_SEND, *_COUNT), estate.tasks)
    yield from _allow("DeadLetters", (*_HOLD, *_COUNT, *_FIND), [estate.place.queue(estate.dead)])
    yield from _callbacks(estate, (*_SEND, *_COUNT))
    yield from _records(estate, (*_NEW_RECORDS, "dynamodb:BatchGetItem"))
    yield from _lists(estate)
    yield from _allow("SeeBuckets", _SEE, [*estate.inputs, *estate.output])
    # PutObject: uploads that people make in the admin are signed by the API.
    yield from _allow("Inputs", (*_READ, "s3:PutObject"), _objects(estate.inputs))
    yield from _allow("Outputs", _READ, _objects(estate.output))


def _bridge(estate: Estate) -> Iterator[dict[str, Any]]:
    yield from _allow("Events", _TAKE, [estate.place.queue(estate.names.event)] if estate.names.event else [])
    yield from _allow("SendTasks", (*_SEND, *_COUNT), estate.tasks)
    yield from _allow("DeadLetters", (*_HOLD, *_FIND), [estate.place.queue(estate.dead)])
    yield from _callbacks(estate, (*_HOLD, *_SEND))
    yield from _records(estate, (*_NEW_RECORDS, "dynamodb:BatchGetItem"))
    yield from _lists(estate)
    yield from _allow("SeeBuckets", _SEE, estate.output)
    yield from _allow("Outputs", _WRITE, _objects(estate.output))


def _worker(estate: Estate) -> Iterator[dict[str, Any]]:
    yield from _allow("Tasks", (*_HOLD, *_SEND, *_COUNT), estate.tasks)
    yield from _callbacks(estate, _SEND)
    # Without an event queue, uploads come in the task queue, and the worker makes their tasks.
    # Also with a queue of events: notifications of the time before may lie in the task queue still.
    yield from _records(estate, _NEW_RECORDS)
    yield from _allow("SeeBuckets", _SEE, [*estate.inputs, *estate.output])
    yield from _allow("Inputs", _READ_PINNED, _objects(estate.inputs))
    yield from _allow("Outputs", _WRITE, _objects(estate.output))
    if estate.control_prefix:
        topic = estate.place.topic(f"{estate.control_prefix}{TOPIC}")
        yield from _allow("Mailboxes", _MAILBOXES, [estate.place.queue(f"{estate.control_prefix}*-pidbox")])
        yield from _allow("Topic", _TOPIC, [topic])
        yield from _allow("Reaper", _REAP, ["*"])


def _operator(estate: Estate) -> Iterator[dict[str, Any]]:
    yield from _allow("Tasks", ("sqs:PurgeQueue", *_COUNT), estate.tasks)
    yield from _callbacks(estate, _SEND)
    yield from _records(estate, _RECORDS)
    if estate.control_prefix:
        yield from _allow("Replies", _REPLIES, [estate.place.queue(f"{estate.control_prefix}*-pidbox")])
        yield from _allow("Topic", _ASK, [estate.place.topic(f"{estate.control_prefix}{TOPIC}")])


def _callbacks(estate: Estate, actions: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    yield from _allow(
        "Callbacks", actions, [estate.place.queue(estate.names.callback)] if estate.names.callback else []
    )


def _records(estate: Estate, actions: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    yield from _allow("Records", actions, [estate.place.table(estate.table)])


def _lists(estate: Estate) -> Iterator[dict[str, Any]]:
    table = estate.place.table(estate.table)
    yield from _allow("Lists", ("dynamodb:Query",), [f"{table}/index/{name}" for name in INDEXES])
