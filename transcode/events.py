"""S3 notification text -> uploads. What reads events is here; what becomes of an upload is in `submit`.

Understood: S3's own notifications, the same wrapped by SNS, and EventBridge's "Object Created". S3 may
repeat, reorder and bundle them, so an upload carries what makes it the same upload twice.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote_plus

from transcode.errors import BadEvent

# Bytes: far more than S3 keeps in one object, few enough for every number that the size goes into.
_LARGEST = 10**15
# Characters of a version id; S3 promises no more.
_LONGEST_WORD = 1024

VIDEO_SUFFIXES = frozenset([".mp4", ".mov", ".avi", ".mkv", ".wmv", ".flv", ".webm", ".m4v", ".mpeg", ".mpg"])


@dataclass(frozen=True)
class Upload:
    """One object that was created. `size` is in bytes, None where the event does not say."""

    bucket: str
    key: str
    size: int | None = None
    etag: str = ""
    version_id: str = ""
    sequencer: str = ""
    time: str = ""

    @property
    def version(self) -> str:
        """What tells this upload from another of the same key."""
        return self.version_id or self.sequencer or self.etag

    @property
    def order(self) -> str:
        """Its place among uploads of the same key, as text: later is greater.

        Sequencers compare as hexadecimal numbers of any length, so they are padded to one.
        """
        return f"{self.time}#{self.sequencer.ljust(32, '0')}" if self.time else ""


@dataclass(frozen=True)
class Skipped:
    """A record of an event that is none of our business, and why."""

    why: str
    key: str = ""


def is_video(key: str) -> bool:
    """Whether the key's extension is one that we transcode, in any letter case."""
    return not key.endswith("/") and PurePosixPath(key).suffix.lower() in VIDEO_SUFFIXES


def read(text: str) -> list[Upload | Skipped]:
    """The uploads that a message speaks of, in its order.

    Raises:
        BadEvent: the text is no storage notification at all.
    """
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise BadEvent("The message is not JSON; an S3, SNS or EventBridge notification is wanted.") from exc
    return list(read_body(body))


def read_body(body: object) -> Iterator[Upload | Skipped]:
    """As `read`, for a body that is parsed already."""
    if not isinstance(body, Mapping):
        raise BadEvent("The message is not a JSON object.")
    if isinstance(body.get("Message"), str) and "TopicArn" in body:
        yield from read(body["Message"])
    elif body.get("Event") == "s3:TestEvent":
        yield Skipped("s3:TestEvent")
    elif isinstance(body.get("Records"), list) and body["Records"]:
        for record in body["Records"]:
            yield _read_record(record)
    elif body.get("source") == "aws.s3" and isinstance(body.get("detail"), Mapping):
        yield _read_eventbridge(body)
    else:
        raise BadEvent("The message is neither an S3, an SNS nor an EventBridge notification.")


def _read_record(record: Any) -> Upload | Skipped:
    try:
        name = str(record["eventName"]).removeprefix("s3:")
        if not name.startswith("ObjectCreated:"):
            return Skipped(f"event {name}")
        found = record["s3"]["object"]
        key = unquote_plus(found["key"], errors="strict")
        bucket, time = record["s3"]["bucket"]["name"], record.get("eventTime", "")
        return _upload(bucket, key, found.get("size"), found.get("eTag"), found.get("versionId"), found, time)
    except (LookupError, TypeError, AttributeError) as exc:
        return Skipped(f"a record without {exc}")
    except (ValueError, OverflowError):
        return Skipped("a record with an unreadable key, version, size or time")


def _read_eventbridge(body: Mapping[str, Any]) -> Upload | Skipped:
    if body.get("detail-type") != "Object Created":
        return Skipped(f"event {body.get('detail-type')}")
    try:
        detail = body["detail"]
        found = detail["object"]
        # EventBridge does not url-encode keys.
        etag, version = found.get("etag"), found.get("version-id")
        return _upload(detail["bucket"]["name"], found["key"], found.get("size"), etag, version, found, body["time"])
    except (LookupError, TypeError, AttributeError) as exc:
        return Skipped(f"a record without {exc}")
    except (ValueError, OverflowError):
        return Skipped("a record with an unreadable key, version, size or time")


def _upload(
    bucket: str, key: str, size: Any, etag: Any, version: Any, found: Mapping[str, Any], time: str
) -> Upload | Skipped:
    reason = unusable(bucket, key)
    if reason:
        return Skipped(reason, key)
    return Upload(
        bucket=bucket,
        key=key,
        size=_bytes(size),
        etag=_word(etag).strip('"'),
        version_id="" if version == "null" else _word(version),
        sequencer=_word(found.get("sequencer")).upper(),
        time=_fixed_width(time),
    )


def _bytes(size: Any) -> int | None:
    if size is None:
        return None
    if not 0 <= int(size) <= _LARGEST:
        raise ValueError("no size that an object can have")
    return int(size)


def _word(value: Any) -> str:
    """What S3 calls a version by: it goes into ids and conditions, so it must be plain and short."""
    text = str(value or "")
    if len(text) > _LONGEST_WORD or not text.isascii() or not text.isprintable():
        raise ValueError("no name of a version")
    return text


def _fixed_width(time: str) -> str:
    return datetime.fromisoformat(time).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if time else ""


def unusable(bucket: object, key: object) -> str:
    """Why bucket or key can name no S3 object; empty when they can."""
    if not isinstance(bucket, str) or not bucket or not isinstance(key, str) or not key:
        return "an empty bucket or key"
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "a key that is not valid Unicode"
    if size > 1024:
        return f"a key of {size} bytes; S3 allows 1024"
    if any(ord(c) < 32 or ord(c) == 127 for c in key):
        return "a key with control characters"
    return ""
