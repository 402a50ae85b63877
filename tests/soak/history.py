"""Every write of a record, in the order in which the table took it, judged against what a task may do.

The proxy lets DynamoDB calls pass one at a time, so this order is the true one. What is allowed is written
down here a second time, on purpose: it is what the product is held against.
"""

import hashlib
import re
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.soak.recipes import Mark
from transcode.aws.records import Item, plain
from transcode.errors import Bug, TranscodeError

Values = dict[str, Any]

_ALLOWED = frozenset({
    ("pending", "processing"), ("pending", "cancelled"), ("pending", "pending"),
    ("processing", "processing"), ("processing", "pending"), ("processing", "completed"),
    ("processing", "failed"), ("processing", "cancelled"),
    ("failed", "pending"), ("cancelled", "pending"),
})  # fmt: skip
_OVER = ("completed", "failed", "cancelled")
# What an attempt's own writes never do: these are errors that nobody foresaw.
_UNFORESEEN = (Bug.code, TranscodeError.code)
_PLAN = re.compile(r"plan(\d+)")


def _etag(tags: list[str]) -> str:
    """What S3 calls an object that is made of these parts."""
    digests = b"".join(bytes.fromhex(tag.split(" ")[0].strip('"')) for tag in tags)
    return f"{hashlib.md5(digests).hexdigest()}-{len(tags)}"


@dataclass(frozen=True)
class Write:
    """One write that the table took. `by` names the process."""

    at: float
    by: str
    task: str
    changed: Values

    def __str__(self) -> str:
        shown = {k: v for k, v in self.changed.items() if k not in ("source", "updated_at")}
        return f"{time.strftime('%H:%M:%S', time.localtime(self.at))}.{int(self.at % 1 * 1000):03} {self.by}: {shown}"


@dataclass(frozen=True)
class Violation:
    """A promise that was broken, and of which task."""

    task: str
    text: str


@dataclass
class History:
    """Fed by the proxy; asked by the reader and the checker. Any thread may call."""

    records: dict[str, Values] = field(default_factory=dict)
    writes: defaultdict[str, list[Write]] = field(default_factory=lambda: defaultdict(list))
    # Task -> epoch -> type -> upload id: what attempts wanted to publish.
    plans: defaultdict[str, dict[int, dict[str, str]]] = field(default_factory=lambda: defaultdict(dict))
    # Key and ETag -> what attempts would make them so.
    made: defaultdict[tuple[str, str], list[Mark]] = field(default_factory=lambda: defaultdict(list))
    # Task -> epochs that committed.
    commits: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    violations: list[Violation] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    # Task -> the process that claimed it last.
    holders: dict[str, str] = field(default_factory=dict)
    margin: float = 1.0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def put(self, by: str, item: Item) -> None:
        """A new record."""
        values = plain(item)
        if "status" not in values:
            return  # a claim of an output key
        with self.lock:
            self.records[values["task_id"]] = values
            self.writes[values["task_id"]].append(Write(time.time(), by, values["task_id"], values))
            self.seen["tasks created"] += 1

    def update(self, by: str, key: str, call: Values) -> None:
        """An UpdateItem, as DynamoDB was asked for it."""
        names: dict[str, str] = call.get("ExpressionAttributeNames", {})
        given = plain(call.get("ExpressionAttributeValues", {}))
        changed = {name: given.get(f":{alias[1:]}") for alias, name in names.items()}
        task, _, aside = key.partition("#")
        with self.lock:
            if aside:
                self._aside(task, aside, changed)
            elif task in self.records:
                self._moved(Write(time.time(), by, task, changed))

    def _aside(self, task: str, aside: str, changed: Values) -> None:
        if match := _PLAN.fullmatch(aside):
            types, epoch = changed["types"], int(match[1])
            self.plans[task][epoch] = {name: entry["upload_id"] for name, entry in types.items()}
            for name, entry in types.items():
                self.made[entry["output"]["key"], _etag(entry["tags"])].append(Mark(task, epoch, name))

    def _moved(self, write: Write) -> None:
        old = self.records[write.task]
        new = {k: v for k, v in (old | write.changed).items() if v is not None}
        self.records[write.task] = new
        self.writes[write.task].append(write)
        self._judge_status(write, old, new)
        self._judge_fence(write, old, new)
        self._judge_outcome(write, old, new)
        if new["epoch"] > old["epoch"]:
            self.holders[write.task] = write.by

    def _hold(self, holds: bool, write: Write, text: str) -> None:
        if not holds:
            self.violations.append(Violation(write.task, f"{text} ({write})"))

    def _judge_status(self, write: Write, old: Values, new: Values) -> None:
        step = (old["status"], new["status"])
        self._hold(step in _ALLOWED, write, f"{step[0]} became {step[1]}")
        if old["status"] in _OVER:
            self._hold(new["generation"] == old["generation"] + 1, write, "what was over changed without a retry")
        if step[0] != step[1]:
            self.seen[f"became {step[1]}"] += 1

    def _judge_fence(self, write: Write, old: Values, new: Values) -> None:
        self._hold(new["ver"] == old["ver"] + 1, write, "ver did not grow by one")
        self._hold(new["epoch"] - old["epoch"] in (0, 1), write, "epoch fell or jumped")
        self._hold(new["attempts"] <= new["max_retries"], write, "more attempts than allowed")
        if new["epoch"] > old["epoch"]:
            return self._judge_claim(write, old)
        if old["status"] == "processing" and old.get("phase") == "working" and write.by.startswith("w"):
            self._hold(write.by == self.holders[write.task], write, f"a write of {write.by}, which lost the lease")
        return None

    def _judge_claim(self, write: Write, old: Values) -> None:
        self.seen["attempts"] += 1
        if old["status"] != "processing":
            return
        self.seen["taken over by a worker"] += 1
        self._hold(write.at > old["lease_until"] + self.margin, write, "taken over while the lease ran")
        self._hold(old.get("phase") == "working", write, "taken over while being published")

    def _judge_outcome(self, write: Write, old: Values, new: Values) -> None:
        if new.get("phase") == "publishing" and old.get("phase") != "publishing":
            self._hold(not old.get("cancel_requested"), write, "committed after it was cancelled")
            self.commits[write.task].append(new["epoch"])
            self.seen["commits"] += 1
        if new["status"] == "completed" and old["status"] != "completed":
            done = sum(w.changed.get("status") == "completed" for w in self.writes[write.task])
            self._hold(done == 1, write, "completed twice")
        if new["status"] == "failed" and old["status"] != "failed":
            why = new.get("error_code", "")
            self._hold(bool(why and new.get("error_message")), write, "failed without a reason")
            self.seen[f"failed: {why}"] += 1
        self._hold(write.changed.get("error_code") not in _UNFORESEEN, write, "an error that nobody foresaw")

    def maker(self, key: str, etag: str, order: str) -> Mark | None:
        """Who made an object, by its ETag and the order that lies with it; of a committed attempt if of several."""
        with self.lock:
            found = self.made.get((key, etag), [])
            found = [m for m in found if self.records[m.task]["output_order"] == order] or found
            return next((m for m in found if m.epoch in self.commits[m.task]), found[-1] if found else None)

    def completing(self, key: str, upload_id: str) -> None:
        """An upload was made an object: only a committed attempt's may be."""
        with self.lock:
            for task, plans in self.plans.items():
                for epoch, types in plans.items():
                    if upload_id in types.values():
                        if epoch not in self.commits[task]:
                            text = f"{key} of epoch {epoch} was published without a commit"
                            self.violations.append(Violation(task, text))
                        return
            self.violations.append(Violation("", f"{key} was published by nobody's plan"))
