"""The tree of errors. The type says whether trying again can help; the code is kept in the record.

    TranscodeError
    ├── Permanent        trying again cannot help: the task fails at once
    ├── Transient        trying again may help: the task goes back to pending, with a growing delay
    │   └── DeviceFault  the card's fault, not the file's: another card, no attempt used up
    ├── Stopped          an attempt that ended without an end of its own (cancel, lost lease, shutdown)
    ├── Busy             not now: another worker holds the task, or its delay has not passed
    ├── NotFound         no such task
    └── Conflict         the record does not allow this step, or somebody moved it first
    SettingsError        a bad setting: a sentence on stderr, exit code 2, no traceback

A message is one sentence for the person who has to act: what was wrong, which value, what would be
right. It is kept in the record and shown by the API, so it never holds an address, a key or a path of
the worker's disk.
"""


class TranscodeError(Exception):
    """Base of all. `code` is a stable word that clients and dashboards may rely on.

    Args:
        sentence: what was wrong, for people.
        command: the ffmpeg command that failed, as text, where there was one.
        output: its last words.
    """

    code = "error"

    def __init__(self, sentence: str, *, command: str = "", output: str = "") -> None:
        super().__init__(sentence)
        self.command = command
        self.output = output


class Permanent(TranscodeError):
    """Trying again cannot help."""

    code = "permanent"


class BadEvent(Permanent):
    """A message on the event queue that is no storage notification."""

    code = "bad_event"


class BadPreset(Permanent):
    """A preset file that cannot be used; the message names file, entry and reason."""

    code = "bad_preset"


class UnknownType(Permanent):
    """A transcode type that no preset has."""

    code = "unknown_type"


class UnknownCallback(Permanent):
    """A target of callbacks that CALLBACK_TARGETS does not name."""

    code = "unknown_callback"


class BucketNotAllowed(Permanent):
    """A bucket that is not one of INPUT_BUCKET."""

    code = "bucket_not_allowed"


class KeyUnusable(Permanent):
    """A key that can name no S3 object, or one of our own outputs."""

    code = "key_unusable"


class PrefixUnusable(Permanent):
    """An output prefix that outputs may not go under, or that makes a key too long."""

    code = "output_prefix_unusable"


class IdempotencyKeyReused(Permanent):
    """An idempotency key that came before, with another request."""

    code = "idempotency_key_reused"


class InputNotFound(Permanent):
    """The object to transcode is not there (any more)."""

    code = "input_not_found"


class InputChanged(Permanent):
    """The object was replaced after the task was made; the new upload has a task of its own."""

    code = "input_changed"


class InputEmpty(Permanent):
    """The object has no bytes."""

    code = "input_empty"


class InputTooLarge(Permanent):
    """More bytes, seconds or streams than the limits allow."""

    code = "input_too_large"


class InputAccessDenied(Permanent):
    """The worker's credentials may not read the object."""

    code = "input_access_denied"


class InputArchived(Permanent):
    """The object lies in an archive and must be restored first."""

    code = "input_archived"


class InputNotMedia(Permanent):
    """The bytes are no media file of an accepted format."""

    code = "input_not_media"


class CodecNotAllowed(Permanent):
    """A stream in a codec outside the allow-list."""

    code = "codec_not_allowed"


class NoVideoStream(Permanent):
    """Only audio, subtitles, data or a cover picture."""

    code = "no_video_stream"


class PictureUnusable(Permanent):
    """Zero, absurd or over-limit picture size or frame rate."""

    code = "picture_unusable"


class InputCorrupt(Permanent):
    """The file opens but cannot be decoded."""

    code = "input_corrupt"


class InputTruncated(Permanent):
    """The file ends before its header says: a broken upload, not a short video."""

    code = "input_truncated"


class BuildLacks(Permanent):
    """The ffmpeg build at hand lacks a filter, encoder or decoder that this file needs."""

    code = "ffmpeg_build_lacks"


class Superseded(Permanent):
    """A newer task owns the output key; the older one has nothing left to publish."""

    code = "superseded"


class Transient(TranscodeError):
    """Trying again may help."""

    code = "transient"


class ServiceUnavailable(Transient):
    """S3, SQS or DynamoDB did not answer, throttled, or answered with a server error."""

    code = "service_unavailable"


class DiskFull(Transient):
    """Not enough scratch space on this worker for the input and its renditions."""

    code = "disk_full"


class EncoderFailed(Transient):
    """ffmpeg ended with an error that names no known cause."""

    code = "ffmpeg_failed"


class EncoderCrashed(Transient):
    """ffmpeg was killed by a signal that was not ours."""

    code = "ffmpeg_crashed"


class EncoderStalled(Transient):
    """ffmpeg ran but its output did not grow any more."""

    code = "ffmpeg_stalled"


class EncoderTimeout(Transient):
    """The run took longer than its wall-clock limit."""

    code = "ffmpeg_timeout"


class OutputInvalid(Transient):
    """ffmpeg said it was done, but the file is not what the preset promises."""

    code = "output_invalid"


class WorkerLost(Transient):
    """The attempt's lease ran out: its worker died, froze or lost the network."""

    code = "worker_lost"


class Bug(Transient):
    """An error that this program did not foresee; its trace is in the worker's log."""

    code = "bug"


class LaneUnfit(Transient):
    """This lane cannot take the file, as it turned out; the next one is tried in the same attempt."""

    code = "lane_unfit"


class DeviceFault(Transient):
    """The GPU failed, not the file. `weight` is what it adds towards an attempt that counts."""

    code = "device_fault"
    weight = 10


class DeviceBusy(DeviceFault):
    """No encode session or no memory of the GPU is free; nothing is wrong with it."""

    code = "device_busy"
    weight = 1


class Stopped(TranscodeError):
    """An attempt that ended before its end, for a reason outside it."""

    code = "stopped"


class Cancelled(Stopped):
    """Somebody cancelled the task."""

    code = "cancelled"


class Purged(Cancelled):
    """The queue was purged while the task waited in it."""

    code = "purged"


class LeaseLost(Stopped):
    """Another worker owns the task now; this attempt may write nothing more."""

    code = "lease_lost"


class ShuttingDown(Stopped):
    """This worker stops; the task goes back, the attempt is not counted."""

    code = "shutting_down"


class Busy(TranscodeError):
    """The message came too early.

    Args:
        sentence: why.
        seconds: when to look again.
    """

    code = "busy"

    def __init__(self, sentence: str, seconds: float) -> None:
        super().__init__(sentence)
        self.seconds = seconds


class NotFound(TranscodeError):
    """No task has this id."""

    code = "task_not_found"


class Conflict(TranscodeError):
    """The record's status does not allow the step."""

    code = "conflict"


class BadCursor(TranscodeError):
    """A page cursor that this service did not make, or made for other filters."""

    code = "bad_cursor"


class VersionMoved(Conflict):
    """Somebody else wrote the record between our read and our write: read again, decide again."""

    code = "version_moved"


class Unknown(ServiceUnavailable):
    """A write timed out: it may have been applied. Neither success nor failure: read again."""

    code = "outcome_unknown"


class SettingsError(Exception):
    """One or more bad settings, a line each: name, what was given, what is wanted."""
