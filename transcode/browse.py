"""Which videos lie under a prefix of an input bucket: what a request for all of them means."""

from transcode import events, outputs
from transcode.ports import ObjectStorage
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
