"""Fakes of every port, kept in memory or in a folder. The only ones: no test brings its own.

Each passes the contract suite of the adapter it stands for (`tests/contract`), so what a test proves with
a fake holds with AWS and ffmpeg as far as the suite reaches.
"""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from transcode.clock import Clock, timestamp
from transcode.errors import (
    BadCursor,
    EncoderStalled,
    InputChanged,
    InputNotFound,
    NotFound,
    ServiceUnavailable,
    Stopped,
    TranscodeError,
    VersionMoved,
)
from transcode.ffmpeg.probe import Source
from transcode.ports import (
    Callback,
    DeadLetter,
    DeadLetters,
    Folder,
    Listed,
    ObjectFacts,
    Page,
    Progress,
    Query,
    RenderJob,
    Rendition,
    TypeFailure,
    UploadForm,
    Watch,
)
from transcode.presets import Preset
from transcode.states import LEGACY_PENDING, Status
from transcode.task import InputVersion, Task

# 2025-01-15T10:00:00Z, a Wednesday: far from midnight, so that a test which adds minutes stays in the day.
START = 1736935200.0
# Days that an unfiltered list walks back, today included.
DAYS_LISTED = 31


@dataclass
class FakeClock:
    """A clock that stands still until it is moved."""

    now: float = START

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self.now += seconds


class MemoryTasks:
    """`ports.TaskStore` in a dictionary: items as the table would hold them, conditions as it would check them."""

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        # Plain values, not models: what another version wrote stays in them, as it does in the table.
        self.items: dict[str, dict[str, Any]] = {}
        self.aside: dict[tuple[str, str], dict[str, Any]] = {}

    def create(self, task: Task) -> bool:
        """As the port says."""
        with self._lock:
            return self.items.setdefault(task.task_id, item := _item(task)) is item

    def read(self, task_id: str) -> Task:
        """As the port says."""
        with self._lock:
            if task_id not in self.items:
                raise NotFound(f"No task has the id {task_id}.")
            return Task.model_validate(self.items[task_id])

    def save(self, old: Task, new: Task) -> None:
        """As the port says. Saying the same write twice is no conflict: its first answer may have been lost."""
        before, after = _item(old), _item(new)
        with self._lock:
            stored = self.items.get(old.task_id)
            if stored is None:
                raise VersionMoved("The record is gone.")
            if stored.get("ver", 0) == old.ver:
                stored.update({name: value for name, value in after.items() if value != before[name]})
            elif Task.model_validate(stored) != new:
                raise VersionMoved("Somebody else wrote the record in between.")

    def page(self, query: Query) -> Page:
        """As the port says."""
        filters = [query.date, query.status or ""]
        below = _position(query.cursor, filters) if query.cursor else None
        with self._lock:
            tasks = [Task.model_validate(i) for i in self.items.values() if self._wanted(i, query)]
        tasks.sort(key=_place, reverse=not query.oldest)
        found = [t for t in tasks if below is None or _place(t) < below]
        page = tuple(found[: query.limit])
        return Page(page, _cursor(page[-1], filters) if len(found) > len(page) and not query.oldest else "")

    def _wanted(self, item: dict[str, Any], query: Query) -> bool:
        states = {query.status} | ({LEGACY_PENDING} if query.status is Status.PENDING else set())
        if query.status and item["status"] not in states:
            return False
        if query.status:
            return str(item["created_at"]).startswith(query.date)
        return item["date_partition"] in ({query.date} if query.date else self._last_days())

    def _last_days(self) -> set[str]:
        today = datetime.fromtimestamp(self._clock(), UTC)
        return {(today - timedelta(days=n)).strftime("%Y-%m-%d") for n in range(DAYS_LISTED)}

    def merge_aside(self, task_id: str, name: str, values: dict[str, Any]) -> dict[str, Any]:
        """As the port says. `expires_at` is for the table alone and does not come back."""
        with self._lock:
            item = self.aside.get((task_id, name), {}) | _copy(values)
            self.aside[task_id, name] = {n: v for n, v in item.items() if v is not None}
            return self.read_aside(task_id, name)

    def add_aside(self, task_id: str, name: str, attribute: str) -> None:
        """As the port says."""
        with self._lock:
            item = self.aside.setdefault((task_id, name), {})
            item[attribute] = item.get(attribute, 0) + 1

    def read_aside(self, task_id: str, name: str) -> dict[str, Any]:
        """As the port says."""
        with self._lock:
            return {n: v for n, v in _copy(self.aside.get((task_id, name), {})).items() if n != "expires_at"}

    def read_asides(self, task_id: str, names: Sequence[str]) -> tuple[dict[str, Any], ...]:
        """As the port says."""
        return tuple(self.read_aside(task_id, name) for name in names if (task_id, name) in self.aside)


def _item(task: Task) -> dict[str, Any]:
    return task.model_dump(mode="json")


def _copy(values: dict[str, Any]) -> dict[str, Any]:
    copied: dict[str, Any] = json.loads(json.dumps(values))
    return copied


def _place(task: Task) -> tuple[str, str]:
    return task.created_at, task.task_id


def _cursor(last: Task, filters: list[str]) -> str:
    return base64.urlsafe_b64encode(json.dumps([*_place(last), *filters]).encode()).decode()


def _position(cursor: str, filters: list[str]) -> tuple[str, str]:
    try:
        created_at, task_id, *made_for = json.loads(base64.b64decode(cursor.encode("ascii"), b"-_", validate=True))
    except (ValueError, TypeError) as exc:
        raise BadCursor("The cursor is none of ours.") from exc
    if not isinstance(created_at, str) or not isinstance(task_id, str):
        raise BadCursor("The cursor is none of ours.")
    if made_for != filters:
        raise BadCursor("The cursor was made for other filters.")
    return created_at, task_id


@dataclass(frozen=True)
class StoredObject:
    """One object: where its bytes are, and what S3 would say of it."""

    path: Path
    facts: ObjectFacts
    content_type: str = ""
    order: str = ""


@dataclass
class _Parts:
    paths: list[Path]
    tags: list[str]
    content_type: str
    order: str


class FolderStorage:
    """`ports.ObjectStorage` over a folder, without versions, as most buckets are.

    File names are digests of keys: a key may hold what a file name may not.
    """

    # Bytes. S3 wants 5 MB at least; small parts let a small test file have several.
    part_size = 64 * 1024

    def __init__(self, folder: Path, clock: Clock = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = threading.RLock()
        self._serial = 0
        self.objects: dict[tuple[str, str], StoredObject] = {}
        self.unfinished: dict[str, _Parts] = {}

    def put(self, bucket: str, key: str, data: bytes, content_type: str = "") -> ObjectFacts:
        """Make an object in one step, as a client who uploads a video does."""
        return self._keep(bucket, key, data, _md5(data).hexdigest(), content_type)

    def data(self, bucket: str, key: str) -> bytes:
        """The bytes of an object."""
        return self._found(bucket, key).path.read_bytes()

    def head(self, bucket: str, key: str) -> ObjectFacts:
        """As the port says."""
        return self._found(bucket, key).facts

    def fetch(self, bucket: str, key: str, version: InputVersion, path: Path, on_bytes: Callable[[int], None]) -> None:
        """As the port says. What was written before `on_bytes` raised is removed."""
        stored = self._found(bucket, key)
        _check_version(key, version, stored.facts)
        try:
            with path.open("wb") as file:
                for chunk in _chunks(stored.path, self.part_size):
                    file.write(chunk)
                    on_bytes(len(chunk))
        except BaseException:
            path.unlink()
            raise

    def send_parts(
        self, bucket: str, key: str, path: Path, content_type: str, on_bytes: Callable[[int], None], order: str = ""
    ) -> tuple[str, list[str]]:
        """As the port says. Nothing is left of an upload whose `on_bytes` raised."""
        upload_id = self._new_upload(content_type, order)
        try:
            for chunk in _chunks(path, self.part_size):
                self._add_part(upload_id, chunk)
                on_bytes(len(chunk))
        except BaseException:
            self.abort(bucket, key, upload_id)
            raise
        return upload_id, list(self.unfinished[upload_id].tags)

    def order(self, bucket: str, key: str) -> str:
        """As the port says."""
        with self._lock:
            stored = self.objects.get((bucket, key))
            return stored.order if stored else ""

    def complete(self, bucket: str, key: str, upload_id: str, tags: Sequence[str], order: str = "") -> bool:
        """As the port says."""
        digests = b"".join(bytes.fromhex(tag.strip('"')) for tag in tags)
        etag = f'"{_md5(digests).hexdigest()}-{len(tags)}"'
        with self._lock:
            stored, parts = self.objects.get((bucket, key)), self.unfinished.get(upload_id)
            if stored and stored.facts.etag == etag and order in ("", stored.order):
                return True
            if order and stored and stored.order > order:
                return False
            if not parts or parts.tags != list(tags):
                raise ServiceUnavailable(f"The upload of {key} is gone and the object is not there.")
            data = b"".join(p.read_bytes() for p in parts.paths)
            self._keep(bucket, key, data, etag, parts.content_type, parts.order)
            self.abort(bucket, key, upload_id)
            return True

    def abort(self, bucket: str, key: str, upload_id: str) -> None:
        """As the port says."""
        with self._lock:
            parts = self.unfinished.pop(upload_id, None)
            for path in parts.paths if parts else ():
                path.unlink()

    def keys(self, bucket: str, prefix: str, limit: int, after: str = "") -> tuple[str, ...]:
        """As the port says."""
        with self._lock:
            found = sorted(key for place, key in self.objects if place == bucket and key.startswith(prefix))
        return tuple(key for key in found if key > after)[:limit]

    def folder(self, bucket: str, prefix: str, limit: int, cursor: str = "") -> Folder:
        """As the port says; the cursor is the last name that was told."""
        under = [key for key in self.keys(bucket, prefix, len(self.objects) or 1) if key != prefix]
        cut = {key: prefix + key.removeprefix(prefix).partition("/")[0] for key in under}
        names = sorted({name if name == key else f"{name}/" for key, name in cut.items()})
        if cursor and cursor not in names:
            raise BadCursor("The listing cannot go on there; open the folder again.")
        here = [name for name in names if name > cursor][: limit + 1]
        facts = {name: self.head(bucket, name) for name in here[:limit] if not name.endswith("/")}
        listed = [Listed(name, found.size, found.modified) for name, found in facts.items()]
        folders = tuple(name for name in here[:limit] if name.endswith("/"))
        return Folder(folders, tuple(listed), here[limit - 1] if len(here) > limit else "")

    def upload_form(self, bucket: str, key: str, content_type: str, largest: int, seconds: int) -> UploadForm:
        """As the port says: the fields tell what is allowed; nobody takes them."""
        allowed = {"key": key, "Content-Type": content_type, "largest": str(largest), "seconds": str(seconds)}
        return UploadForm(self._path(bucket, key).parent.as_uri(), allowed)

    def address(self, bucket: str, key: str, seconds: int) -> str:
        """As the port says: a `file:` address that can be opened."""
        return f"{self._path(bucket, key).as_uri()}#expires={seconds}"

    def _found(self, bucket: str, key: str) -> StoredObject:
        with self._lock:
            if (bucket, key) not in self.objects:
                raise InputNotFound(f"{key} is not in the bucket {bucket}.")
            return self.objects[bucket, key]

    def _path(self, bucket: str, key: str) -> Path:
        return self._folder / bucket / hashlib.sha256(key.encode()).hexdigest()

    def _keep(self, bucket: str, key: str, data: bytes, etag: str, content_type: str, order: str = "") -> ObjectFacts:
        with self._lock:
            path = self._path(bucket, key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            facts = ObjectFacts(size=len(data), etag=etag, version_id="", modified=timestamp(self._clock()))
            self.objects[bucket, key] = StoredObject(path, facts, content_type, order)
            return facts

    def _new_upload(self, content_type: str, order: str) -> str:
        with self._lock:
            self._serial += 1
            self.unfinished[f"upload-{self._serial}"] = _Parts([], [], content_type, order)
            return f"upload-{self._serial}"

    def _add_part(self, upload_id: str, data: bytes) -> None:
        parts = self.unfinished[upload_id]
        path = self._folder / ".parts" / f"{upload_id}-{len(parts.paths)}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        parts.paths.append(path)
        parts.tags.append(f'"{_md5(data).hexdigest()}"')


def _check_version(key: str, wanted: InputVersion, found: ObjectFacts) -> None:
    if wanted.version_id:
        raise InputNotFound(f"{key} has no version {wanted.version_id}.")
    other_tag = wanted.etag and wanted.etag.strip('"') != found.etag
    if other_tag or (wanted.size and wanted.size != found.size):
        raise InputChanged(f"{key} was replaced after the task was made.")


def _md5(data: bytes) -> "hashlib._Hash":
    return hashlib.md5(data, usedforsecurity=False)


def _chunks(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(size):
            yield chunk


@dataclass(frozen=True)
class SentMessage:
    """A message on its way to the workers; `delay` in seconds."""

    task_id: str
    delay: float = 0.0
    urgent: bool = False
    group: str = ""


@dataclass
class ListQueue:
    """`ports.TaskQueue` as a list of what was sent. `outage`, when set, is raised instead of sending."""

    messages: list[SentMessage] = field(default_factory=list)
    outage: TranscodeError | None = None

    def send(self, task_id: str, delay: float = 0.0, *, urgent: bool = False, group: str = "") -> None:
        """As the port says."""
        if not 0 <= delay <= 900:
            raise ValueError(f"SQS delays by 0 to 900 seconds, not {delay}")
        if self.outage:
            raise self.outage
        self.messages.append(SentMessage(task_id, delay, urgent, group))

    @property
    def ids(self) -> list[str]:
        """The tasks that messages were sent for, in order."""
        return [message.task_id for message in self.messages]


@dataclass
class LetterList:
    """`ports.DeadLetterBox` as a list. `outage`, when set, is raised instead of answering."""

    letters: list[DeadLetter] = field(default_factory=list)
    away: int = 0
    outage: TranscodeError | None = None

    def look(self, limit: int) -> DeadLetters:
        """As the port says."""
        if self.outage:
            raise self.outage
        return DeadLetters(tuple(sorted(self.letters, key=lambda one: one.sent_at)[:limit]), self.away)

    def delete(self, ids: Collection[str]) -> int:
        """As the port says."""
        if self.outage:
            raise self.outage
        kept = [letter for letter in self.letters if letter.id not in ids]
        found, self.letters = len(self.letters) - len(kept), kept
        return found


@dataclass
class ListCallbacks:
    """`ports.Callbacks` as a list of what was sent. `outage`, when set, is raised instead of sending."""

    sent: list[Callback] = field(default_factory=list)
    outage: TranscodeError | None = None

    def send(self, callback: Callback, delay: float) -> None:
        """As the port says."""
        if not 0 <= delay <= 900:
            raise ValueError(f"SQS delays by 0 to 900 seconds, not {delay}")
        if self.outage:
            raise self.outage
        self.sent.append(callback)


@dataclass
class FakeEncoder:
    """`ports.Encoder` that writes a few bytes per rendition.

    Args:
        source: what every probe finds.
        refusal: what a probe raises instead.
        failures: per type, what its encode raises, one after the other; then it works.
        hangs: types whose encode never ends by itself; it ends when the watch says so.
    """

    source: Source
    refusal: TranscodeError | None = None
    failures: dict[str, list[TranscodeError]] = field(default_factory=dict)
    hangs: set[str] = field(default_factory=set)
    jobs: list[RenderJob] = field(default_factory=list)

    def probe(self, path: Path) -> Source:
        """As the port says."""
        if self.refusal:
            raise self.refusal
        return self.source

    def render(self, job: RenderJob) -> Iterator[Rendition | TypeFailure]:
        """As the port says."""
        self.jobs.append(job)
        presets = sorted(job.presets, key=lambda p: p.media != "image")
        for done, preset in enumerate(presets, start=1):
            job.watch.check()
            try:
                yield self._one(job, preset)
            except Stopped:
                raise
            except TranscodeError as error:
                if not job.separately:
                    raise
                yield TypeFailure(preset.name, error)
            job.watch.progress(Progress(percent=100.0 * done / len(presets), fps=25.0, speed=1.0))
        job.phases["encode"] = 0.0

    def _one(self, job: RenderJob, preset: Preset) -> Rendition:
        if preset.name in self.hangs:
            _hang(job.watch)
        if waiting := self.failures.get(preset.name):
            raise waiting.pop(0)
        path = job.folder / f"{preset.name}.{preset.ext}"
        path.write_bytes(f"{preset.name} of {job.input.name}\n".encode())
        return Rendition(
            preset.name, path, preset.content_type, path.stat().st_size, codec="fake", width=640, height=360,
            duration=1.0, bitrate=8 * path.stat().st_size,
        )  # fmt: skip


def _hang(watch: Watch) -> None:
    # Bounded at 60 s: a test whose watch never stops the run fails instead of hanging.
    for _ in range(6000):
        watch.check()
        time.sleep(0.01)
    raise EncoderStalled("Nobody stopped the encode.")
