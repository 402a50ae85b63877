"""The AWS resources, made where they are missing: buckets, queues, notifications, table. Safe to repeat.

What exists is kept: a queue's timers are only raised to what the product needs, another's bucket
notifications and queue policies stay. What exists in a shape that cannot work is refused with a sentence.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from transcode.aws import clients, faults
from transcode.aws.sqs import attributes
from transcode.aws.tables import make_table
from transcode.errors import SettingsError
from transcode.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

# A message that was received this often goes to the dead-letter queue: more than three attempts and the
# duplicates that SQS may hand out.
_MAX_RECEIVES = 10
# Seconds: 14 days, the most that SQS keeps a message; 90 for a lease of 60 and its margin; the longest poll.
_RETENTION, _VISIBILITY, _POLL = 14 * 86400, 90, 20
_TIMERS = {
    "MessageRetentionPeriod": _RETENTION, "VisibilityTimeout": _VISIBILITY, "ReceiveMessageWaitTimeSeconds": _POLL,
}  # fmt: skip
# Names our part of policies and notifications, which others may share.
_OURS = "gpu-transcode-farm"
# Days until S3 throws away an upload that nobody completed: those of killed attempts, and those whose id was
# lost with the answer. A week, as the bucket may also take the slow uploads of people.
_ABORT_AFTER = 7
# Seconds between tries, while a new queue policy makes its way through AWS.
_SETTLE, _SETTLE_TRIES = 5.0, 12


@dataclass
class Provisioned:
    """What there is now. `steps` tells what was done, a line each; empty when all was there."""

    task_queue_url: str = ""
    event_queue_url: str = ""
    steps: list[str] = field(default_factory=list)


def provision(
    settings: Settings, *, task_queue: str = "", event_queue: str = "", sleep: Callable[[float], None] = time.sleep
) -> Provisioned:
    """Make what is missing.

    Args:
        settings: names of buckets, table and, by their addresses, of queues.
        task_queue: the task queue's name, where the settings' address is not to decide.
        event_queue: likewise; without any, notifications go to the task queue.
        sleep: waits between tries.

    Raises:
        SettingsError: something exists in a shape that cannot work.
        ServiceUnavailable: AWS refused or did not answer; what was done stays done.
    """
    done = Provisioned()
    s3, sqs = clients.s3(settings), clients.sqs(settings)
    for bucket in dict.fromkeys((*settings.input_bucket, settings.output_bucket)):
        _make_bucket(s3, bucket, settings.aws_region, done)
    _clean_uploads(s3, settings.output_bucket, done)
    done.task_queue_url = _make_queue(sqs, task_queue or settings.queue_name, done)
    if settings.urgent_queue_url:
        # With the same dead-letter queue: what ends there is dealt with in the same way.
        _make_queue(sqs, settings.urgent_queue_name, done, dead=f"{task_queue or settings.queue_name}-dlq")
    events = event_queue or settings.event_queue_url.rsplit("/", 1)[-1]
    done.event_queue_url = _make_queue(sqs, events, done) if events else done.task_queue_url
    arn = _let_s3_send(sqs, done.event_queue_url, settings.input_bucket, done)
    for bucket in settings.input_bucket:
        _notify(s3, bucket, arn, done, sleep)
    done.steps += make_table(settings)
    return done


def _make_bucket(s3: "S3Client", bucket: str, region: str, done: Provisioned) -> None:
    with faults.told("s3:CreateBucket", f"bucket {bucket}"):
        try:
            s3.head_bucket(Bucket=bucket)
            return
        except ClientError as exc:
            if not faults.is_missing(exc):
                raise
        # us-east-1 is the one region that may not be named.
        where: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=bucket, **where)
    done.steps.append(f"Bucket {bucket} made.")


def _clean_uploads(s3: "S3Client", bucket: str, done: Provisioned) -> None:
    """Have S3 abort uploads that were never completed; other rules of the bucket stay."""
    with faults.told("s3:GetLifecycleConfiguration", f"bucket {bucket}"):
        try:
            rules: list[Any] = [*s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]]
        except ClientError as exc:
            if faults.code(exc) != "NoSuchLifecycleConfiguration":
                raise
            rules = []
    if any(_cleans(rule) for rule in rules):
        return
    ours = {
        "ID": _OURS, "Status": "Enabled", "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _ABORT_AFTER},
    }  # fmt: skip
    wanted = [*(rule for rule in rules if rule.get("ID") != _OURS), ours]
    with faults.told("s3:PutLifecycleConfiguration", f"bucket {bucket}"):
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": wanted})
    done.steps.append(f"Bucket {bucket}: uploads that nobody completed are aborted after {_ABORT_AFTER} days.")


def _cleans(rule: dict[str, Any]) -> bool:
    """Whether a rule aborts unfinished uploads in the whole bucket."""
    everywhere = rule.get("Filter", {}) in ({}, {"Prefix": ""}) and not rule.get("Prefix")
    return rule["Status"] == "Enabled" and everywhere and "AbortIncompleteMultipartUpload" in rule


def _make_queue(sqs: "SQSClient", name: str, done: Provisioned, dead: str = "") -> str:
    """The address of a queue that has a dead-letter queue and timers that suffice."""
    url = _queue(sqs, name, {n: str(v) for n, v in _TIMERS.items()}, done)
    found = attributes(sqs, url)
    changes = {n: str(v) for n, v in _TIMERS.items() if int(found.get(n, 0)) < v}
    if not found.get("RedrivePolicy"):
        letters = _queue(sqs, dead or f"{name}-dlq", {"MessageRetentionPeriod": str(_RETENTION)}, done)
        target = attributes(sqs, letters)["QueueArn"]
        changes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": str(_MAX_RECEIVES)})
    if changes:
        _set(sqs, url, changes)
        done.steps.append(f"Queue {name}: {', '.join(sorted(changes))} set.")
    return url


def _queue(sqs: "SQSClient", name: str, given: dict[str, str], done: Provisioned) -> str:
    with faults.told("sqs:CreateQueue", f"queue {name}"):
        try:
            return sqs.get_queue_url(QueueName=name)["QueueUrl"]
        except ClientError as exc:
            if not faults.is_missing(exc):
                raise
        url = sqs.create_queue(QueueName=name, Attributes=given)["QueueUrl"]  # type: ignore[arg-type]
    done.steps.append(f"Queue {name} made.")
    return url


def _set(sqs: "SQSClient", url: str, given: dict[str, str]) -> None:
    with faults.told("sqs:SetQueueAttributes", f"queue {url.rsplit('/', 1)[-1]}"):
        sqs.set_queue_attributes(QueueUrl=url, Attributes=given)  # type: ignore[arg-type]


def _let_s3_send(sqs: "SQSClient", url: str, buckets: tuple[str, ...], done: Provisioned) -> str:
    """Let S3 send to the queue, for our buckets in our account only; the queue's ARN."""
    found = attributes(sqs, url)
    arn = found["QueueArn"]
    policy = json.loads(found.get("Policy") or '{"Version": "2012-10-17", "Statement": []}')
    wanted = _statement(arn, buckets)
    statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
    if wanted not in statements:
        policy["Statement"] = [s for s in statements if s.get("Sid") != _OURS] + [wanted]
        _set(sqs, url, {"Policy": json.dumps(policy)})
        done.steps.append(f"Queue {url.rsplit('/', 1)[-1]}: S3 may send to it.")
    return arn


def _statement(arn: str, buckets: tuple[str, ...]) -> dict[str, Any]:
    return {
        "Sid": _OURS,
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {
            "ArnEquals": {"aws:SourceArn": [f"arn:{arn.split(':')[1]}:s3:::{bucket}" for bucket in buckets]},
            "StringEquals": {"aws:SourceAccount": arn.split(":")[4]},
        },
    }


def _notify(s3: "S3Client", bucket: str, arn: str, done: Provisioned, sleep: Callable[[float], None]) -> None:
    """Have the bucket tell the queue of every new object; other notifications of the bucket stay."""
    with faults.told("s3:GetBucketNotification", f"bucket {bucket}"):
        found: dict[str, Any] = {**s3.get_bucket_notification_configuration(Bucket=bucket)}
    found.pop("ResponseMetadata", None)
    rules = found.get("QueueConfigurations", [])
    if any(r["QueueArn"] == arn and "s3:ObjectCreated:*" in r["Events"] for r in rules):
        return
    ours = {"Id": _OURS, "QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
    found["QueueConfigurations"] = [r for r in rules if r.get("Id") != _OURS] + [ours]
    _put_notification(s3, bucket, found, sleep)
    done.steps.append(f"Bucket {bucket}: new objects are told to {arn.rsplit(':', 1)[-1]}.")


def _put_notification(s3: "S3Client", bucket: str, rules: Any, sleep: Callable[[float], None]) -> None:
    with faults.told("s3:PutBucketNotification", f"bucket {bucket}"):
        for _ in range(_SETTLE_TRIES):
            try:
                s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=rules)
                return
            except ClientError as exc:
                _check_notification(exc, bucket)
            sleep(_SETTLE)
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=rules)


def _check_notification(exc: ClientError, bucket: str) -> None:
    """Pass what time mends: S3 looks whether it may send, and a policy of a moment ago may not be seen yet."""
    words = str(exc.response["Error"].get("Message", ""))
    if "overlap" in words:
        raise SettingsError(
            f"INPUT_BUCKET={bucket} tells another queue, topic or function of its new objects already, and S3 tells "
            "one only; remove that rule, or have it forward to our event queue."
        ) from exc
    if "nable to validate" not in words:
        raise exc
