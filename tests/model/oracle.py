"""The invariants I1 to I13, checked at every write, at every object that appears, and at the end.

I1   a task is committed at most once per generation, completed at most once
I2   only the transitions below; what is over changes only by a retry, with the next generation
I3   the epoch never falls; an attempt writes only what it owns; nobody takes what is held
I4   readers see only outputs of committed attempts, and an older task's never replace a newer one's
I5   completed, or failed in part: every output that the record names is there
I6   when the faults stop, every accepted task ends, within a bound
I7   attempts per generation are bounded
I8   a recorded cancel is obeyed; without one, nothing is cancelled
I9   what failed says why, and no fault of ours is the reason
I10  an upload makes one task
I11  an upload of parts is completed or aborted, but for those of killed attempts
I12  after a recount, the counters say what the records say
I13  an end that somebody is to be told of is announced before it is written, and no announcement is lost
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, Protocol

from tests.fakes import START, MemoryTasks
from tests.model.clockwork import Clockwork
from transcode import ledger
from transcode.clock import seconds, timestamp
from transcode.publish import plan_name
from transcode.states import OVER, Phase, Status
from transcode.steps import MARGIN
from transcode.task import Task

# The transitions of the protocol, written down a second time: this is what `states.NEXT` is held against.
_ALLOWED = frozenset({
    ("pending", "processing"), ("pending", "cancelled"),
    ("processing", "processing"), ("processing", "pending"), ("processing", "completed"),
    ("processing", "failed"), ("processing", "cancelled"),
    ("failed", "pending"), ("cancelled", "pending"), ("pending", "pending"),
})  # fmt: skip
PEOPLE = ("PEOPLE", "API")


@dataclass(frozen=True)
class Made:
    """Parts, or the object that they became: which attempt made them."""

    key: str
    task_id: str
    epoch: int
    upload_id: str


@dataclass(frozen=True)
class Writer:
    """Who writes a record: the process, and the owner's name of its attempt, if it makes one at this task."""

    name: str
    owner: str = ""


class Readers(Protocol):
    """What readers of the output bucket see, and what lies unfinished behind it."""

    objects: dict[str, Made]
    uploads: dict[str, Made]


class Oracle:
    """It knows what was promised so far; `clock.violate` ends the run."""

    def __init__(self, clock: Clockwork) -> None:
        self._clock = clock
        # Seconds by which a clock may be wrong, with a little for rounding.
        self._skew = clock.chances.skew + 0.1
        self.data: MemoryTasks
        self.readers: Readers
        # Task -> epoch -> generation of the attempts that committed.
        self.commits: defaultdict[str, dict[int, int]] = defaultdict(dict)
        self.counted: Counter[tuple[str, int]] = Counter()
        self.faults: Counter[tuple[str, int]] = Counter()
        self.wishes: set[tuple[str, int]] = set()
        # Purges by their moment; since when each task waits; both as timestamps.
        self.purges: list[str] = []
        self.waits_since: dict[str, str] = {}
        self.uploads: dict[tuple[str, str, str], str] = {}
        self.excuses: dict[str, str] = {}
        self.unanswered: set[tuple[str, int]] = set()
        self.writes = 0
        # Ends that a callback's message was sent for: task and generation.
        self.announced: set[tuple[str, int]] = set()

    def _hold(self, holds: bool, text: str) -> None:
        if not holds:
            self._clock.violate(text)

    # Records.

    def created(self, task: Task) -> None:
        """A record appeared."""
        self.waits_since[task.task_id] = self._timestamp()
        version = task.input_version.version_id or task.input_version.etag
        upload = (task.input_bucket, task.input_key, version)
        if not task.output_order.endswith("#"):
            self._hold(upload not in self.uploads, "I10 an upload made two tasks")
            self.uploads[upload] = task.task_id

    def writer(self, old: Task, new: Task) -> Writer:
        """Who is about to write; a claim makes the process the task's holder."""
        process = self._clock.me()
        if new.epoch == old.epoch + 1:
            process.attempt = (new.task_id, new.epoch, new.owner)
            others = [p for p in self._clock.processes if p is not process and p.attempt]
            twins = any(p.attempt and p.attempt[0] == new.task_id for p in others)
            self._clock.stats["two attempts alive at once"] += twins
        mine = process.attempt
        return Writer(process.name, mine[2] if mine and mine[0] == old.task_id else "")

    def saved(self, old: Task, new: Task, by: Writer) -> None:
        """A record changed."""
        self.writes += 1
        self._check_transition(old, new)
        if new.epoch != old.epoch:
            self._check_claim(old, new)
        else:
            self._check_fence(old, new, by)
        self._check_cancel(old, new, by)
        if new.phase is Phase.PUBLISHING and old.phase is not Phase.PUBLISHING:
            self._committed(old, new)
        if old.phase is Phase.PUBLISHING and new.status in OVER:
            self._published(new)
        self._check_end(old, new)
        if new.status is Status.PENDING and old.status is not Status.PENDING:
            self.waits_since[new.task_id] = self._timestamp()

    def _timestamp(self, earlier: float = 0.0) -> str:
        return timestamp(START + self._clock.now - earlier)

    def purge_noted(self, values: dict[str, Any]) -> None:
        """A purge was asked for, or is said to be done."""
        if "before" in values:
            self.purges.append(values["before"])
        for task in map(self.data.read, self.data.items if "done" in values else ()):
            # Clocks differ: only what had waited for longer than that must be gone.
            waited = timestamp(seconds(self.waits_since[task.task_id]) + 2 * self._skew) < values["done"]
            if waited and task.status is Status.PENDING:
                self._clock.say(f"still waits: {task.task_id}")
                self._clock.violate("I8 a purge is done, but a task that it was for still waits")

    def _check_transition(self, old: Task, new: Task) -> None:
        step = (old.status.value, new.status.value)
        self._hold(step in _ALLOWED or old.status is new.status, f"I2 {step[0]} became {step[1]}")
        retried = old.status in OVER and new.status is Status.PENDING
        self._hold(
            new.generation == old.generation + retried,
            "I2 a generation began without a retry, or no generation with one",
        )
        self._hold(new.status is not Status.COMPLETED or old.phase is Phase.PUBLISHING, "I2 completed without a commit")
        owned = new.epoch > old.epoch or new.owner in ("", old.owner)
        self._hold(owned, "I3 a new owner without a new epoch")
        self._hold(new.epoch - old.epoch in (0, 1), "I3 the epoch fell or jumped")

    def _check_claim(self, old: Task, new: Task) -> None:
        self._hold(old.phase is not Phase.PUBLISHING, "I3 a decided task was taken back")
        self._hold(new.owner != "", "I3 a claim without an owner")
        self._hold(not old.cancel_requested, "I8 an attempt began although a cancel was recorded")
        held = old.status is Status.PROCESSING and START + self._clock.now < old.lease_until + MARGIN - self._skew
        self._hold(not held, "I3 a task was taken from a living holder")
        early = START + self._clock.now < old.not_before - self._skew
        self._hold(not early, "I6 an attempt began before its time")
        self.counted[new.task_id, new.generation] += 1
        self._hold(new.attempts <= new.max_retries, "I7 more attempts than allowed, says the record")
        self._hold(self.counted[new.task_id, new.generation] <= new.max_retries, "I7 more attempts than allowed")

    def _check_fence(self, old: Task, new: Task, by: Writer) -> None:
        noted = old.status is new.status is Status.PENDING and new.sent_at != old.sent_at
        if by.owner and old.phase is not Phase.PUBLISHING and not noted:
            self._hold(old.owner == by.owner, "I3 an attempt wrote a record that it does not hold")
        elif old.phase is Phase.WORKING and new.phase is not Phase.WORKING:
            held = START + self._clock.now < old.lease_until + MARGIN - self._skew
            self._hold(not held, "I3 a task was taken from a living holder")
        if new.status is Status.PENDING and new.attempts < old.attempts and new.generation == old.generation:
            self.counted[new.task_id, new.generation] -= 1
            faulty = new.error_code == "device_fault"
            self.faults[new.task_id, new.generation] += faulty
            self._hold(faulty or new.error_code == "shutting_down", "I7 an attempt was not counted")
            # Of three faults of cards the third counts.
            most = 2 * new.max_retries
            self._hold(self.faults[new.task_id, new.generation] <= most, "I7 faults of cards were never counted")

    def _check_cancel(self, old: Task, new: Task, by: Writer) -> None:
        life = (new.task_id, new.generation)
        if (new.cancel_requested and not old.cancel_requested) or (
            by.name in PEOPLE and new.status is Status.CANCELLED
        ):
            self.wishes.add(life)
        self._hold(not (new.status is Status.PENDING and new.cancel_requested), "I8 a recorded cancel was put off")
        self._hold(
            not (new.status is Status.COMPLETED and life in self.wishes), "I8 completed after a cancel was recorded"
        )
        if new.error_code == "purged" and old.status is not Status.CANCELLED:
            meant = old.status is Status.PENDING and any(p >= old.updated_at for p in self.purges)
            self._hold(meant, "I8 purged, though it was not waiting then")
            self.wishes.add(life)
        self._hold(not (old.cancel_requested and new.status is Status.FAILED), "I8 failed after a cancel was recorded")
        if new.status is Status.CANCELLED and old.status is not Status.CANCELLED and new.error_code == "cancelled":
            self._hold(life in self.wishes, "I8 cancelled though nobody asked for it in this generation")

    def _committed(self, old: Task, new: Task) -> None:
        self._hold(not old.cancel_requested, "I8 committed after a cancel was recorded")
        self._hold(new.generation not in self.commits[new.task_id].values(), "I1 two attempts committed")
        self.commits[new.task_id][new.epoch] = new.generation
        plan = self.data.read_aside(new.task_id, plan_name(new.epoch))
        self._hold(bool(plan.get("types")), "I5 committed without a plan")
        gone = [e for e in plan["types"].values() if e["upload_id"] and e["upload_id"] not in self.readers.uploads]
        self._hold(not gone, "I5 committed to parts that are gone")

    def _published(self, new: Task) -> None:
        for name, output in new.outputs.items():
            there = self.readers.objects.get(output.key)
            self._hold(there is not None, f"I5 {new.status}, but its output is not there")
            mine = there is not None and there.task_id == new.task_id
            self._hold(mine or self._is_newer(there, new), f"I5 {new.status}, but {name} is an older task's")
        plan = self.data.read_aside(new.task_id, plan_name(new.epoch))
        left = [e for e in plan["types"].values() if e["upload_id"] in self.readers.uploads]
        self._hold(not left, "I11 closed with parts neither completed nor aborted")

    def _is_newer(self, there: Made | None, task: Task) -> bool:
        return there is not None and self.data.read(there.task_id).output_order > task.output_order

    def _check_end(self, old: Task, new: Task) -> None:
        if new.over and not old.over:
            self._hold(
                (new.task_id, new.generation) in self.announced | self._unsent(), "I13 an end was written unannounced"
            )
        if new.status is Status.FAILED and old.status is not Status.FAILED:
            self._hold(bool(new.error_code and new.error_message), "I9 failed without a reason")
        self._hold(new.error_code != "bug" or old.error_code == "bug", "I9 an unforeseen error ended an attempt")
        if new.error_code == "superseded" and old.status is not Status.CANCELLED:
            self._hold(self._has_successor(new), "I6 superseded by a task that has not committed")

    def _unsent(self) -> set[tuple[str, int]]:
        """The ends that the reconciler is to announce."""
        return set(ledger.unsent(self.data))

    def _has_successor(self, task: Task) -> bool:
        """Whether a newer task of the same input is sure to publish."""
        others = [self.data.read(i) for i, epochs in self.commits.items() if epochs and i != task.task_id]
        place = (task.input_bucket, task.input_key)
        return any((t.input_bucket, t.input_key) == place and t.output_order > task.output_order for t in others)

    # The output bucket.

    def shown(self, made: Made, there: Made | None) -> None:
        """An object appeared, perhaps over another."""
        self._hold(made.epoch in self.commits[made.task_id], "I4 readers see an output of an attempt that has not won")
        if there and there.task_id != made.task_id:
            orders = [self.data.read(m.task_id).output_order for m in (made, there)]
            self._hold(orders[0] > orders[1], "I4 an older task's output replaced a newer one's")

    def excuse(self, made: Made, why: str) -> None:
        """Parts may be left behind, for a reason that no code can help."""
        self.excuses[made.upload_id] = why

    # The end.

    def check_rest(self, killed: set[tuple[str, int]]) -> Counter[str]:
        """Nothing is left behind without an excuse; how often each excuse was needed."""
        ends = {(t.task_id, t.generation) for t in map(self.data.read, self.data.items) if t.over}
        self._hold(ends <= self.announced, "I13 the callback's message of an end was never sent")
        reasons: Counter[str] = Counter()
        for made in self.readers.uploads.values():
            attempt = (made.task_id, made.epoch)
            reason = self.excuses.get(made.upload_id, "")
            reason = reason or ("its worker was killed" if attempt in killed else "")
            reason = reason or ("its commit got no answer" if attempt in self.unanswered else "")
            if not reason:
                self._clock.say(f"left: {made}")
            self._hold(bool(reason), "I11 parts were left behind by an attempt that lived")
            reasons[f"parts left: {reason}"] += 1
        return reasons

    def check_counted(self, counted: dict[Status, list[int]]) -> None:
        """After a recount, the counters say what the records say."""
        ends = Counter(t.status for t in map(self.data.read, self.data.items) if t.over)
        self._hold(
            {s: sum(hours) for s, hours in counted.items() if any(hours)} == ends,
            "I12 the counters are wrong after a recount",
        )

    def check_calm(self) -> None:
        """Where nothing went wrong, a good file took one attempt."""
        good = [t for t in map(self.data.read, self.data.items) if t.input_key.startswith("ok")]
        once = all(t.attempts == 1 and t.error_code in ("", "superseded", "input_changed") for t in good)
        self._hold(once, "I7 a good file took more than one attempt, without any fault")

    def check_ended(self, accepted: set[str], uploads: set[tuple[str, str, str]]) -> None:
        """Every task that was accepted is there and over."""
        self._hold(uploads <= self.uploads.keys(), "I6 an upload made no task")
        self._hold(accepted <= self.data.items.keys(), "I6 an accepted task is lost")
        waiting = [t for t in map(self.data.read, self.data.items) if not t.over]
        statuses = ", ".join(sorted({f"{t.status} {t.phase or ''}".strip() for t in waiting}))
        self._hold(not waiting, f"I6 still {statuses} long after the faults stopped")
