"""`ports.ObjectStorage` in S3: pinned downloads, and uploads in parts that only `complete` makes visible.

A part's tag is its ETag and, where the store gives one, its CRC32, with a space between: S3 wants both to
complete an upload, and either proves afterwards that an object is made of exactly these parts.
"""

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from s3transfer.exceptions import S3DownloadFailedError

from transcode import logs
from transcode.aws import clients, faults, s3_keys, transfer
from transcode.clock import timestamp
from transcode.errors import (
    InputAccessDenied,
    InputArchived,
    InputChanged,
    InputNotFound,
    ServiceUnavailable,
    TranscodeError,
)
from transcode.ports import Folder, ObjectFacts, UploadForm
from transcode.settings import Settings
from transcode.task import InputVersion

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef

log = logs.get(__name__)

# The object's metadata that tells its place among all that are made for the same key.
_ORDER = "transcode-order"
# S3's words for a condition that does not hold, and for a write that came in between.
_OVERTAKEN = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
# How often a completion may be overtaken: by one writer per task of the same key, and those are few.
_RACES = 5
# Bytes that S3 takes in one form.
_LARGEST_FORM = 5 * 1024**3
# Storage classes whose objects must be restored, for hours, before they can be read.
_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})


class S3Storage:
    """The buckets. Made in the process that uses it: connections do not survive a fork."""

    def __init__(self, settings: Settings) -> None:
        self._client = clients.s3(settings)
        self._signer = _signer(settings)

    def head(self, bucket: str, key: str) -> ObjectFacts:
        """As the port says.

        Raises:
            InputArchived: it must be restored first.
        """
        return _facts(self._head(bucket, key))

    def _head(self, bucket: str, key: str, **which: Any) -> dict[str, Any]:
        with _reading(bucket, key):
            answer: dict[str, Any] = {**self._client.head_object(Bucket=bucket, Key=key, **which)}
        # A restored copy can be read: Restore is then `ongoing-request="false", ...`.
        archived = answer.get("StorageClass") in _ARCHIVES or "ArchiveStatus" in answer
        if archived and 'ongoing-request="false"' not in answer.get("Restore", ""):
            raise _archived(bucket, key)
        return answer

    def check_bucket(self, bucket: str) -> None:
        """Whether the bucket answers these credentials.

        Raises:
            ServiceUnavailable: it does not; the sentence says why.
        """
        with _told("HeadBucket", bucket):
            self._client.head_bucket(Bucket=bucket)

    def keys(self, bucket: str, prefix: str, limit: int, after: str = "") -> tuple[str, ...]:
        """As the port says."""
        return s3_keys.read(self._client, bucket, prefix, limit, after)

    def folder(self, bucket: str, prefix: str, limit: int, cursor: str = "") -> Folder:
        """As the port says; S3's own token is the cursor."""
        return s3_keys.folder(self._client, bucket, prefix, limit, cursor)

    def fetch(self, bucket: str, key: str, version: InputVersion, path: Path, on_bytes: Callable[[int], None]) -> None:
        """As the port says; `on_bytes` gets the bytes since it was last told, less when a part is sent anew."""
        which = {"VersionId": version.version_id} if version.version_id else {}
        found = self._head(bucket, key, **which)
        _check_version(bucket, key, version, _facts(found))
        with _reading(bucket, key):
            transfer.download(self._client, bucket, key, path, found, which, on_bytes)
        # A short file would pass for a short video.
        if path.stat().st_size != found["ContentLength"]:
            raise ServiceUnavailable(
                f"{bucket}/{key} arrived with {path.stat().st_size} of {found['ContentLength']} bytes."
            )

    def send_parts(
        self, bucket: str, key: str, path: Path, content_type: str, on_bytes: Callable[[int], None], order: str = ""
    ) -> tuple[str, list[str]]:
        """As the port says; nothing is left of an upload that raised. Tags are for `complete` alone."""
        with _told("CreateMultipartUpload", bucket):
            answer = self._client.create_multipart_upload(
                Bucket=bucket, Key=key, ContentType=content_type, ChecksumAlgorithm="CRC32", Metadata={_ORDER: order}
            )
        upload_id = answer["UploadId"]
        try:
            with _told("UploadPart", bucket):
                return upload_id, transfer.upload(self._client, bucket, key, upload_id, path, on_bytes)
        except BaseException:
            self._drop(bucket, key, upload_id)
            raise

    def _drop(self, bucket: str, key: str, upload_id: str) -> None:
        try:
            self.abort(bucket, key, upload_id)
        except TranscodeError as exc:
            log.warning("Upload left behind; the bucket's lifecycle rule removes it", key=key, error=str(exc))

    def order(self, bucket: str, key: str) -> str:
        """As the port says."""
        return _order(self._standing(bucket, key))

    def complete(self, bucket: str, key: str, upload_id: str, tags: Sequence[str], order: str = "") -> bool:
        """As the port says.

        Raises:
            ServiceUnavailable: no answer; or the upload is gone, and the object is not made of its parts.
        """
        for _ in range(_RACES):
            there = self._standing(bucket, key)
            if _is_ours(there, tags, order):
                return True
            if order and _order(there) > order:
                return False
            if self._complete(bucket, key, upload_id, tags, order, _unchanged(there) if order else {}):
                return True
        raise ServiceUnavailable(f"Others kept writing {bucket}/{key} while it was to be completed.")

    def _complete(
        self, bucket: str, key: str, upload_id: str, tags: Sequence[str], order: str, condition: dict[str, Any]
    ) -> bool:
        """One try; False when another object stands there than was seen."""
        parts = [_part(number, tag) for number, tag in enumerate(tags, start=1)]
        try:
            self._client.complete_multipart_upload(
                Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}, **condition
            )
        except (ClientError, BotoCoreError) as exc:
            if isinstance(exc, ClientError) and faults.code(exc) in _OVERTAKEN:
                return False
            # Somebody completed it before us, or our own first try did: then the object is there.
            if not _is_ours(self._standing(bucket, key), tags, order):
                raise _not_completed(exc, bucket, key) from exc
        return True

    def _standing(self, bucket: str, key: str) -> dict[str, Any]:
        """What stands under a key; empty when nothing does."""
        with _told("HeadObject", bucket):
            try:
                return {**self._client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")}
            except ClientError as exc:
                if not faults.is_missing(exc):
                    raise
        return {}

    def abort(self, bucket: str, key: str, upload_id: str) -> None:
        """As the port says."""
        with _told("AbortMultipartUpload", bucket):
            try:
                self._client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
            except ClientError as exc:
                if faults.code(exc) != "NoSuchUpload":
                    raise

    def address(self, bucket: str, key: str, seconds: int) -> str:
        """As the port says."""
        with _told("GetObject", bucket):
            return self._signer.generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds
            )

    def upload_form(self, bucket: str, key: str, content_type: str, largest: int, seconds: int) -> UploadForm:
        """As the port says."""
        sizes = ["content-length-range", 1, min(largest, _LARGEST_FORM)]
        with _told("PutObject", bucket):
            made = self._signer.generate_presigned_post(
                bucket, key, {"Content-Type": content_type}, [sizes, {"Content-Type": content_type}], seconds
            )
        return UploadForm(made["url"], made["fields"])


def _order(there: dict[str, Any]) -> str:
    return str(there.get("Metadata", {}).get(_ORDER, ""))


def _is_ours(there: dict[str, Any], tags: Sequence[str], order: str) -> bool:
    """Whether this completion is done. An older task's equal bytes are not it: a task in between would replace them."""
    return _made_of(there, tags) and order in ("", _order(there))


def _made_of(there: dict[str, Any], tags: Sequence[str]) -> bool:
    """Whether an object is what these parts make; the checksum tells it also where KMS changes ETags."""
    etag, checksum = _whole(tags)
    return there.get("ETag", "").strip('"') == etag or (checksum != "" and there.get("ChecksumCRC32") == checksum)


def _unchanged(there: dict[str, Any]) -> dict[str, Any]:
    """The condition that what was seen still stands there: S3 checks it in the moment of completing."""
    return {"IfMatch": there["ETag"]} if there else {"IfNoneMatch": "*"}


def _signer(settings: Settings) -> "S3Client":
    """A client that makes addresses. boto3's default would sign them with version 2 and name no region.

    Path style holds for every bucket name and region, where host names break TLS on names with dots.
    """
    client: S3Client = clients.session(settings).client(
        "s3",
        endpoint_url=settings.aws_endpoint_url or None,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    return client


def _told(action: str, bucket: str) -> AbstractContextManager[None]:
    return faults.told(f"s3:{action}", f"bucket {bucket}")


@contextmanager
def _reading(bucket: str, key: str) -> Iterator[None]:
    """Errors of reading an input: what people can mend has a type of its own."""
    with _told("GetObject", bucket):
        try:
            yield
        except ParamValidationError as exc:
            raise InputNotFound(f"{bucket}/{key} can name no object of S3.") from exc
        except S3DownloadFailedError as exc:
            # s3transfer's word for an ETag that no longer matches.
            raise _changed(bucket, key) from exc
        except ClientError as exc:
            raise _input_error(exc, bucket, key) or exc from exc


def _input_error(exc: ClientError, bucket: str, key: str) -> TranscodeError | None:
    word = faults.code(exc)
    if word == "InvalidObjectState":
        return _archived(bucket, key)
    # 405: the newest version is a delete marker. 400: no such version id.
    if faults.is_missing(exc) or word in ("400", "405", "MethodNotAllowed", "NoSuchVersion"):
        return InputNotFound(f"{bucket}/{key} does not exist.")
    if word in ("412", "PreconditionFailed"):
        return _changed(bucket, key)
    # Only these: a 403 for expired credentials says nothing about the object.
    if word in ("403", "AccessDenied"):
        return InputAccessDenied(f"These credentials may not read {bucket}/{key}; or it does not exist.")
    return None


def _archived(bucket: str, key: str) -> InputArchived:
    return InputArchived(f"{bucket}/{key} is archived; restore it to S3 first, then try again.")


def _changed(bucket: str, key: str) -> InputChanged:
    return InputChanged(f"{bucket}/{key} was replaced after the task was made.")


def _facts(answer: dict[str, Any]) -> ObjectFacts:
    version = answer.get("VersionId", "")
    return ObjectFacts(
        size=answer["ContentLength"],
        etag=answer.get("ETag", "").strip('"'),
        # Objects from before versioning was switched on have the version `null`.
        version_id="" if version == "null" else version,
        modified=timestamp(answer["LastModified"].timestamp()),
    )


def _check_version(bucket: str, key: str, wanted: InputVersion, found: ObjectFacts) -> None:
    if wanted.version_id:
        return
    etag = wanted.etag.strip('"')
    if (etag and etag != found.etag) or (wanted.size and wanted.size != found.size):
        raise _changed(bucket, key)


def _part(number: int, tag: str) -> "CompletedPartTypeDef":
    etag, _, checksum = tag.partition(" ")
    if not checksum:
        return {"PartNumber": number, "ETag": etag}
    return {"PartNumber": number, "ETag": etag, "ChecksumCRC32": checksum}


def _whole(tags: Sequence[str]) -> tuple[str, str]:
    """ETag and CRC32 of the object that parts make: those of the parts' own, joined, with their number."""
    etags, checksums = zip(*(tag.partition(" ")[::2] for tag in tags), strict=True)
    digests = b"".join(bytes.fromhex(etag.strip('"')) for etag in etags)
    etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(tags)}"
    if not all(checksums):
        return etag, ""
    sums = b"".join(base64.b64decode(c) for c in checksums)
    return etag, f"{base64.b64encode(zlib.crc32(sums).to_bytes(4, 'big')).decode()}-{len(tags)}"


def _not_completed(exc: ClientError | BotoCoreError, bucket: str, key: str) -> ServiceUnavailable:
    if isinstance(exc, ClientError) and faults.code(exc) == "NoSuchUpload":
        return ServiceUnavailable(f"The upload of {bucket}/{key} is gone and the object is not there.")
    action, thing = "s3:CompleteMultipartUpload", f"bucket {bucket}"
    if isinstance(exc, ClientError):
        return faults.of_answer(exc, action, thing, write=True)
    return faults.of_silence(exc, action, thing, write=True)
