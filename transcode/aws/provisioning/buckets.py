"""The buckets: made, encrypted, closed to the public, rid of unfinished uploads, open to the admin's page.

Rules of others stay. What somebody has decided for a bucket that exists (another key, a public bucket) stays too.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from transcode.aws import faults
from transcode.aws.provisioning.shapes import ABORT_AFTER, BLOCKED, OURS, SSE, cors_rule
from transcode.aws.provisioning.steps import Finding, Remark, Step, Tell

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_EVERYBODY = "http://acs.amazonaws.com/groups/"


def find(
    s3: "S3Client", bucket: str, region: str, *, takes_uploads: bool, origins: tuple[str, ...]
) -> Iterator[Finding]:
    """What is missing of a bucket; `origins` are pages that may upload to it."""
    if not _is_there(s3, bucket):
        yield _step(bucket, "create", "CreateBucket", lambda: _create(s3, bucket, region))
    yield from _encryption(s3, bucket)
    yield from _publicity(s3, bucket)
    yield from _unfinished(s3, bucket)
    if takes_uploads:
        yield from _pages(s3, bucket, origins)


def _step(bucket: str, words: str, action: str, change: Callable[[], object]) -> Step:
    def apply(_: Tell) -> None:
        with faults.told(f"s3:{action}", f"bucket {bucket}"):
            change()

    return Step(f"Bucket {bucket}: {words}", apply)


def _is_there(s3: "S3Client", bucket: str) -> bool:
    with faults.told("s3:HeadBucket", f"bucket {bucket}"):
        try:
            s3.head_bucket(Bucket=bucket)
        except ClientError as exc:
            if not faults.is_missing(exc):
                raise
            return False
        return True


def _create(s3: "S3Client", bucket: str, region: str) -> None:
    # us-east-1 is the one region that may not be named.
    where: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=bucket, **where)


def _asked(bucket: str, action: str, ask: Callable[..., Any], nothing: str) -> dict[str, Any]:
    """What a bucket is set to; empty when it is not, `nothing` being S3's word for that, or not there."""
    with faults.told(f"s3:{action}", f"bucket {bucket}"):
        try:
            return {**ask(Bucket=bucket)}
        except ClientError as exc:
            if faults.code(exc) not in (nothing, "NoSuchBucket"):
                raise
        return {}


def _encryption(s3: "S3Client", bucket: str) -> Iterator[Finding]:
    found = _asked(
        bucket, "GetEncryptionConfiguration", s3.get_bucket_encryption, "ServerSideEncryptionConfigurationNotFoundError"
    )
    rules = found.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
    used = {rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm", "") for rule in rules}
    if not used & {"AES256", "aws:kms", "aws:kms:dsse"}:
        wanted: Any = {"Rules": [{"ApplyServerSideEncryptionByDefault": SSE}]}
        yield _step(
            bucket, "encrypt new objects with S3's own keys", "PutEncryptionConfiguration",
            lambda: s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=wanted),
        )  # fmt: skip
    elif "AES256" not in used:
        yield Remark(
            f"Bucket {bucket} encrypts with a key of KMS: the roles that read it need kms:Decrypt of that key, those "
            "that write it kms:GenerateDataKey too (worker and bridge; for uploads from the admin, the API)."
        )


def _publicity(s3: "S3Client", bucket: str) -> Iterator[Finding]:
    found = _asked(
        bucket, "GetBucketPublicAccessBlock", s3.get_public_access_block, "NoSuchPublicAccessBlockConfiguration"
    ).get("PublicAccessBlockConfiguration", {})
    if all(found.get(name) for name in BLOCKED):
        return
    # Somebody's web site may live on it.
    if any(found.values()) or _is_public(s3, bucket):
        yield Remark(f"Bucket {bucket} is not wholly closed to the public, as somebody has decided; it is left so.")
        return
    wanted: Any = dict.fromkeys(BLOCKED, True)
    yield _step(
        bucket, "close it to the public", "PutBucketPublicAccessBlock",
        lambda: s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=wanted),
    )  # fmt: skip


def _is_public(s3: "S3Client", bucket: str) -> bool:
    status = _asked(bucket, "GetBucketPolicyStatus", s3.get_bucket_policy_status, "NoSuchBucketPolicy")
    grants = _asked(bucket, "GetBucketAcl", s3.get_bucket_acl, "").get("Grants", [])
    by_policy = status.get("PolicyStatus", {}).get("IsPublic", False)
    return by_policy or any(grant["Grantee"].get("URI", "").startswith(_EVERYBODY) for grant in grants)


def _unfinished(s3: "S3Client", bucket: str) -> Iterator[Finding]:
    """Have S3 abort uploads that were never completed."""
    found = _asked(
        bucket, "GetLifecycleConfiguration", s3.get_bucket_lifecycle_configuration, "NoSuchLifecycleConfiguration"
    )
    rules = found.get("Rules", [])
    if any(_cleans(rule) for rule in rules):
        return
    ours = {
        "ID": OURS, "Status": "Enabled", "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABORT_AFTER},
    }  # fmt: skip
    wanted: Any = {"Rules": [*(rule for rule in rules if rule.get("ID") != OURS), ours]}
    yield _step(
        bucket, f"abort uploads that nobody completed, after {ABORT_AFTER} days", "PutLifecycleConfiguration",
        lambda: s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=wanted),
    )  # fmt: skip


def _cleans(rule: dict[str, Any]) -> bool:
    """Whether a rule aborts unfinished uploads in the whole bucket."""
    everywhere = rule.get("Filter", {}) in ({}, {"Prefix": ""}) and not rule.get("Prefix")
    return rule["Status"] == "Enabled" and everywhere and "AbortIncompleteMultipartUpload" in rule


def _pages(s3: "S3Client", bucket: str, origins: tuple[str, ...]) -> Iterator[Finding]:
    """Let the admin's page upload from a browser."""
    rules = _asked(bucket, "GetBucketCORS", s3.get_bucket_cors, "NoSuchCORSConfiguration").get("CORSRules", [])
    if not origins:
        if not any("POST" in rule["AllowedMethods"] for rule in rules):
            yield Remark(
                f"Bucket {bucket} has no CORS rule: the admin's upload page needs one, and --admin-origin makes it."
            )
        return
    ours = cors_rule(origins)
    if ours in rules:
        return
    wanted: Any = {"CORSRules": [*(rule for rule in rules if rule.get("ID") != OURS), ours]}
    yield _step(
        bucket, f"let pages of {', '.join(origins)} upload to it", "PutBucketCORS",
        lambda: s3.put_bucket_cors(Bucket=bucket, CORSConfiguration=wanted),
    )  # fmt: skip
