"""The input buckets tell a queue of every new object; other notifications of a bucket stay."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from transcode.aws import faults
from transcode.aws.provisioning import queues
from transcode.aws.provisioning.shapes import CREATED, OURS
from transcode.aws.provisioning.steps import Finding, Step
from transcode.errors import SettingsError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

Sleep = Callable[[float], None]

# Seconds between tries, while a new queue policy makes its way through AWS.
_SETTLE, _SETTLE_TRIES = 5.0, 12


def find(s3: "S3Client", sqs: "SQSClient", bucket: str, queue: str, sleep: Sleep) -> Iterator[Finding]:
    """What is missing for a bucket to tell the queue of that name."""
    told = queues.read(sqs, queue).get("QueueArn", "")
    rules = _read(s3, bucket).get("QueueConfigurations", [])
    if not told or not any(r["QueueArn"] == told and CREATED in r["Events"] for r in rules):
        line = f"Bucket {bucket}: tell queue {queue} of new objects"
        yield Step(line, lambda _: _tell(s3, bucket, queues.arn(sqs, queue), sleep))


def _read(s3: "S3Client", bucket: str) -> dict[str, Any]:
    with faults.told("s3:GetBucketNotification", f"bucket {bucket}"):
        try:
            found: dict[str, Any] = {**s3.get_bucket_notification_configuration(Bucket=bucket)}
        except ClientError as exc:
            if not faults.is_missing(exc):
                raise
            return {}
    found.pop("ResponseMetadata", None)
    return found


def _tell(s3: "S3Client", bucket: str, queue_arn: str, sleep: Sleep) -> None:
    found = _read(s3, bucket)
    ours = {"Id": OURS, "QueueArn": queue_arn, "Events": [CREATED]}
    found["QueueConfigurations"] = [r for r in found.get("QueueConfigurations", []) if r.get("Id") != OURS] + [ours]
    _put(s3, bucket, found, sleep)


def _put(s3: "S3Client", bucket: str, rules: Any, sleep: Sleep) -> None:
    with faults.told("s3:PutBucketNotification", f"bucket {bucket}"):
        for _ in range(_SETTLE_TRIES):
            try:
                s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=rules)
                return
            except ClientError as exc:
                _check(exc, bucket)
            sleep(_SETTLE)
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=rules)


def _check(exc: ClientError, bucket: str) -> None:
    """Pass what time mends: S3 looks whether it may send, and a policy of a moment ago may not be seen yet."""
    words = str(exc.response["Error"].get("Message", ""))
    if "overlap" in words:
        raise SettingsError(
            f"INPUT_BUCKET={bucket} tells another queue, topic or function of its new objects already, and S3 tells "
            "one only; remove that rule, or have it forward to our event queue."
        ) from exc
    if "nable to validate" not in words:
        raise exc
