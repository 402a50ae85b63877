"""Where a task's outputs go, and which keys are outputs: the template of the settings, and the task's own prefix."""

from collections.abc import Sequence

from transcode import keys
from transcode.errors import PrefixUnusable
from transcode.presets import Preset
from transcode.settings import Settings
from transcode.task import Task

# Bytes of an S3 key.
_LONGEST = 1024


def key(settings: Settings, task: Task, type: str, ext: str) -> str:
    """The key of one type's output, in the task's output bucket."""
    return task.output_prefix + settings.key_template.key(
        input_bucket=task.input_bucket, input_key=task.input_key, type=type, ext=ext, task_id=task.task_id,
        date=task.date_partition,
    )  # fmt: skip


def is_own(settings: Settings, bucket: str, key: str) -> bool:
    """Whether the key lies where outputs go, in a bucket that is input and output in one."""
    return bucket == settings.output_bucket and key.startswith(settings.key_template.prefix)


def check_prefix(settings: Settings, task: Task, presets: Sequence[Preset]) -> None:
    """Refuse a task whose prefix would lead its outputs astray, before any work is done for it.

    Raises:
        PrefixUnusable: it says what is wrong.
    """
    prefix = task.output_prefix
    reason = keys.unusable_prefix(prefix)
    if reason:
        raise PrefixUnusable(f"The output prefix {reason}.")
    shared = settings.output_bucket in settings.input_bucket
    if prefix and shared and not is_own(settings, settings.output_bucket, prefix):
        # Elsewhere the renditions would be uploads, and be transcoded in turn without end.
        own = settings.key_template.prefix
        raise PrefixUnusable(f"Input and output share a bucket, so the output prefix must begin with {own!r}.")
    longest = max(len(key(settings, task, preset.name, preset.ext).encode()) for preset in presets)
    if prefix and longest > _LONGEST:
        raise PrefixUnusable(f"The output prefix makes a key of {longest} bytes; S3 allows {_LONGEST}.")
