"""Guards taken out of the real code, one at a time. The oracle must notice each: that is what proves the oracle."""

import uuid
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from tests.model.cast import World
from transcode import ledger, publish, reconcile, run, steps
from transcode import task as records
from transcode.attempt import Attempt
from transcode.errors import Busy, Conflict, DeviceFault, LeaseLost, Superseded
from transcode.lease import Lease
from transcode.ports import ObjectStorage, Rendition, TaskStore
from transcode.states import Phase, Status
from transcode.task import Task

Patch = pytest.MonkeyPatch
MUTATIONS: dict[str, Callable[[Patch, World], None]] = {}


def mutation(function: Callable[[Patch, World], None]) -> Callable[[Patch, World], None]:
    """Give a mutation its name. More of them are in `found`."""
    MUTATIONS[function.__name__] = function
    return function


def _after(patch: Patch, step: str, **changes: Any) -> None:
    """Let a step of `steps` do as it does, and then these changes."""
    real = getattr(steps, step)
    patch.setattr(steps, step, lambda *args, **named: real(*args, **named).model_copy(update=changes))


def _blind(patch: Patch, step: str, **seen: Any) -> None:
    """Let a step of `steps` see other values than the record has."""
    real = getattr(steps, step)
    patch.setattr(steps, step, lambda task, *args, **named: real(task.model_copy(update=seen), *args, **named))


@mutation
def no_fence(patch: Patch, world: World) -> None:
    """A write asks nobody whose task it is."""
    patch.setattr(steps, "_check_holder", lambda *_: None)


@mutation
def publish_although_refused(patch: Patch, world: World) -> None:
    """The loser of a commit makes its outputs visible all the same."""
    real = publish.commit

    def commit(attempt: Attempt) -> None:
        try:
            real(attempt)
        except LeaseLost:
            for entry in attempt.plan.values():
                attempt.desk.storage.complete("out-bucket", entry["output"]["key"], entry["upload_id"], entry["tags"])
            raise

    patch.setattr(publish, "commit", commit)


@mutation
def visible_before_commit(patch: Patch, world: World) -> None:
    """A rendition is visible as soon as it is sent."""
    real = publish.send

    def send(attempt: Attempt, made: Sequence[Rendition]) -> None:
        real(attempt, made)
        for entry in attempt.plan.values():
            attempt.desk.storage.complete("out-bucket", entry["output"]["key"], entry["upload_id"], entry["tags"])

    patch.setattr(publish, "send", send)


@mutation
def reclaim_publishing(patch: Patch, world: World) -> None:
    """A lease that ran out gives a task away whose outcome is decided."""
    _blind(patch, "_check_takeover", phase=Phase.WORKING)


@mutation
def no_roll_forward(patch: Patch, world: World) -> None:
    """Nobody finishes the publishing of a worker that died."""
    patch.setattr(reconcile, "publish", SimpleNamespace(roll_forward=lambda *_: None))


@mutation
def no_resend(patch: Patch, world: World) -> None:
    """A message that is lost stays lost."""
    patch.setattr(reconcile.Reconciler, "_send", lambda *_: False)


@mutation
def no_rescue(patch: Patch, world: World) -> None:
    """Nobody takes back what a dead worker held."""
    real = reconcile.Reconciler._rescue
    patch.setattr(reconcile.Reconciler, "_rescue", lambda me, t: t.phase is Phase.PUBLISHING and real(me, t))


@mutation
def blind_cancel(patch: Patch, world: World) -> None:
    """A cancel does not look at what it cancels."""
    patch.setattr(steps, "cancel_asked", lambda t, now: steps._written(t, now, status=Status.CANCELLED, phase=None))


@mutation
def commit_ignores_cancel(patch: Patch, world: World) -> None:
    """The commit does not look at the cancel flag."""
    _blind(patch, "committed", cancel_requested=False)


@mutation
def unknown_is_failure(patch: Patch, world: World) -> None:
    """A commit without an answer counts as failed, and its uploads are thrown away."""

    class Hasty(Attempt):
        committing = property(lambda _: False, lambda *_: None)

    patch.setattr(run, "Attempt", Hasty)


@mutation
def rescue_resets_attempts(patch: Patch, world: World) -> None:
    """A file that kills its worker kills workers for ever."""
    real = steps.rescued
    patch.setattr(steps, "rescued", lambda t, *a: real(t.model_copy(update={"attempts": 0}), *a))


@mutation
def random_id(patch: Patch, world: World) -> None:
    """Each event makes a task, even the second of one upload."""
    patch.setattr(records, "upload_id", lambda *_: str(uuid.UUID(int=world.clock.dice.getrandbits(128))))


@mutation
def no_lease_check(patch: Patch, world: World) -> None:
    """A second message takes the task from a living worker."""
    _blind(patch, "_check_takeover", lease_until=0.0)


@mutation
def forget_cancel(patch: Patch, world: World) -> None:
    """A cancel is forgotten when the attempt is handed back for another reason."""
    real = steps.handed_back

    def handed_back(task: Task, *args: Any, **named: Any) -> Task:
        moved = real(task.model_copy(update={"cancel_requested": False}), *args, **named)
        return moved.model_copy(update={"cancel_requested": task.cancel_requested})

    patch.setattr(steps, "handed_back", handed_back)


@mutation
def failure_hides_cancel(patch: Patch, world: World) -> None:
    """A task that was cancelled ends as failed."""
    _blind(patch, "failed", cancel_requested=False)
    _blind(patch, "rescued", cancel_requested=False)


@mutation
def older_replaces_newer(patch: Patch, world: World) -> None:
    """Publishing does not ask whether a newer task's output stands there."""

    def show(storage: ObjectStorage, task: Task, entry: dict[str, Any]) -> str:
        storage.complete(task.output_bucket, entry["output"]["key"], entry["upload_id"], entry["tags"])
        return ""

    patch.setattr(publish, "_show", show)


@mutation
def leave_without_looking(patch: Patch, world: World) -> None:
    """A task leaves its keys to a newer one that is merely known."""
    real = publish._leave_to_newer

    def leave(attempt: Attempt) -> None:
        task, data = attempt.task, world.table.data
        newer = [
            t
            for t in map(data.read, data.items)
            if t.input_key == task.input_key and t.output_order > task.output_order
        ]
        if newer:
            raise Superseded("A newer upload is known.")
        real(attempt)

    patch.setattr(publish, "_leave_to_newer", leave)


@mutation
def early_attempt(patch: Patch, world: World) -> None:
    """A claim does not wait for the delay to pass."""
    _blind(patch, "claimed", not_before=0.0)


@mutation
def epoch_starts_again(patch: Patch, world: World) -> None:
    """A retry begins at epoch 0, so that an old attempt's token is valid again."""
    _after(patch, "retried", epoch=0)


@mutation
def same_epoch(patch: Patch, world: World) -> None:
    """A claim has no token of its own."""
    real = steps.claimed
    patch.setattr(steps, "claimed", lambda t, *a: real(t, *a).model_copy(update={"epoch": t.epoch}))


@mutation
def retry_in_the_same_generation(patch: Patch, world: World) -> None:
    """A retry is not told from the attempts before it."""
    real = steps.retried
    patch.setattr(steps, "retried", lambda t, *a: real(t, *a).model_copy(update={"generation": t.generation}))


@mutation
def nothing_counts(patch: Patch, world: World) -> None:
    """A failed attempt is handed back as if it had not been one."""
    real = steps.handed_back

    def handed_back(*args: Any, counted: bool, **named: Any) -> Task:
        return real(*args, counted=False, **named)

    patch.setattr(steps, "handed_back", handed_back)


@mutation
def cards_never_count(patch: Patch, world: World) -> None:
    """A file that every card fails on is tried for ever."""

    def device_failed(task: Task, owner: str, now: float, delay: float, error: DeviceFault) -> Task:
        return steps.handed_back(task, owner, now, delay, counted=False, error=error)

    patch.setattr(steps, "device_failed", device_failed)


@mutation
def plan_after_commit(patch: Patch, world: World) -> None:
    """The commit is written before the plan that it stands for."""
    real = world.table.merge_aside
    late = lambda t, n, v: {} if n.startswith("plan") else real(t, n, v)  # noqa: E731
    patch.setattr(world.table, "merge_aside", late)


@mutation
def parts_left(patch: Patch, world: World) -> None:
    """An attempt that does not publish leaves its parts behind."""
    patch.setattr(publish, "throw_away", lambda _: None)


@mutation
def close_before_visible(patch: Patch, world: World) -> None:
    """The record is closed before the outputs are there."""
    patch.setattr(publish, "_show", lambda *_: None)


@mutation
def no_heartbeat(patch: Patch, world: World) -> None:
    """A long attempt loses its task to the next worker, again and again. Noticed in a run without faults."""
    patch.setattr(Lease, "_run", lambda _: None)


@mutation
def early_message_is_eaten(patch: Patch, world: World) -> None:
    """A message that comes too early is done with, and nobody sends another."""
    real = run._claim

    def claim(*args: Any) -> Task:
        try:
            return real(*args)
        except Busy as busy:
            raise Conflict("eaten") from busy

    patch.setattr(run, "_claim", claim)
    patch.setattr(reconcile.Reconciler, "_wants_message", lambda _, task: not task.sent_at)


@mutation
def ends_in_silence(patch: Patch, world: World) -> None:
    """A callback's message is sent after the end is written, so a crash in between loses it."""
    real, moved = ledger._announce, ledger._moved
    patch.setattr(ledger, "_announce", lambda *_: None)

    def late(store: TaskStore, task: Task) -> Task:
        moved(store, task)
        if task.over:
            real(world.desk(world.clock.me()), task)
        return task

    patch.setattr(ledger, "_moved", late)


@mutation
def unsent_is_forgotten(patch: Patch, world: World) -> None:
    """A callback's message that SQS did not take is never sent again."""
    patch.setattr(ledger, "send_unsent", lambda _: 0)
