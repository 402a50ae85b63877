"""What a process works with, built once per process from the settings."""

import time
from functools import cache

from transcode import presets, settings, submit
from transcode.attempt import Tools
from transcode.aws.callback_queue import CallbackQueue
from transcode.aws.dynamodb import DynamoTasks
from transcode.aws.s3 import S3Storage
from transcode.errors import SettingsError, TranscodeError
from transcode.ffmpeg.encoder import FfmpegEncoder
from transcode.settings import Settings
from transcode.submit import Desk
from workers import stopping
from workers.publisher import Publisher


@cache
def read_settings() -> Settings:
    """The settings of this process."""
    return settings.load()


@cache
def desk() -> Desk:
    """What the bridge, the reconciler and the workers submit with.

    Raises:
        SettingsError: DEFAULT_TRANSCODE_TYPES or PRESETS_FILE cannot be used.
    """
    found = read_settings()
    try:
        known = presets.load(found.presets_file)
        known.pick(found.default_transcode_types)
    except TranscodeError as exc:
        raise SettingsError(f"DEFAULT_TRANSCODE_TYPES or PRESETS_FILE is wrong: {exc}") from exc
    return Desk(DynamoTasks(found), S3Storage(found), Publisher(found), CallbackQueue(found), known, found, time.time)


@cache
def tools(node: str) -> Tools:
    """What a pool process of `node` runs tasks with."""
    found = desk()
    folder = found.settings.temp_dir / node
    return Tools(found, FfmpegEncoder.from_settings(found.settings), node, folder, stopping.wanted)


def purge() -> None:
    """Cancel the tasks that wait, before `celery purge` empties the queue."""
    submit.purge(desk(), emptied=bool(read_settings().event_queue_url))
