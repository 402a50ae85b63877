"""What becomes of a callback: whether its task's end may be told now, what is told, when it is tried again.

The message of a callback comes before the end is written (`ledger`), perhaps twice, perhaps for nothing; so the record
decides. Requests are made and signed as the Standard Webhooks specification says, for which receivers find libraries
in every language. They are sent by `workers.courier`. A receiver may hear of an end twice, always under the same id.
"""

import base64
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from transcode.clock import seconds, timestamp
from transcode.errors import NotFound
from transcode.ports import Callback, TaskStore
from transcode.targets import Target
from transcode.task import ASIDE, Frozen, Task

# Seconds until a message is looked at again whose end has not been written yet, and after which it is given up: a
# closer that was held up for so long has lost its lease, and whoever ends the task then sends a message of their own.
_LOOK_AGAIN, _NO_END = 15.0, 3600.0
# Seconds until the next try, doubled each time up to an hour; given up a day after the end.
_FIRST, _LONGEST, _GIVEN_UP = 10.0, 3600.0, 86400.0
# Characters of what went wrong that are kept.
_WORDS = 300


class State(StrEnum):
    """How far a callback is."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


class Delivery(Frozen):
    """How far the callback of a task's end is, as kept beside the record. `status` is the last answer's, 0 for none."""

    generation: int = 0
    state: State = State.WAITING
    attempts: int = 0
    status: int = 0
    error: str = ""
    at: str = ""
    next_at: str = ""


@dataclass(frozen=True)
class Wait:
    """Not now: look again after `seconds`."""

    seconds: float


@dataclass(frozen=True)
class Drop:
    """Never: the message is done with, and why."""

    why: str


@dataclass(frozen=True)
class Tell:
    """Now: this task's end, after what was tried so far."""

    task: Task
    before: Delivery


def of(store: TaskStore, task: Task) -> Delivery | None:
    """How far the callback of a task's end is, None until it was tried; what became of an earlier end's is no news."""
    told = store.read_aside(task.task_id, ASIDE.CALLBACK) if task.callback else {}
    found = Delivery.model_validate(told)
    return found if told and found.generation == task.generation else None


def judge(store: TaskStore, callback: Callback, now: float) -> Wait | Drop | Tell:
    """What is to be done with the message of a callback.

    Raises:
        ServiceUnavailable: the table does not answer; the message comes again.
    """
    try:
        task = store.read(callback.task_id)
    except NotFound:
        return Drop("its task is gone")
    if task.generation != callback.generation:
        return Drop("the task was retried since")
    if not task.over:
        return Drop("the end did not come") if now - callback.sent_at > _NO_END else Wait(_LOOK_AGAIN)
    before = of(store, task) or Delivery(generation=task.generation)
    if before.state is not State.WAITING:
        return Drop(f"it is {before.state} already")
    # A copy of the message that comes while the first one waits for its next try.
    early = seconds(before.next_at) - now if before.next_at else 0.0
    return Wait(early) if early > 1.0 else Tell(task, before)


def body(task: Task) -> bytes:
    """What a receiver is told, as JSON."""
    facts = task.model_dump(
        mode="json", include={
            "task_id", "status", "input_bucket", "input_key", "input_version", "output_bucket", "transcode_types",
            "output_files", "outputs", "error_code", "error_message", "attempts", "generation", "metadata",
            "created_at", "started_at", "completed_at",
        },
    )  # fmt: skip
    told = {"type": f"task.{task.status}", "timestamp": task.completed_at, "data": facts}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def headers(target: Target, task: Task, content: bytes, now: float) -> Mapping[str, str]:
    """The headers that name, date and sign it."""
    name, moment = f"{task.task_id}.{task.generation}", str(int(now))
    signed = b".".join((name.encode(), moment.encode(), content))
    marks = [base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in target.keys]
    return {
        "Content-Type": "application/json", "User-Agent": "gpu-transcode-farm", "webhook-id": name,
        "webhook-timestamp": moment, "webhook-signature": " ".join(f"v1,{mark}" for mark in marks),
    }  # fmt: skip


def overdue(tell: Tell, now: float) -> bool:
    """Whether it is too late for one more try."""
    return now > seconds(tell.task.completed_at) + _GIVEN_UP


def after(tell: Tell, status: int, error: str, now: float) -> tuple[Delivery, float]:
    """How far it is after one more try, and the seconds until the next; 0 when there is none.

    Args:
        tell: what was tried.
        status: of the answer, 0 when none came. Only 2xx is delivered; a redirect is followed by nobody.
        error: what went wrong, for people.
        now: Unix seconds.
    """
    done = tell.before.model_copy(
        update={
            "attempts": tell.before.attempts + 1, "status": status, "error": error[:_WORDS], "at": timestamp(now),
            "next_at": "",
        }
    )  # fmt: skip
    if 200 <= status < 300:
        return done.model_copy(update={"state": State.DELIVERED, "error": ""}), 0.0
    pause = min(_LONGEST, _FIRST * 2.0 ** min(20, tell.before.attempts))
    if now + pause > seconds(tell.task.completed_at) + _GIVEN_UP:
        return done.model_copy(update={"state": State.FAILED}), 0.0
    return done.model_copy(update={"next_at": timestamp(now + pause)}), pause


def write(callback: Callback) -> str:
    """The message's text."""
    return json.dumps(vars(callback))


def read(text: str) -> Callback:
    """The message of a text.

    Raises:
        ValueError: it is none of ours.
    """
    found: Any = json.loads(text)
    try:
        return Callback(
            str(found["task_id"]), int(found["generation"]), str(found["target"]), float(found["sent_at"])
        )  # fmt: skip
    except (LookupError, TypeError, OverflowError) as exc:
        raise ValueError(f"a callback's message without {exc}") from exc
