"""What `POST /api/queue/add` takes and answers: one object, a list of them, or all videos under a prefix."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, RootModel, Tag
from pydantic_core import PydanticCustomError

from transcode.events import unusable
from transcode.keys import unusable_prefix
from transcode.states import Priority
from webapp.api.schemas import In, Out, TaskChanged, Text

# How many tasks one request may make: a list comes in the body, and a body has 64 KB.
MOST_ITEMS = 100
MOST_KEYS = 1000
# Bytes of all names and values together: a record is read whenever a list is shown.
LARGEST_METADATA = 1024
# Names of the three forms, as they stand in the places of pydantic's errors; `webapp.errors` takes them out.
ONE, ITEMS, PREFIX = "<one>", "<items>", "<prefix>"


def _usable_key(key: str) -> str:
    # Any bucket will do: whether it is allowed is decided where the task is made.
    reason = unusable("bucket", key)
    if reason:
        raise PydanticCustomError("key_invalid", "An S3 key is wanted, not {reason}.", {"reason": reason})
    return key


def _usable_start(text: str) -> str:
    return _usable_key(text) if text else text


def _usable_prefix(prefix: str) -> str:
    reason = unusable_prefix(prefix)
    if reason:
        raise PydanticCustomError("prefix_invalid", "The prefix {reason}.", {"reason": reason})
    return prefix


def _short(metadata: dict[str, str]) -> dict[str, str]:
    size = sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items())
    if size > LARGEST_METADATA:
        told = {"size": size, "limit": LARGEST_METADATA}
        raise PydanticCustomError("metadata_too_large", "The metadata has {size} bytes; {limit} are taken.", told)
    return metadata


Bucket = Annotated[
    str, Field(min_length=1, max_length=63, description="One of the input buckets.", examples=["videos"])
]
_Start = Annotated[str, Field(max_length=1024), AfterValidator(_usable_start)]


class AddHeaders(BaseModel):
    """What may come in the request's header. All other headers are somebody else's business."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    # No default in the schema: an empty header is not the same as none.
    idempotency_key: str = Field(
        default_factory=str, min_length=1, max_length=255, pattern="^[ -~]+$",
        description="Any words of yours, new for each request. The same request with the same key again, after a "
        "lost answer for one, makes no second task: it answers the first one, as long as its record is kept.",
    )  # fmt: skip


class _Wishes(In):
    transcode_types: tuple[str, ...] = Field(
        default_factory=tuple, min_length=1, max_length=100, examples=[["mp4_standard", "thumbnail"]],
        description="Names of /api/transcode-types, each made once; left out: DEFAULT_TRANSCODE_TYPES.",
    )  # fmt: skip
    output_prefix: Annotated[str, Field(max_length=512), AfterValidator(_usable_prefix)] = Field(
        "", examples=["team-a/"],
        description="Put before each output key, as it is: a folder's ends with a slash. No leading slash, no `..`.",
    )  # fmt: skip
    priority: Priority = Field(
        Priority.NORMAL, description="`urgent` overtakes the others, where an urgent queue is set up."
    )
    metadata: Annotated[dict[Annotated[str, Field(min_length=1)], str], AfterValidator(_short)] = Field(
        default_factory=dict, max_length=16, examples=[{"order": "4711"}],
        description="Words of yours, 1 KB in all, which the task shows again.",
    )  # fmt: skip
    callback: str = Field(
        "", max_length=64, examples=["orders"],
        description="Who is told of the task's end, by a signed POST: a name that the operator has given an address.",
    )  # fmt: skip


class AddOne(_Wishes):
    """What to transcode, and into what."""

    input_bucket: Bucket
    input_key: Annotated[str, Field(min_length=1), AfterValidator(_usable_key)] = Field(
        description="Key of the video in the bucket, as it is: not URL-encoded. Its suffix does not matter here.",
        examples=["holiday/beach.mp4"],
    )


class AddItems(In):
    """Several objects at once, each with wishes of its own."""

    items: tuple[AddOne, ...] = Field(min_length=1, max_length=MOST_ITEMS)


class AddPrefix(_Wishes):
    """All videos under a prefix, 1,000 at most; they are told by their suffix, as uploads are."""

    input_bucket: Bucket
    input_prefix: _Start = Field(description="What their keys begin with; empty: the whole bucket.", examples=["2025/"])
    after: _Start = Field("", description="`next_after` of the answer before, to go on where it ended.")


def _form(body: Any) -> str:
    # A body that was read is an object; only our own code makes one of a model.
    names = body if isinstance(body, Mapping) else type(body).model_fields
    return ITEMS if "items" in names else PREFIX if "input_prefix" in names else ONE


class AddIn(
    RootModel[
        Annotated[
            Annotated[AddOne, Tag(ONE)] | Annotated[AddItems, Tag(ITEMS)] | Annotated[AddPrefix, Tag(PREFIX)],
            Discriminator(_form),
        ]
    ]
):
    """One object, a list of them (`items`), or all videos under a prefix (`input_prefix`)."""


class ItemOut(Out):
    """What became of one object of several."""

    input_bucket: str
    input_key: str
    success: bool
    task_id: Text = Field(description="Null when no task was made.")
    error: Text = Field(description="Why not, as a sentence.")
    code: Text = Field(description="Why not, as a stable word.")


class TasksAdded(Out):
    """What became of each object."""

    success: bool = Field(description="Whether every one has its task.")
    message: str
    added: int
    failed: int
    items: tuple[ItemOut, ...] = Field(description="In the order of the request, or of the keys.")
    next_after: Text = Field(description="There are more keys under the prefix: ask again with it as `after`.")


class Added(RootModel[TaskChanged | TasksAdded]):
    """The task, or for several objects what became of each."""
