"""What the use cases need from the outside, as protocols. `transcode.aws` and `transcode.ffmpeg` fill them.

Every port has a fake in `tests/fakes.py` that passes the same contract suite as the adapter.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from transcode.errors import TranscodeError
from transcode.ffmpeg.probe import Source
from transcode.presets import Preset
from transcode.states import Status
from transcode.task import InputVersion, Task


@dataclass(frozen=True)
class Query:
    """Which tasks a list wants: newest first, filters combine, `cursor` continues an earlier page.

    `date` is a UTC day, `2025-01-15`. `oldest` turns the order of a list of one status around; it has one page.
    """

    date: str = ""
    status: Status | None = None
    limit: int = 20
    cursor: str = ""
    oldest: bool = False


@dataclass(frozen=True)
class Page:
    """Tasks, newest first, and the cursor of the next page; empty when there is none."""

    tasks: tuple[Task, ...]
    next_cursor: str = ""


class TaskStore(Protocol):
    """The records. `save` is the only way one changes."""

    def create(self, task: Task) -> bool:
        """Keep a new record; False when its id exists already (the same upload, told twice)."""

    def read(self, task_id: str) -> Task:
        """The record as it is now, never a stale copy.

        Raises:
            NotFound: there is none.
        """

    def save(self, old: Task, new: Task) -> None:
        """Replace `old` by `new` if nobody wrote in between; attributes that are equal are not touched.

        Raises:
            VersionMoved: somebody did; the record is as they left it.
            Unknown: the answer was lost; the write may have been applied.
        """

    def page(self, query: Query) -> Page:
        """The tasks that `query` wants. Its cost does not grow with the table.

        Raises:
            BadCursor: the cursor is none of ours.
        """

    def merge_aside(self, task_id: str, name: str, values: dict[str, Any]) -> dict[str, Any]:
        """Set `values` in a side item, making it where it is missing; the whole item comes back.

        None takes an attribute away.
        """

    def add_aside(self, task_id: str, name: str, attribute: str) -> None:
        """Add one to a number in a side item, which begins at 0."""

    def read_aside(self, task_id: str, name: str) -> dict[str, Any]:
        """A side item, empty where there is none."""

    def read_asides(self, task_id: str, names: Sequence[str]) -> tuple[dict[str, Any], ...]:
        """Several side items in one request, those that there are; 100 at most, perhaps a second old."""


@dataclass(frozen=True)
class ObjectFacts:
    """What S3 says of an object; `modified` is a timestamp."""

    size: int
    etag: str
    version_id: str
    modified: str


@dataclass(frozen=True)
class Listed:
    """An object as a listing tells of it: size in bytes, `modified` a timestamp."""

    key: str
    size: int
    modified: str


@dataclass(frozen=True)
class Folder:
    """A page of what lies directly under a prefix: folders, which end with a slash, and objects."""

    folders: tuple[str, ...]
    objects: tuple[Listed, ...]
    next_cursor: str = ""


@dataclass(frozen=True)
class UploadForm:
    """Where a browser may send one file, and the fields that it sends before it. The fields are a permission."""

    address: str
    fields: Mapping[str, str]


class ObjectStorage(Protocol):
    """The buckets. Uploads are in parts that nobody sees until `complete` makes them the object."""

    def head(self, bucket: str, key: str) -> ObjectFacts:
        """Facts of the newest version.

        Raises:
            InputNotFound, InputAccessDenied: as they say.
        """

    def fetch(self, bucket: str, key: str, version: InputVersion, path: Path, on_bytes: Callable[[int], None]) -> None:
        """Write exactly that version to `path`; `on_bytes` is told of progress and may raise to stop it.

        Raises:
            InputNotFound, InputChanged, InputAccessDenied: as they say.
        """

    def send_parts(
        self, bucket: str, key: str, path: Path, content_type: str, on_bytes: Callable[[int], None], order: str = ""
    ) -> tuple[str, list[str]]:
        """Send a file as an unfinished multipart upload: its id and the tags of its parts, in order.

        `order` stays with the object: its place among all that are made for the same key, later is greater.
        """

    def order(self, bucket: str, key: str) -> str:
        """The order of the object that stands under a key; empty where there is none, or none of ours."""

    def complete(self, bucket: str, key: str, upload_id: str, tags: Sequence[str], order: str = "") -> bool:
        """Make the parts the object. Harmless when repeated by anybody.

        With an `order`, an object of greater order is never replaced, not even by a caller that was held
        up for hours: then False, and the parts are left as they are.
        """

    def abort(self, bucket: str, key: str, upload_id: str) -> None:
        """Throw unfinished parts away. Harmless when repeated."""

    def keys(self, bucket: str, prefix: str, limit: int, after: str = "") -> tuple[str, ...]:
        """Keys that begin with `prefix` and come after the key `after`, in S3's order: that of their UTF-8 bytes.

        Fewer than `limit` (1,000 at most) means that there are no more.

        Raises:
            InputAccessDenied: the credentials may not list the bucket.
        """

    def folder(self, bucket: str, prefix: str, limit: int, cursor: str = "") -> Folder:
        """What lies directly under `prefix`: `limit` (1,000 at most) folders and objects; `cursor` continues.

        Raises:
            InputAccessDenied: the credentials may not list the bucket.
            BadCursor: the cursor is none of this listing.
        """

    def address(self, bucket: str, key: str, seconds: int) -> str:
        """A presigned address from which a browser can read the object for `seconds`."""

    def upload_form(self, bucket: str, key: str, content_type: str, largest: int, seconds: int) -> UploadForm:
        """What lets a browser put one object under exactly this key, of this type, of 1 to `largest` bytes.

        It must begin within `seconds`. S3 takes 5 GiB at most in this way.
        """


class TaskQueue(Protocol):
    """The way to the workers."""

    def send(self, task_id: str, delay: float = 0.0, *, urgent: bool = False, group: str = "") -> None:
        """Send a message that carries the id; workers see it after `delay` seconds (900 at most).

        An `urgent` one overtakes those that are not; none of a `group` is held up by a flood of another.
        """


@dataclass(frozen=True)
class DeadLetter:
    """A message of the dead-letter queue. `task_id` is None where nobody can read it.

    `sent_at` is a timestamp; `receive_count` includes looks; `body` is cut to what people may want to see.
    """

    id: str
    task_id: str | None
    body: str
    sent_at: str
    receive_count: int


@dataclass(frozen=True)
class DeadLetters:
    """What a look found, oldest first, and how many are out of sight.

    These are in somebody's hands, or set aside as unreadable by the bridge.
    """

    letters: tuple[DeadLetter, ...]
    away: int = 0


class DeadLetterBox(Protocol):
    """The task queue's dead-letter queue, as people look into it. What becomes of it by itself is in `reconcile`."""

    def look(self, limit: int) -> DeadLetters:
        """Letters that are there, `limit` at most. For the moment of the look, nobody else sees them."""

    def delete(self, ids: Collection[str]) -> int:
        """Throw letters away; how many of them were found."""


@dataclass(frozen=True)
class Callback:
    """The message that a task's end is to be told: which end, by its generation, to whom, and when it was sent.

    It is sent before the end is written, so that no crash can lose it; whoever delivers it looks at the record.
    `sent_at` is in Unix seconds.
    """

    task_id: str
    generation: int
    target: str
    sent_at: float


class Callbacks(Protocol):
    """The way to whoever delivers callbacks."""

    def send(self, callback: Callback, delay: float) -> None:
        """Send the message; it is seen after `delay` seconds.

        Raises:
            ServiceUnavailable: it was not sent.
        """


@dataclass(frozen=True)
class Counts:
    """How many messages stand where. SQS calls these approximate."""

    waiting: int = 0
    in_flight: int = 0
    delayed: int = 0
    dead: int = 0


@dataclass(frozen=True)
class Progress:
    """How far an encode is: per cent of the source, frames per second, times realtime, seconds to go."""

    percent: float
    fps: float = 0.0
    speed: float = 0.0
    eta: float = 0.0


class Watch(Protocol):
    """What an encode reports to, and asks whether to go on."""

    def progress(self, progress: Progress) -> None:
        """Told about once a second while encoding."""

    def check(self) -> None:
        """Raises `Stopped` when the run must end now; asked several times a second."""


@dataclass(frozen=True)
class Rendition:
    """One file that was made and verified. Same units as `task.Output`."""

    type: str
    path: Path
    content_type: str
    bytes: int
    codec: str = ""
    width: int = 0
    height: int = 0
    duration: float = 0.0
    bitrate: int = 0
    audio_codec: str = ""
    # Where it was made: a `lanes.Lane`; empty for pictures.
    lane: str = ""
    warning: str = ""


@dataclass(frozen=True)
class TypeFailure:
    """One type that could not be made, while the others may have been."""

    type: str
    error: TranscodeError


@dataclass(frozen=True)
class RenderJob:
    """What to make of one local file."""

    input: Path
    folder: Path  # exists, empty, ours alone; outputs and scratch go here
    source: Source
    presets: Sequence[Preset]
    watch: Watch
    # One ffmpeg per encode, so that one type's failure cannot take the others along.
    separately: bool = False
    # Held while the CPU encodes: waits until it may.
    cpu: Callable[[], AbstractContextManager[None]] = nullcontext
    phases: dict[str, float] = field(default_factory=dict)  # filled in: seconds per phase


class Encoder(Protocol):
    """ffmpeg, as the use cases see it."""

    def probe(self, path: Path) -> Source:
        """What the file is.

        Raises:
            Permanent: it is nothing that can be transcoded; the type and sentence say why.
        """

    def render(self, job: RenderJob) -> Iterator[Rendition | TypeFailure]:
        """Make the renditions, each verified before it is yielded.

        With `separately`, a type that fails is yielded as a `TypeFailure` and the others go on.

        Raises:
            Permanent, Transient: nothing (more) can be made; the type says whether to try again.
            Stopped: `job.watch` said so; ffmpeg is gone.
        """
