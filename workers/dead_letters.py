"""The task queue's dead-letter queue: a task's message that ended there speaks of a task that may still wait.

What becomes of the task is decided in `transcode.reconcile`. What nobody can read stays, for people to see.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from transcode import logs
from transcode.aws.sqs import Received
from workers.publisher import read_task_id

log = logs.get(__name__)

# Batches of ten per pass: a flood is worked off over many passes.
_BATCHES = 10
# Seconds for which an unreadable message is left alone: so that passes see new ones, and people see it again.
_UNREADABLE = 600.0


class DeadQueue(Protocol):
    """The dead-letter queue."""

    def receive(self, wait: int) -> list[Received]:
        """What is there."""

    def delete(self, message: Received) -> None:
        """Done with it."""

    def extend(self, message: Received, seconds: float) -> object:
        """Leave it alone for a while."""


class Decide(Protocol):
    """`Reconciler.dead_letter`."""

    def __call__(self, task_id: str) -> bool:
        """Whether the message is done with."""


@dataclass
class DeadLetters:
    """The sweeper. `find` looks the queue up, once it can be reached; None where there is none."""

    find: Callable[[], DeadQueue | None]
    decide: Decide
    queue: DeadQueue | None = None

    def sweep(self) -> int:
        """Deal with what is there; the number of messages that are gone.

        Raises:
            ServiceUnavailable: SQS or the table did not answer; the rest comes again.
        """
        self.queue = self.queue or self.find()
        gone = 0
        for _ in range(_BATCHES if self.queue else 0):
            messages = self.queue.receive(0) if self.queue else []
            if not messages:
                break
            gone += sum(self._deal(message) for message in messages)
        return gone

    def _deal(self, message: Received) -> bool:
        assert self.queue is not None  # noqa: S101 it brought the message
        task_id = read_task_id(message.body)
        if task_id is None:
            log.error("Unreadable message in the dead-letter queue", message_id=message.id)
            self.queue.extend(message, _UNREADABLE)
            return False
        if not self.decide(task_id):
            return False
        self.queue.delete(message)
        return True
