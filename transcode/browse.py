"""What lies in an input bucket: all videos under a prefix, as a request for them means it, or folder by folder."""

from dataclasses import dataclass

from transcode import events, outputs, submit
from transcode.errors import KeyUnusable
from transcode.ports import Listed, ObjectStorage
from transcode.settings import Settings

# Keys per listing, S3's maximum, and listings per call: of a bucket full of other things no more is looked at.
_LISTED, _LISTINGS = 1000, 10


def videos(
    storage: ObjectStorage, settings: Settings, bucket: str, prefix: str, after: str, limit: int
) -> tuple[tuple[str, ...], str]:
    """The videos under a prefix, by their extension, and the key to go on after: empty when that was all.

    At most ten listings of 1,000 keys are read. Our own outputs are left out.

    Raises:
        InputAccessDenied, ServiceUnavailable: as they say.
    """
    found: list[str] = []
    for _ in range(_LISTINGS):
        listed = storage.keys(bucket, prefix, _LISTED, after)
        for key in listed:
            if len(found) == limit:
                return tuple(found), after
            after = key
            if events.is_video(key) and not outputs.is_own(settings, bucket, key):
                found.append(key)
        if len(listed) < _LISTED:
            return tuple(found), ""
    return tuple(found), after


@dataclass(frozen=True)
class Shelf:
    """A page of one folder: folders below it, videos in it, and how many objects are neither."""

    bucket: str
    prefix: str
    folders: tuple[str, ...]
    videos: tuple[Listed, ...]
    others: int
    next_cursor: str


def shelf(
    storage: ObjectStorage, settings: Settings, bucket: str, prefix: str, cursor: str = "", limit: int = 100
) -> Shelf:
    """What lies directly under a prefix, in one listing of `limit` entries. Our own outputs are left out.

    Raises:
        BucketNotAllowed, KeyUnusable, InputAccessDenied, BadCursor, ServiceUnavailable: as they say.
    """
    submit.check_bucket(settings, bucket)
    reason = events.unusable(bucket, prefix) if prefix else ""
    if reason:
        raise KeyUnusable(f"The beginning of keys is {reason}.")
    found = storage.folder(bucket, prefix, limit, cursor)
    folders = tuple(name for name in found.folders if not outputs.is_own(settings, bucket, name))
    usable = tuple(one for one in found.objects if _can_be_added(settings, bucket, one.key))
    return Shelf(bucket, prefix, folders, usable, len(found.objects) - len(usable), found.next_cursor)


def _can_be_added(settings: Settings, bucket: str, key: str) -> bool:
    known = events.is_video(key) and not events.unusable(bucket, key)
    return known and not outputs.is_own(settings, bucket, key)
