"""The queues: made with dead letters, timers and encryption; S3 may send to the one that takes its notifications.

A queue that exists keeps what suffices: timers are only raised, and its own dead-letter queue stays.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from transcode.aws import faults
from transcode.aws.provisioning.shapes import OURS, RETENTION, QueueShape, send_statement
from transcode.aws.provisioning.steps import Finding, Step
from transcode.aws.sqs import attributes

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

_SSE = "SqsManagedSseEnabled"
_RETENTION = "MessageRetentionPeriod"


def read(sqs: "SQSClient", name: str) -> dict[str, str]:
    """A queue's attributes; empty when it is not there."""
    with faults.told("sqs:GetQueueUrl", f"queue {name}"):
        try:
            url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        except ClientError as exc:
            if not faults.is_missing(exc):
                raise
            return {}
    return attributes(sqs, url)


def address(sqs: "SQSClient", name: str) -> str:
    """The address of a queue that is there."""
    with faults.told("sqs:GetQueueUrl", f"queue {name}"):
        return sqs.get_queue_url(QueueName=name)["QueueUrl"]


def arn(sqs: "SQSClient", name: str) -> str:
    """The ARN of a queue that is there."""
    return attributes(sqs, address(sqs, name))["QueueArn"]


def dead_letters(sqs: "SQSClient", name: str) -> str:
    """The name of the dead-letter queue that a queue has; empty when there is none."""
    policy = read(sqs, name).get("RedrivePolicy", "")
    return str(json.loads(policy)["deadLetterTargetArn"]).rsplit(":", 1)[-1] if policy else ""


def find(sqs: "SQSClient", shape: QueueShape) -> Iterator[Finding]:
    """What is missing of a queue and of its dead-letter queue."""
    yield from _dead(sqs, dead_letters(sqs, shape.name) or shape.dead)
    found = read(sqs, shape.name)
    if not found:
        words = f"create; after {shape.receives} receives a message goes to {shape.dead}"
        yield Step(f"Queue {shape.name}: {words}", lambda _: _create(sqs, shape))
        return
    changes = {name: str(least) for name, least in shape.timers.items() if int(found.get(name, 0)) < least}
    changes |= _encrypted(found)
    redrive = not found.get("RedrivePolicy")
    if changes or redrive:
        words = ", ".join(sorted([*changes, *(["RedrivePolicy"] if redrive else [])]))
        yield Step(f"Queue {shape.name}: set {words}", lambda _: _change(sqs, shape, changes, redrive=redrive))


def _dead(sqs: "SQSClient", name: str) -> Iterator[Finding]:
    found, wanted = read(sqs, name), {_RETENTION: str(RETENTION), _SSE: "true"}
    if not found:
        yield Step(f"Queue {name}: create, for dead letters", lambda _: _make(sqs, name, wanted))
        return
    changes = {_RETENTION: str(RETENTION)} if int(found.get(_RETENTION, 0)) < RETENTION else {}
    changes |= _encrypted(found)
    if changes:
        yield Step(f"Queue {name}: set {', '.join(sorted(changes))}", lambda _: _set(sqs, name, changes))


def _encrypted(found: dict[str, str]) -> dict[str, str]:
    """What encrypts a queue, unless it is. Stores that know nothing of it say nothing of it."""
    return {_SSE: "true"} if found.get(_SSE) == "false" and not found.get("KmsMasterKeyId") else {}


def _redrive(sqs: "SQSClient", shape: QueueShape) -> dict[str, str]:
    target = arn(sqs, shape.dead)
    return {"RedrivePolicy": json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": str(shape.receives)})}


def _create(sqs: "SQSClient", shape: QueueShape) -> None:
    timers = {name: str(value) for name, value in shape.timers.items()}
    _make(sqs, shape.name, timers | {_SSE: "true"} | _redrive(sqs, shape))


def _change(sqs: "SQSClient", shape: QueueShape, changes: dict[str, str], *, redrive: bool) -> None:
    _set(sqs, shape.name, changes | (_redrive(sqs, shape) if redrive else {}))


def _make(sqs: "SQSClient", name: str, given: dict[str, str]) -> None:
    with faults.told("sqs:CreateQueue", f"queue {name}"):
        sqs.create_queue(QueueName=name, Attributes=given)  # type: ignore[arg-type]


def _set(sqs: "SQSClient", name: str, given: dict[str, str]) -> None:
    url = address(sqs, name)
    with faults.told("sqs:SetQueueAttributes", f"queue {name}"):
        sqs.set_queue_attributes(QueueUrl=url, Attributes=given)  # type: ignore[arg-type]


def let_s3_send(sqs: "SQSClient", name: str, buckets: tuple[str, ...]) -> Iterator[Finding]:
    """What is missing for S3 to send to a queue; statements of others stay."""
    found = read(sqs, name)
    if not found or _statement(found, buckets) not in _statements(found):
        yield Step(f"Queue {name}: let S3 send from {', '.join(buckets)}", lambda _: _let(sqs, name, buckets))


def _let(sqs: "SQSClient", name: str, buckets: tuple[str, ...]) -> None:
    found = read(sqs, name)
    kept = [one for one in _statements(found) if one.get("Sid") != OURS]
    policy = {"Version": "2012-10-17"} | json.loads(found.get("Policy") or "{}")
    policy["Statement"] = [*kept, _statement(found, buckets)]
    _set(sqs, name, {"Policy": json.dumps(policy)})


def _statements(found: dict[str, str]) -> list[dict[str, Any]]:
    there = json.loads(found.get("Policy") or "{}").get("Statement", [])
    return there if isinstance(there, list) else [there]


def _statement(found: dict[str, str], buckets: tuple[str, ...]) -> dict[str, object]:
    queue = found["QueueArn"]
    _, partition, _, _, account, _ = queue.split(":")
    return send_statement(queue, [f"arn:{partition}:s3:::{bucket}" for bucket in buckets], account)
