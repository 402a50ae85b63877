"""A reader of the output bucket that never stops: what it sees must be whole, and a committed attempt's."""

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tests.soak.farm import SoakFarm
from tests.soak.history import Violation
from tests.soak.recipes import Mark
from transcode.aws import clients

_BUCKET = "flow-output"
# Seconds between two looks.
_EVERY = 1.5


@dataclass
class Reader:
    """One round's reader. `marks` says who made what is visible now."""

    farm: SoakFarm
    marks: dict[str, Mark] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._s3 = clients.s3(self.farm.settings)
        self._tags: dict[str, str] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read once more, then end."""
        self._over.set()
        self._thread.join()
        self.look()

    def _run(self) -> None:
        while not self._over.wait(_EVERY):
            self.look()

    def look(self) -> None:
        """Read what has changed since the last look."""
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=_BUCKET):
            for found in page.get("Contents", []):
                stamp = f"{found['ETag']} {found['LastModified']}"
                if self._tags.get(found["Key"]) != stamp:
                    self._tags[found["Key"]] = stamp
                    self._read(found["Key"])

    def _read(self, key: str) -> None:
        mark, history = self._mark(key), self.farm.history
        self.seen["outputs read"] += 1
        with history.lock:
            if mark is None:
                self.violations.append(Violation("", f"{key} was visible half written"))
            elif mark.epoch not in history.commits[mark.task]:
                self.violations.append(Violation(mark.task, f"{key} of the losing epoch {mark.epoch} was visible"))
            elif self._is_older(mark, self.marks.get(key)):
                self.violations.append(Violation(mark.task, f"{key} of a newer task was replaced by an older one's"))
        if mark is not None:
            self.marks[key] = mark

    def _mark(self, key: str) -> Mark | None:
        """Who made an object: it says so itself, or, made by the real ffmpeg, is known by its parts."""
        found = self._s3.get_object(Bucket=_BUCKET, Key=key)
        if self.farm.real:
            order = found["Metadata"].get("transcode-order", "")
            return self.farm.history.maker(key, found["ETag"].strip('"'), order)
        return Mark.of(found["Body"].read())

    def _is_older(self, mark: Mark, before: Mark | None) -> bool:
        records = self.farm.history.records
        if before is None or before.task == mark.task:
            return False
        return str(records[mark.task]["output_order"]) < str(records[before.task]["output_order"])

    def unfinished(self) -> dict[str, str]:
        """Uploads that were neither completed nor aborted: id -> key."""
        pages = self._s3.get_paginator("list_multipart_uploads").paginate(Bucket=_BUCKET)
        return {up["UploadId"]: up["Key"] for page in pages for up in page.get("Uploads", [])}

    def by_task(self) -> dict[str, set[int]]:
        """Task -> the epochs whose outputs are visible."""
        found: defaultdict[str, set[int]] = defaultdict(set)
        for mark in self.marks.values():
            found[mark.task].add(mark.epoch)
        return found
