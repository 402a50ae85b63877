"""The shapes of requests and answers. Names are the contract with existing clients.

What comes in is strict: an unknown field is an error. What goes out is chosen here: the fields that fence
a task's writers (`owner`, `ver`, `epoch`, the lease) are nobody's business and are not shown.
"""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from transcode import callback
from transcode.clock import timestamp
from transcode.roll import State
from transcode.states import Phase, Priority, Status, TypeState

# Not pydantic's own date, which also takes numbers. The format tells that there is no 31st of February.
_DAY = Field(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$", json_schema_extra={"format": "date"})
# What one page of a list may hold; a record is a few KB.
LARGEST_PAGE = 100
UUID_PATTERN = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


def _real_day(day: str) -> str:
    try:
        date.fromisoformat(day)
    except ValueError:
        raise PydanticCustomError("date_invalid", "There is no such day.") from None
    return day


class In(BaseModel):
    """What comes in."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskPath(In):
    """A task's id in a path."""

    task_id: str = Field(pattern=UUID_PATTERN, description="The task's id, a UUID in small letters.")


class TaskQuery(In):
    """Which tasks a list wants; filters combine."""

    date: Annotated[str, _DAY, AfterValidator(_real_day)] | None = Field(
        None, description="UTC day on which the task was made, 2025-01-15.", examples=["2025-01-15"]
    )
    status: Status | None = Field(None, description="Where the task stands.")
    limit: int = Field(20, ge=1, le=LARGEST_PAGE, description="How many tasks at most.")
    cursor: str = Field(
        "",
        max_length=2048,
        pattern="^[A-Za-z0-9_=-]*$",
        description="`next_cursor` of the page before, for the same filters.",
    )


class HealthQuery(In):
    """How a health check asks."""

    ready: bool = Field(False, description="Answer 503 when a dependency does not answer.")


def _stamp(unix: object) -> object:
    return timestamp(unix) if isinstance(unix, int | float) and unix else unix or None


# The record writes an absent text as an empty one; people read null.
Text = Annotated[str | None, BeforeValidator(lambda value: value or None)]
# Unix seconds in the record, RFC 3339 outside.
Stamp = Annotated[str | None, BeforeValidator(_stamp)]


class Out(BaseModel):
    """What goes out."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class ErrorOut(Out):
    """One thing that went wrong with one type. `output` holds ffmpeg's last words."""

    transcode_type: str
    stage: str
    error: str
    code: Text
    command: str
    output: str
    timestamp: str


class OutputOut(Out):
    """One published rendition. Bytes, pixels, seconds, bits per second."""

    key: str
    bytes: int
    codec: Text
    width: int
    height: int
    duration: float
    bitrate: int
    audio_codec: Text
    warning: Text


class OutputLink(OutputOut):
    """A rendition, and an address that reads it for 15 minutes."""

    url: str


class InputOut(Out):
    """Which bytes are transcoded."""

    version_id: Text
    etag: Text
    size: int


class TaskOut(Out):
    """A task as its record has it. Times are RFC 3339 in UTC, null when they have not come."""

    task_id: str
    status: Status
    phase: Phase | None
    input_bucket: str
    input_key: str
    input_version: InputOut
    output_bucket: str
    transcode_types: tuple[str, ...]
    date_partition: str
    created_at: str
    updated_at: Text
    started_at: Text
    completed_at: Text
    not_before: Stamp = Field(description="When a pending task may run.")
    expires_at: Stamp = Field(description="When the record will be deleted; null: never.")
    error_message: Text
    error_code: Text
    error_details: tuple[ErrorOut, ...]
    attempts: int
    retry_count: int
    max_retries: int = Field(description="Attempts in all, the first included.")
    cancel_requested: bool
    progress: dict[str, TypeState] = Field(description="Per type.")
    output_files: dict[str, str] = Field(description="Key in the output bucket, per type.")
    outputs: Mapping[str, OutputOut] = Field(description="What was published, per type.")
    source: dict[str, Any] = Field(description="What the input turned out to be.")
    phases: dict[str, float] = Field(description="Seconds per phase of the work.")
    worker: Text = Field(description="Node that ran the last attempt.")
    output_prefix: Text = Field(description="What was put before each output key.")
    priority: Priority
    metadata: dict[str, str] = Field(description="Words that the caller brought along.")
    callback: Text = Field(description="The target that is told of the task's end.")


class LiveOut(Out):
    """How far a running attempt is: per cent, frames per second, times realtime, seconds to go."""

    phase: str | None = None
    percent: float | None = None
    fps: float | None = None
    speed: float | None = None
    eta: float | None = None
    done: tuple[str, ...] = Field((), description="Types that are made already, not yet published.")


class AttemptOut(Out):
    """One attempt that has ended."""

    attempt: int | None = None
    worker: Text = None
    started_at: Text = None
    ended_at: Text = None
    stage: Text = None
    code: Text = None
    error: Text = None
    phases: dict[str, float] = Field(default_factory=dict)


class DeliveryOut(Out):
    """How far the callback of the task's last end is."""

    state: callback.State
    attempts: int
    status: int = Field(description="Of the last answer; 0: none came.")
    error: Text
    at: Text = Field(description="When it was tried last.")
    next_at: Text = Field(description="When it is tried next.")


class TaskDetail(TaskOut):
    """Everything known of a task."""

    outputs: Mapping[str, OutputLink] = Field(description="What was published, per type, with addresses to read it.")
    live: LiveOut | None = Field(description="While it is processing.")
    callback_delivery: DeliveryOut | None = Field(description="Null until the first try.")
    history: tuple[AttemptOut, ...] = Field(description="Attempts that have ended, oldest first.")


class TaskList(Out):
    """A page of tasks, newest first."""

    tasks: tuple[TaskOut, ...]
    count: int = Field(description="Tasks on this page.")
    limit: int
    next_cursor: str | None = Field(description="Ask for the next page with it; null on the last one.")


class TaskChanged(Out):
    """The task as it is after what was asked."""

    success: bool = True
    message: str
    task_id: str
    task: TaskOut


class Purged(Out):
    """The queue is being emptied."""

    success: bool = True
    message: str


class QueueStatus(Out):
    """How many messages stand where; SQS counts approximately. The first three names are for existing clients."""

    available_messages: int = Field(description="The same as `waiting`.")
    in_flight_messages: int = Field(description="The same as `in_flight`.")
    queue_url: str
    waiting: int
    in_flight: int
    delayed: int
    dead_letter: int


class HealthOut(Out):
    """Alive, and whether what it depends on answers."""

    status: str = Field(description="`ok`: the API is alive.", examples=["ok"])
    timestamp: str
    ready: bool = Field(description="Whether every dependency answers.")
    dependencies: dict[str, str] = Field(
        description="Per dependency `ok`, or what is wrong. At most 5 seconds old.",
        examples=[{"queue": "ok", "table": "ok", "buckets": "ok"}],
    )


class TypeOut(Out):
    """One transcode type."""

    name: str
    description: str
    description_zh: str
    media: str = Field(description="`video` or `image`.")
    codec: str
    ext: str
    content_type: str
    box: tuple[int, int] | None = Field(description="Largest width and height; null: the source's.")
    max_bitrate: int | None = Field(description="Bits per second; null: not limited.")
    has_audio: bool
    is_default: bool = Field(description="Whether an upload gets it without being asked.")


class TypeList(Out):
    """The transcode types that may be asked for."""

    transcode_types: tuple[TypeOut, ...]
    count: int


class CardOut(Out):
    """The GPU that a node is pinned to."""

    name: str
    uuid: str
    driver: str
    memory: int = Field(description="Bytes.")


class LoadOut(Out):
    """How busy the GPU was. Null is what the card does not tell."""

    encoder: int | None = Field(description="Per cent.")
    decoder: int | None = Field(description="Per cent.")
    gpu: int | None = Field(description="Per cent.")
    memory_used: int = Field(description="Bytes.")
    memory_total: int = Field(description="Bytes.")
    temperature: int | None = Field(description="Degrees Celsius.")
    sessions: int | None = Field(description="Encodes at once, of all programs.")


class AsideOut(Out):
    """A GPU of the node's machine that is out of work until it passes a test."""

    uuid: str
    name: str
    node: str = Field(description="The node that worked on it.")
    since: str
    why: str


class WorkerOut(Out):
    """One worker node, as it last told of itself, at `seen_at`."""

    node: str = Field(description="Its name, as `celery inspect` shows it.", examples=["gpu0@worker-1"])
    state: State = Field(description="`silent`: it told nothing for 90 seconds.")
    host: str
    pid: int
    started_at: str
    seen_at: str
    version: Text
    concurrency: int = Field(description="Tasks at once.")
    kind: str = Field(description="What it can work on: `nvenc+nvdec`, `nvenc`, `nvdec` or `cpu`.")
    card: CardOut | None = Field(description="Null on the CPU.")
    ffmpeg: str
    sandbox: str = Field(description="Walls around ffmpeg: `bwrap`, `landlock` or `none`.")
    load: LoadOut | None
    tasks: tuple[str, ...] = Field(description="Ids of the tasks that run.")
    poll_age: float | None = Field(description="Seconds since the queue last answered it; null: not once yet.")
    aside: tuple[AsideOut, ...] = Field(description="GPUs of its machine that are put aside.")


class WorkerList(Out):
    """The worker nodes that were seen within a day, or ended within an hour."""

    workers: tuple[WorkerOut, ...]
    count: int
