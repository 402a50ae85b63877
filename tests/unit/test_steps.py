"""Every step of a task: what it makes, and all its refusals; then many of them in any order."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from tests.fakes import START
from transcode import states, steps
from transcode.clock import timestamp
from transcode.errors import (
    Busy,
    Cancelled,
    Conflict,
    DeviceBusy,
    DeviceFault,
    EncoderFailed,
    InputCorrupt,
    LeaseLost,
    ShuttingDown,
    Superseded,
    TranscodeError,
    WorkerLost,
)
from transcode.states import OVER, Phase, Status, TypeState
from transcode.steps import LEASE, MARGIN
from transcode.task import ErrorDetail, Output, Task, made

TYPES = ("mp4_smooth", "thumbnail")
WHY = EncoderFailed("It failed.")
# Just past the moment at which others may act on a task claimed at START.
LOST = START + LEASE + MARGIN + 0.001


def pending(**changes: Any) -> Task:
    task = made(
        "t1", START, input_bucket="uploads", input_key="a.mov", output_bucket="renditions", transcode_types=TYPES
    )
    return task.model_copy(update=changes)


def working(**changes: Any) -> Task:
    return steps.claimed(pending(), "me", "gpu0@one", START).model_copy(update=changes)


def publishing() -> Task:
    return steps.committed(working(), "me", START)


def over(status: Status) -> Task:
    return {
        Status.COMPLETED: lambda: steps.published(publishing(), START, outputs(*TYPES)),
        Status.FAILED: lambda: steps.failed(working(), "me", START, WHY, ()),
        Status.CANCELLED: lambda: steps.cancel_asked(pending(), START),
    }[status]()


def outputs(*types: str) -> dict[str, Output]:
    return {name: Output(key=f"a.mov/{name}", bytes=5) for name in types}


def a_detail(name: str = "mp4_smooth") -> ErrorDetail:
    return ErrorDetail(transcode_type=name, stage="transcode", error="It failed.", timestamp=timestamp(START))


ANYTIME = [pending(), working(), publishing(), *(over(s) for s in sorted(OVER))]
NAMES = ["pending", "working", "publishing", *sorted(OVER)]
anytime = pytest.mark.parametrize("task", ANYTIME, ids=NAMES)


class TestClaim:
    def test_it_takes_the_task_for_one_attempt(self) -> None:
        task = steps.claimed(pending(), "me", "gpu0@one", START + 1)
        assert (task.status, task.phase, task.owner, task.worker) == ("processing", "working", "me", "gpu0@one")
        assert (task.epoch, task.attempts, task.retry_count, task.ver) == (1, 1, 0, 1)
        assert task.lease_until == START + 1 + LEASE
        assert task.started_at == task.updated_at == timestamp(START + 1)
        assert set(task.progress.values()) == {TypeState.PROCESSING}

    def test_published_types_stay_completed(self) -> None:
        task = steps.claimed(pending(outputs=outputs("thumbnail")), "me", "w", START)
        assert task.progress == {"mp4_smooth": "processing", "thumbnail": "completed"}

    @pytest.mark.parametrize("status", sorted(OVER))
    def test_a_task_that_is_over_is_left_alone(self, status: Status) -> None:
        with pytest.raises(Conflict, match=status):
            steps.claimed(over(status), "other", "w", START)

    def test_a_task_that_is_not_due_is_told_when_to_look_again(self) -> None:
        with pytest.raises(Busy) as caught:
            steps.claimed(pending(not_before=START + 30), "me", "w", START)
        assert caught.value.seconds == 30
        assert steps.claimed(pending(not_before=START + 30), "me", "w", START + 30).attempts == 1

    def test_a_held_task_is_told_when_its_lease_and_margin_end(self) -> None:
        with pytest.raises(Busy, match="Another worker") as caught:
            steps.claimed(working(), "other", "w", START + 10)
        assert caught.value.seconds == LEASE + MARGIN - 10

    def test_a_silent_worker_is_replaced(self) -> None:
        task = steps.claimed(working(), "other", "cpu@two", LOST)
        assert (task.owner, task.epoch, task.attempts, task.retry_count) == ("other", 2, 2, 1)

    @pytest.mark.parametrize(
        "task",
        [publishing(), working(cancel_requested=True), working(attempts=3)],
        ids=["publishing", "cancelled", "used up"],
    )
    def test_what_the_reconciler_ends_is_left_to_it(self, task: Task) -> None:
        with pytest.raises(Busy):
            steps.claimed(task, "other", "w", LOST)


class TestHolder:
    @pytest.mark.parametrize(
        "step",
        [
            lambda t, o: steps.kept(t, o, START),
            lambda t, o: steps.committed(t, o, START),
            lambda t, o: steps.handed_back(t, o, START, 1, counted=True, error=WHY),
            lambda t, o: steps.failed(t, o, START, WHY, ()),
            lambda t, o: steps.cancelled(t, o, START, Superseded("Newer.")),
        ],
        ids=["kept", "committed", "handed back", "failed", "cancelled"],
    )
    @anytime
    def test_only_the_holder_of_a_working_task_may_write(self, task: Task, step: Callable[[Task, str], Task]) -> None:
        for owner in ("other", ""):
            with pytest.raises(LeaseLost):
                step(task, owner)
        if task.phase is Phase.WORKING:
            assert step(task, "me").ver == task.ver + 1
        else:
            with pytest.raises(LeaseLost):
                step(task, "me")

    def test_a_heartbeat_extends_the_lease(self) -> None:
        task = steps.kept(working(), "me", START + 20)
        assert task.lease_until == START + 20 + LEASE
        assert (task.epoch, task.attempts) == (1, 1)

    @pytest.mark.parametrize("step", [steps.kept, steps.committed])
    def test_a_cancelled_task_is_neither_kept_nor_committed(self, step: Callable[[Task, str, float], Task]) -> None:
        with pytest.raises(Cancelled):
            step(working(cancel_requested=True), "me", START)

    def test_the_commit_names_the_winner_and_takes_facts_along(self) -> None:
        task = steps.committed(working(), "me", START + 5, source={"codec": "h264"})
        assert (task.status, task.phase, task.winner) == ("processing", "publishing", "me")
        assert (task.source, task.lease_until) == ({"codec": "h264"}, START + 5 + LEASE)

    def test_handing_back_waits_and_asks_for_a_new_message(self) -> None:
        task = steps.handed_back(working(sent_at="x"), "me", START, 30, counted=True, error=WHY)
        assert (task.status, task.attempts, task.not_before) == ("pending", 1, START + 30)
        assert (task.sent_at, task.send_count) == (timestamp(START), 1)
        assert (task.error_code, task.error_message) == ("ffmpeg_failed", "It failed.")
        assert (task.owner, task.phase, task.lease_until, task.epoch) == ("", None, 0, 1)

    def test_a_stopped_worker_does_not_count(self) -> None:
        task = steps.handed_back(working(), "me", START, 0, counted=False, error=ShuttingDown("Bye."))
        again = steps.claimed(task, "other", "w", START)
        assert (task.attempts, again.attempts, again.retry_count, again.epoch) == (0, 1, 0, 2)

    def test_a_cards_fault_does_not_count_until_three_cards_have_failed(self) -> None:
        task, counts = working(), []
        for time in range(6):
            task = steps.device_failed(task, "me", START + 10 * time, 2, DeviceFault("The GPU failed."))
            counts.append(task.attempts)
            task = steps.claimed(task, "me", "w", START + 10 * time + 5)
        assert counts == [0, 0, 1, 1, 1, 2]
        assert (task.attempts, task.device_faults) == (3, 0)

    def test_a_full_card_counts_a_tenth_of_a_broken_one(self) -> None:
        task = steps.device_failed(working(), "me", START, 9, DeviceBusy("No session is free."))
        assert (task.attempts, task.device_faults) == (0, 1)
        worn = working(attempts=3, device_faults=29)
        ended = steps.device_failed(worn, "me", START, 9, DeviceBusy("No session is free."))
        assert (ended.status, ended.error_code) == ("failed", "device_busy")

    def test_failing_keeps_why_and_what_was_published(self) -> None:
        task = working(outputs=outputs("thumbnail"), error_details=(a_detail("earlier"),))
        ended = steps.failed(task, "me", START + 9, InputCorrupt("It is broken."), (a_detail(),))
        assert (ended.status, ended.error_code, ended.error_message) == ("failed", "input_corrupt", "It is broken.")
        assert [d.transcode_type for d in ended.error_details] == ["earlier", "mp4_smooth"]
        assert ended.progress == {"mp4_smooth": "failed", "thumbnail": "completed"}
        assert ended.completed_at == timestamp(START + 9)

    def test_a_superseded_task_says_so(self) -> None:
        task = steps.cancelled(working(), "me", START, Superseded("A newer upload."))
        assert (task.status, task.error_code, task.error_message) == ("cancelled", "superseded", "A newer upload.")


class TestPublishing:
    def test_all_outputs_make_it_completed(self) -> None:
        task = steps.published(publishing(), START + 7, outputs(*TYPES))
        assert (task.status, task.phase, task.owner) == ("completed", None, "")
        assert task.output_files == {name: f"a.mov/{name}" for name in TYPES}
        assert set(task.progress.values()) == {TypeState.COMPLETED}
        assert task.completed_at == timestamp(START + 7)

    def test_a_part_makes_it_failed_and_is_kept(self) -> None:
        task = steps.published(publishing(), START, outputs("thumbnail"))
        assert task.status is Status.FAILED
        assert task.progress == {"mp4_smooth": "failed", "thumbnail": "completed"}
        assert task.missing_types == ("mp4_smooth",)

    def test_what_was_published_before_counts(self) -> None:
        task = publishing().model_copy(update={"outputs": outputs("thumbnail")})
        assert steps.published(task, START, outputs("mp4_smooth")).status is Status.COMPLETED

    @pytest.mark.parametrize("task", [t for t in ANYTIME if t.phase is not Phase.PUBLISHING])
    def test_nothing_else_is_published(self, task: Task) -> None:
        with pytest.raises(Conflict):
            steps.published(task, START, outputs(*TYPES))


class TestRescue:
    LOSS = WorkerLost("Gone.")

    def test_a_task_of_a_silent_worker_is_tried_again(self) -> None:
        task = steps.rescued(working(), LOST, self.LOSS, 1)
        assert (task.status, task.attempts, task.not_before) == ("pending", 1, LOST + 1)
        assert task.error_code == "worker_lost"

    def test_after_the_last_attempt_it_is_failed(self) -> None:
        task = steps.rescued(working(attempts=3), LOST, self.LOSS, 1)
        assert (task.status, task.error_code) == ("failed", "worker_lost")

    @pytest.mark.parametrize("attempts", [1, 3])
    def test_a_wish_to_cancel_is_kept(self, attempts: int) -> None:
        assert (
            steps.rescued(working(cancel_requested=True, attempts=attempts), LOST, self.LOSS, 1).status == "cancelled"
        )

    def test_a_lease_that_runs_is_respected_and_the_clocks_margin(self) -> None:
        for now in (START, START + LEASE, START + LEASE + MARGIN):
            with pytest.raises(Conflict):
                steps.rescued(working(), now, self.LOSS, 1)

    @pytest.mark.parametrize("task", [t for t in ANYTIME if t.phase is not Phase.WORKING])
    def test_nothing_else_needs_it(self, task: Task) -> None:
        with pytest.raises(Conflict):
            steps.rescued(task, LOST + 1e6, self.LOSS, 1)


class TestCancel:
    def test_a_pending_task_is_cancelled_at_once(self) -> None:
        task = steps.cancel_asked(pending(), START)
        assert (task.status, task.error_code, task.cancel_requested) == ("cancelled", "cancelled", False)
        assert set(task.progress.values()) == {TypeState.PENDING}

    def test_a_working_one_is_told(self) -> None:
        task = steps.cancel_asked(working(), START)
        assert (task.status, task.cancel_requested, task.owner) == ("processing", True, "me")

    @pytest.mark.parametrize("task", [publishing(), *(over(s) for s in sorted(OVER))])
    def test_it_is_too_late_for_what_is_published_or_over(self, task: Task) -> None:
        with pytest.raises(Conflict):
            steps.cancel_asked(task, START)

    @pytest.mark.parametrize(
        "step",
        [
            lambda t: steps.handed_back(t, "me", START, 1, counted=True, error=WHY),
            lambda t: steps.handed_back(t, "me", START, 1, counted=False, error=WHY),
            lambda t: steps.failed(t, "me", START, WHY, (a_detail(),)),
            lambda t: steps.rescued(t, LOST, WHY, 1),
        ],
        ids=["handed back", "uncounted", "failed", "rescued"],
    )
    def test_every_end_of_a_cancelled_attempt_is_cancelled(self, step: Callable[[Task], Task]) -> None:
        assert step(working(cancel_requested=True)).status is Status.CANCELLED


class TestRetry:
    @pytest.mark.parametrize("status", ["failed", "cancelled"])
    def test_it_is_a_new_series_of_attempts(self, status: str) -> None:
        before = over(Status(status)).model_copy(update={"attempts": 3, "epoch": 7, "outputs": outputs("thumbnail")})
        task = steps.retried(before, START + 99)
        assert (task.status, task.generation, task.attempts, task.retry_count) == ("pending", 1, 0, 0)
        assert (task.epoch, task.outputs) == (7, before.outputs)
        assert (task.error_code, task.error_message, task.error_details, task.completed_at) == ("", "", (), "")
        assert task.progress == {"mp4_smooth": "pending", "thumbnail": "completed"}
        assert steps.claimed(task, "other", "w", START + 99).epoch == 8

    @pytest.mark.parametrize("task", [t for t in ANYTIME if t.status not in ("failed", "cancelled")])
    def test_nothing_else_is_retried(self, task: Task) -> None:
        with pytest.raises(Conflict, match=task.status):
            steps.retried(task, START)


def test_a_sent_message_is_counted() -> None:
    task = steps.sent(steps.sent(pending(), START), START + 1)
    assert (task.send_count, task.sent_at, task.ver) == (2, timestamp(START + 1), 2)


def test_a_message_that_was_not_sent_after_all_counts_no_more() -> None:
    task = steps.unsent(steps.sent(pending(), START), START + 1)
    assert (task.send_count, task.sent_at, task.ver) == (0, "", 2)
    assert steps.unsent(pending(), START).send_count == 0


def test_of_a_task_that_waits_no_more_no_message_is_noted() -> None:
    for step in (steps.sent, steps.unsent):
        with pytest.raises(Conflict, match="processing"):
            step(working(), START)


@anytime
def test_no_step_changes_the_task_it_is_given(task: Task) -> None:
    before = task.model_dump_json()
    for step in (lambda t: steps.sent(t, LOST), lambda t: steps.claimed(t, "x", "w", LOST)):
        with contextlib.suppress(TranscodeError):
            step(task)
    assert task.model_dump_json() == before


class LifeOfATask(RuleBasedStateMachine):
    """Workers, people and reconcilers take steps in any order; what the record promises holds throughout."""

    owners = Bundle("owners")

    @initialize()
    def begin(self) -> None:
        self.now, self.claims = START, 0
        self.task = self.before = pending()
        self.cancelled_in: set[int] = set()
        self.winners: dict[int, str] = {}

    def take(self, step: Callable[[Task], Task]) -> bool:
        """Take a step if the record allows it, and check what holds for every step."""
        self.before = self.task
        try:
            self.task = step(self.task)
        except TranscodeError:
            return False
        old, new = self.before, self.task
        assert new.ver == old.ver + 1
        assert new.epoch >= old.epoch
        assert new.generation >= old.generation
        assert old.status == new.status or new.status in states.NEXT[old.status]
        assert old.phase is not Phase.PUBLISHING or new.phase is Phase.PUBLISHING or new.over
        assert old.outputs.items() <= new.outputs.items()
        return True

    @rule(seconds=st.sampled_from([1.0, 20.0, 70.0, 1000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=owners)
    def somebody_claims(self) -> Any:
        self.claims += 1
        owner = f"owner-{self.claims}"
        if not self.take(lambda t: steps.claimed(t, owner, "w", self.now)):
            return multiple()
        assert self.task.epoch == self.before.epoch + 1
        return owner

    @rule(owner=owners)
    def somebody_keeps(self, owner: str) -> None:
        self.by(owner, lambda t: steps.kept(t, owner, self.now))

    @rule(owner=owners)
    def somebody_commits(self, owner: str) -> None:
        if self.by(owner, lambda t: steps.committed(t, owner, self.now)):
            assert self.winners.setdefault(self.task.generation, owner) == owner
            assert self.task.generation not in self.cancelled_in

    @rule(owner=consumes(owners), counted=st.booleans())
    def somebody_hands_back(self, owner: str, counted: bool) -> None:
        # `run` hands back what has attempts left, and fails what has not.
        counted = counted and self.task.attempts < self.task.max_retries
        error = WHY if counted else ShuttingDown("Bye.")
        self.by(owner, lambda t: steps.handed_back(t, owner, self.now, 5, counted=counted, error=error))

    @rule(owner=consumes(owners))
    def somebody_fails(self, owner: str) -> None:
        self.by(owner, lambda t: steps.failed(t, owner, self.now, WHY, (a_detail(),)))

    def by(self, owner: str, step: Callable[[Task], Task]) -> bool:
        """A step of an attempt: never taken once another attempt, or nobody, holds the task."""
        taken = self.take(step)
        assert not taken or (self.before.owner == owner and self.before.phase is Phase.WORKING)
        return taken

    @rule(types=st.sets(st.sampled_from(TYPES)))
    def anybody_publishes(self, types: set[str]) -> None:
        self.take(lambda t: steps.published(t, self.now, outputs(*types)))

    @rule()
    def the_reconciler_rescues(self) -> None:
        self.take(lambda t: steps.rescued(t, self.now, WorkerLost("Gone."), 1))

    @rule()
    def a_person_cancels(self) -> None:
        if self.take(lambda t: steps.cancel_asked(t, self.now)):
            self.cancelled_in.add(self.task.generation)

    @rule()
    def a_person_retries(self) -> None:
        self.take(lambda t: steps.retried(t, self.now))

    @rule()
    def a_message_is_sent(self) -> None:
        self.take(lambda t: steps.sent(t, self.now))

    @invariant()
    def a_confirmed_cancel_never_becomes_an_output(self) -> None:
        if self.task.generation in self.cancelled_in:
            assert self.task.status not in (Status.COMPLETED, Status.FAILED)

    @invariant()
    def attempts_stay_within_their_number(self) -> None:
        assert 0 <= self.task.attempts <= self.task.max_retries

    @invariant()
    def only_a_processing_task_is_held(self) -> None:
        processing = self.task.status is Status.PROCESSING
        assert bool(self.task.owner) == bool(self.task.phase) == (self.task.lease_until > 0) == processing

    @invariant()
    def completed_means_that_every_type_is_there(self) -> None:
        complete = set(self.task.outputs) == set(TYPES)
        assert self.task.status is not Status.COMPLETED or complete
        assert (self.task.completed_at != "") == self.task.over


TestLifeOfATask = LifeOfATask.TestCase
TestLifeOfATask.settings = hypothesis_settings(
    max_examples=300, stateful_step_count=50, deadline=None, derandomize=True
)
