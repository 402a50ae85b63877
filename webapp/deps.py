"""What a route works with: the ports, filled. `wsgi` fills them with AWS, tests with fakes."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import current_app

from transcode.clock import Clock
from transcode.ports import Callbacks, Counts, DeadLetterBox, ObjectStorage, TaskQueue, TaskStore
from transcode.presets import Presets
from transcode.settings import Settings
from transcode.submit import Desk
from webapp.readiness import Readiness


@dataclass(frozen=True)
class Deps:
    """Everything that the application needs from outside it.

    `counts` tells how many messages stand where in the task queue.
    """

    settings: Settings
    presets: Presets
    store: TaskStore
    storage: ObjectStorage
    queue: TaskQueue
    callbacks: Callbacks
    counts: Callable[[], Counts]
    dead_letters: DeadLetterBox
    readiness: Readiness
    clock: Clock

    @property
    def desk(self) -> Desk:
        """What `transcode.submit` works with."""
        return Desk(self.store, self.storage, self.queue, self.callbacks, self.presets, self.settings, self.clock)


def deps() -> Deps:
    """The dependencies of the application that serves the current request."""
    found = current_app.extensions["deps"]
    assert isinstance(found, Deps)  # noqa: S101 - put there by create_app; for the type checker
    return found
