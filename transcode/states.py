"""The statuses of a task, and which may follow which. The table `NEXT` is the only place that says so.

The tests walk every pair.
"""

from enum import StrEnum

from transcode.errors import Conflict


class Status(StrEnum):
    """Where a task stands, as stored in its record and shown to people."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Phase(StrEnum):
    """Where a processing task stands. In `publishing` the outcome is decided and only rolled forward."""

    WORKING = "working"
    PUBLISHING = "publishing"


class Priority(StrEnum):
    """How soon a task is wanted: urgent ones overtake the others, where there is an urgent queue."""

    NORMAL = "normal"
    URGENT = "urgent"


class TypeState(StrEnum):
    """Where one transcode type of a task stands."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


# Records of the predecessor may say this word for a task that waits for its next attempt.
LEGACY_PENDING = "retrying"

NEXT: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.PROCESSING, Status.CANCELLED}),
    # To PROCESSING: another worker takes over when the lease ran out. To PENDING: handed back.
    Status.PROCESSING: frozenset(Status),
    Status.COMPLETED: frozenset(),
    # Back to PENDING: a person asks for a retry.
    Status.FAILED: frozenset({Status.PENDING}),
    Status.CANCELLED: frozenset({Status.PENDING}),
}

OVER = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})


def check(old: Status, new: Status) -> None:
    """Let the step from `old` to `new` pass, or say why it may not.

    Raises:
        Conflict: the table has no such step.
    """
    if new not in NEXT[old]:
        allowed = " or ".join(sorted(NEXT[old])) or "nothing else"
        raise Conflict(f"The task is {old}; from there it can become {allowed}, not {new}.")
