"""`ports.ObjectStorage` in the simulation: parts that nobody sees, answers that get lost, what readers see."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.model.clockwork import Clockwork
from tests.model.line import Line
from tests.model.oracle import Made, Oracle
from transcode.clock import timestamp
from transcode.errors import InputChanged, InputNotFound, ServiceUnavailable
from transcode.ports import ObjectFacts
from transcode.task import InputVersion

# Seconds that one of these steps takes: a download, the parts of one file.
_TRANSFER = (0.5, 12.0)


@dataclass
class SimBucket:
    """Inputs by key, oldest version first; outputs by key, with the attempt that made each."""

    clock: Clockwork
    oracle: Oracle
    inputs: dict[tuple[str, str], list[ObjectFacts]] = field(default_factory=dict)
    objects: dict[str, Made] = field(default_factory=dict)
    uploads: dict[str, Made] = field(default_factory=dict)
    _serial: int = 0

    def __post_init__(self) -> None:
        self._line = Line(self.clock, "s3")

    def put(self, bucket: str, key: str, *, versioned: bool) -> ObjectFacts:
        """A client uploads a video."""
        self._serial += 1
        version = f"v{self._serial}" if versioned else ""
        facts = ObjectFacts(1000 + self._serial, f"etag{self._serial}", version, timestamp(self.clock.now))
        self.inputs.setdefault((bucket, key), []).append(facts)
        return facts

    def head(self, bucket: str, key: str) -> ObjectFacts:
        """As the port says."""
        return self._line.call(f"head {key}", lambda: self._newest(bucket, key), write=False)

    def _newest(self, bucket: str, key: str) -> ObjectFacts:
        if (bucket, key) not in self.inputs:
            raise InputNotFound(f"{key} is not in the bucket {bucket}.")
        return self.inputs[bucket, key][-1]

    def fetch(self, bucket: str, key: str, version: InputVersion, path: Path, on_bytes: Callable[[int], None]) -> None:
        """As the port says. The file's text is the key: it says what kind of video it is."""
        found = self._line.call(f"fetch {key}", lambda: self._version(bucket, key, version), write=False)
        self.clock.sleep(self.clock.dice.uniform(*_TRANSFER))
        on_bytes(found.size)
        path.write_text(key)

    def _version(self, bucket: str, key: str, wanted: InputVersion) -> ObjectFacts:
        found = self._newest(bucket, key)
        if wanted.version_id:
            return next(f for f in self.inputs[bucket, key] if f.version_id == wanted.version_id)
        if wanted.etag and wanted.etag != found.etag:
            raise InputChanged(f"{key} was replaced after the task was made.")
        return found

    def send_parts(
        self, bucket: str, key: str, path: Path, content_type: str, on_bytes: Callable[[int], None], order: str = ""
    ) -> tuple[str, list[str]]:
        """As the port says. The path tells which attempt made the file: `<task>/<epoch>/out/<type>.<ext>`."""
        size = len(path.read_text())
        upload_id = self._line.call(f"create upload {key}", lambda: self._begin(key, path))
        try:
            self.clock.sleep(self.clock.dice.uniform(*_TRANSFER))
            on_bytes(size)
            self._line.call(f"send parts {key}", lambda: None, critical=True)
        except BaseException:
            if not self.clock.me().dead:
                self.uploads.pop(upload_id, None)
            raise
        self.oracle.excuses.pop(upload_id)
        return upload_id, [f'"{upload_id}"']

    def _begin(self, key: str, path: Path) -> str:
        self._serial += 1
        upload_id = f"upload-{self._serial}"
        self.uploads[upload_id] = Made(key, path.parts[-4], int(path.parts[-3]), upload_id)
        self.oracle.excuse(self.uploads[upload_id], "nobody was told its id")
        return upload_id

    def order(self, bucket: str, key: str) -> str:
        """As the port says."""
        return self._line.call(f"head {key}", lambda: self._order(key), write=False)

    def _order(self, key: str) -> str:
        there = self.objects.get(key)
        return self.oracle.data.read(there.task_id).output_order if there else ""

    def complete(self, bucket: str, key: str, upload_id: str, tags: Sequence[str], order: str = "") -> bool:
        """As the port says. HEAD and conditional completion count as one: S3 sees to that."""
        act = lambda: self._complete(key, upload_id, order)  # noqa: E731
        return self._line.call(f"complete {key} {upload_id}", act, critical=True)

    def _complete(self, key: str, upload_id: str, order: str) -> bool:
        there = self.objects.get(key)
        if there and there.upload_id == upload_id:
            return True
        if order and self._order(key) > order:
            return False
        made = self.uploads.pop(upload_id, None)
        if not made:
            raise ServiceUnavailable(f"The upload of {key} is gone and the object is not there.")
        self.oracle.shown(made, there)
        self.objects[key] = made
        return True

    def abort(self, bucket: str, key: str, upload_id: str) -> None:
        """As the port says."""
        if not upload_id:
            self.clock.violate("I0 an abort without an upload id, which S3 may take for a delete of the object")
        made = self.uploads.get(upload_id)
        try:
            self._line.call(f"abort {key} {upload_id}", lambda: self.uploads.pop(upload_id, None))
        except ServiceUnavailable:
            if made:
                self.oracle.excuse(made, "its abort got no answer")
            raise

    def address(self, bucket: str, key: str, seconds: int) -> str:
        """As the port says."""
        return f"sim://{bucket}/{key}?expires={seconds}"
