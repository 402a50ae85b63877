"""The record of a task: what is kept of it, and its identity. How it moves is in `steps`.

What is large or changes often lives beside the record in side items (`ASIDE`), which are in no index.
"""

import uuid
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from transcode.clock import day, timestamp
from transcode.states import LEGACY_PENDING, OVER, Phase, Priority, Status, TypeState

MAX_ATTEMPTS = 3
# Characters of ffmpeg's last words kept per error; a DynamoDB item holds 400 KB in all.
OUTPUT_KEPT = 2000


class ASIDE:
    """Names of side items; the item's key is `<task id>#<name>`."""

    LIVE = "live"  # percent, fps, speed, ETA, the cancel wish: written every 2 s while encoding
    PLAN = "plan"  # what the winning attempt publishes: upload ids and part tags
    HISTORY = "history"  # the attempts: when, where, how each ended
    PURGE = "purge"  # of FARM, not of a task: up to when pending tasks are to be cancelled
    CALLBACK = "callback"  # how far the callback of the task's last end is: a `callback.Delivery`
    UNSENT = "callbacks-unsent"  # of FARM, and a number: ends whose message could not be sent; the reconciler sends it
    BRIDGE = "bridge"  # of FARM: when a bridge last put things right
    WORKERS = "workers"  # of FARM, and a number: what each worker node tells of itself, see `roll`


# Stands for a task's id in the keys of side items that belong to all tasks together.
FARM = "farm"


class Frozen(BaseModel):
    """A value as the record keeps it; attributes that we do not know are left alone in the table."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ErrorDetail(Frozen):
    """One thing that went wrong, in the shape that existing clients read."""

    transcode_type: str
    stage: str  # download, transcode or upload
    error: str
    command: str = ""
    output: str = ""
    timestamp: str
    code: str = ""


class Output(Frozen):
    """One published rendition. Sizes in bytes and pixels, times in seconds, rates in bits per second."""

    key: str
    bytes: int
    codec: str = ""
    width: int = 0
    height: int = 0
    duration: float = 0.0
    bitrate: int = 0
    audio_codec: str = ""
    lane: str = ""
    warning: str = ""


class InputVersion(Frozen):
    """Exactly which bytes are transcoded; a replaced object is another upload and another task."""

    version_id: str = ""
    etag: str = ""
    size: int = 0


class Task(Frozen):
    """The record. Names of attributes are the contract with existing tables and clients."""

    task_id: str
    date_partition: str
    input_bucket: str
    input_key: str
    output_bucket: str
    transcode_types: tuple[str, ...]
    status: Status = Status.PENDING
    created_at: str
    updated_at: str = ""
    started_at: str = ""
    completed_at: str = ""
    error_message: str = ""
    error_code: str = ""
    error_details: tuple[ErrorDetail, ...] = ()
    retry_count: int = 0
    max_retries: int = MAX_ATTEMPTS
    progress: dict[str, TypeState] = Field(default_factory=dict)
    output_files: dict[str, str] = Field(default_factory=dict)
    outputs: dict[str, Output] = Field(default_factory=dict)

    # Who may write: `epoch` grows by one with each claim and never falls (the fencing token), `owner`
    # is unique per claim, `ver` grows with every write.
    ver: int = 0
    epoch: int = 0
    owner: str = ""
    phase: Phase | None = None
    lease_until: float = 0.0
    attempts: int = 0
    generation: int = 0
    cancel_requested: bool = False
    # What cards have failed since the last attempt that counted, in tenths: see `errors.DeviceFault`.
    device_faults: int = 0
    # Delivery: when a message may run (Unix seconds), when the last one was sent, how many were.
    not_before: float = 0.0
    sent_at: str = ""
    send_count: int = 0
    # What is transcoded, and its place among all tasks that write the same output key.
    input_version: InputVersion = InputVersion()
    output_order: str = ""
    # Who published, what the source is, how long each phase took (seconds), where it ran.
    winner: str = ""
    source: dict[str, Any] = Field(default_factory=dict)
    phases: dict[str, float] = Field(default_factory=dict)
    worker: str = ""
    expires_at: int = 0
    # What the caller brought along: text before each output key, and words of theirs that are shown again.
    output_prefix: str = ""
    priority: Priority = Priority.NORMAL
    metadata: dict[str, str] = Field(default_factory=dict)
    # Who is told of the end: the name of a target in the settings.
    callback: str = ""
    # Of a request with an idempotency key: what was asked, so that another one with the same key is found out.
    request_hash: str = ""

    @field_validator("status", mode="before")
    @classmethod
    def read_legacy_status(cls, value: object) -> object:
        """The predecessor's `retrying` is pending."""
        return Status.PENDING if value == LEGACY_PENDING else value

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to the task by itself."""
        return self.status in OVER

    @property
    def missing_types(self) -> tuple[str, ...]:
        """The types that no earlier attempt has published."""
        return tuple(t for t in self.transcode_types if t not in self.outputs)


def new_id(now: float) -> str:
    """A fresh task id whose text order is its time order (the layout of UUID version 7)."""
    stamp = int(now * 1000) << 80
    random = uuid.uuid4().int & ((1 << 76) - 1)
    value = stamp | (0x7 << 76) | random
    return str(uuid.UUID(int=value & ~(0x3 << 62) | (0x2 << 62)))


# Name the identity of an upload and of a request; constants of this project, never to be changed.
_UPLOADS = uuid.UUID("5f0c8a3e-2b77-4d0e-9c55-7a1d1f3b6e21")
_REQUESTS = uuid.UUID("b3a1c9d4-6e52-4f8b-8d07-2c94e5a7f610")


def upload_id(bucket: str, key: str, version: str) -> str:
    """The task id of an upload: the same for every copy of its event, another for another version."""
    return str(uuid.uuid5(_UPLOADS, "\n".join((bucket, key, version))))


def request_id(*words: str) -> str:
    """The task id of a request: the same whenever it comes again, on any machine.

    The words are the caller's name, their idempotency key and, of a request for many, which one it is. None
    holds a line break.
    """
    return str(uuid.uuid5(_REQUESTS, "\n".join(words)))


def made(task_id: str, now: float, **fields: Any) -> Task:
    """A new pending task."""
    stamp = timestamp(now)
    types: tuple[str, ...] = tuple(fields["transcode_types"])
    return Task(
        task_id=task_id,
        created_at=stamp,
        updated_at=stamp,
        date_partition=day(stamp),
        progress=dict.fromkeys(types, TypeState.PENDING),
        **fields,
    )
