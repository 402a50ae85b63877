"""The keys of a bucket, in order. Only here is a bucket listed; it needs s3:ListBucket."""

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from transcode.aws import faults
from transcode.errors import InputAccessDenied

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def read(client: "S3Client", bucket: str, prefix: str, limit: int, after: str) -> tuple[str, ...]:
    """As `ports.ObjectStorage.keys` says."""
    found: list[str] = []
    # S3 may answer less than it was asked for, and say that there is more; it never answers nothing then.
    for _ in range(limit):
        answer = _page(client, bucket, prefix, limit - len(found), found[-1] if found else after)
        found += [entry["Key"] for entry in answer.get("Contents", [])]
        if len(found) >= limit or not answer.get("IsTruncated"):
            break
    return tuple(found)


def _page(client: "S3Client", bucket: str, prefix: str, limit: int, after: str) -> dict[str, Any]:
    start: Any = {"StartAfter": after} if after else {}
    with faults.told("s3:ListBucket", f"bucket {bucket}"):
        try:
            return {**client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=limit, **start)}
        except ClientError as exc:
            if faults.code(exc) in ("AccessDenied", "403"):
                raise InputAccessDenied(f"The keys of {bucket} may not be listed; that needs s3:ListBucket.") from exc
            raise
