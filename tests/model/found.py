"""Faults that the simulation has found in the real code, put back. Since then it must notice each."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.model.cast import World
from tests.model.mutations import Patch, mutation
from transcode import lease, ledger, publish, run, steps, submit
from transcode.attempt import Tools
from transcode.clock import timestamp
from transcode.errors import Cancelled, ServiceUnavailable
from transcode.lease import Lease
from transcode.ports import ObjectStorage
from transcode.reconcile import Reconciler
from transcode.submit import Desk
from transcode.task import ASIDE, Task


@mutation
def wish_without_attempt(patch: Patch, world: World) -> None:
    """The wish to cancel names no attempt: one that comes late, or is never taken back, stops the next."""

    def cancel(desk: Desk, task_id: str) -> Task:
        task = ledger.move(desk, desk.store.read(task_id), lambda t: steps.cancel_asked(t, desk.clock()))
        if task.cancel_requested:
            desk.store.merge_aside(task_id, ASIDE.LIVE, {"cancel": True})
        return task

    def show(self: Lease) -> None:
        with suppress(ServiceUnavailable):
            found = self._books.store.merge_aside(self.task.task_id, ASIDE.LIVE, {"epoch": self.task.epoch})
            if found.get("cancel"):
                self._reason = self._reason or Cancelled("The task was cancelled.")

    patch.setattr(submit, "cancel", cancel)
    patch.setattr(lease.Lease, "_show", show)


@mutation
def folder_of_the_task(patch: Patch, world: World) -> None:
    """An attempt that lost its lease removes the folder of the one that took over on the same node."""

    @contextmanager
    def scratch(tools: Tools, task: Task) -> Iterator[Path]:
        folder = tools.scratch / task.task_id / str(task.epoch)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            if not world.clock.me().dead:
                shutil.rmtree(folder.parent, ignore_errors=True)

    patch.setattr(run, "_scratch", scratch)


@mutation
def abort_without_id(patch: Patch, world: World) -> None:
    """What was left to a newer task has no upload id any more, and is aborted all the same."""

    def abort(storage: ObjectStorage, task: Task, entry: dict[str, Any]) -> None:
        storage.abort(task.output_bucket, entry["output"]["key"], entry["upload_id"])

    patch.setattr(publish, "_abort", abort)


@mutation
def purge_forgets_failures(patch: Patch, world: World) -> None:
    """A purge counts as done although some of its tasks could not be reached."""
    real = Reconciler._cancel_purged

    def cancel(self: Reconciler, task: Task) -> bool:
        with suppress(ServiceUnavailable):
            return real(self, task)
        return False

    patch.setattr(Reconciler, "_cancel_purged", cancel)


@mutation
def sending_is_an_update(patch: Patch, world: World) -> None:
    """A waiting task escapes a purge when its message is sent before the purge reaches it."""
    real = steps.sent
    patch.setattr(steps, "sent", lambda t, now: real(t, now).model_copy(update={"updated_at": timestamp(now)}))
