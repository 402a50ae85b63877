"""The keys of a bucket, in order, or by folders. Only here is a bucket listed; it needs s3:ListBucket."""

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from transcode.aws import faults
from transcode.clock import timestamp
from transcode.errors import BadCursor, InputAccessDenied
from transcode.ports import Folder, Listed

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
    return _list(client, bucket, Prefix=prefix, MaxKeys=limit, **({"StartAfter": after} if after else {}))


def folder(client: "S3Client", bucket: str, prefix: str, limit: int, cursor: str) -> Folder:
    """As `ports.ObjectStorage.folder` says."""
    start = {"ContinuationToken": cursor} if cursor else {}
    answer = _list(client, bucket, Prefix=prefix, MaxKeys=limit, Delimiter="/", **start)
    folders = tuple(entry["Prefix"] for entry in answer.get("CommonPrefixes", []))
    # An empty object under the folder's own name is how consoles make a folder.
    entries = [entry for entry in answer.get("Contents", []) if entry["Key"] != prefix]
    objects = tuple(Listed(e["Key"], e["Size"], timestamp(e["LastModified"].timestamp())) for e in entries)
    return Folder(folders, objects, answer.get("NextContinuationToken", ""))


def _list(client: "S3Client", bucket: str, **wanted: Any) -> dict[str, Any]:
    with faults.told("s3:ListBucket", f"bucket {bucket}"):
        try:
            return {**client.list_objects_v2(Bucket=bucket, **wanted)}
        except ClientError as exc:
            if "ContinuationToken" in wanted and faults.code(exc) == "InvalidArgument":
                raise BadCursor("The listing cannot go on there; open the folder again.") from exc
            if faults.code(exc) in ("AccessDenied", "403"):
                raise InputAccessDenied(f"The keys of {bucket} may not be listed; that needs s3:ListBucket.") from exc
            raise
