"""Many objects in one request: a task for each, or the reason why not. One that fails leaves the others alone."""

import contextvars
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from transcode import submit
from transcode.errors import TranscodeError, Transient
from transcode.submit import Desk, Wishes
from transcode.task import Task, request_id
from webapp.api.adding import AddOne, ItemOut, TasksAdded

# Tasks made at the same time: a request waits for AWS nearly all its time, and others want connections too.
_AT_ONCE = 4

Made = Task | TranscodeError


@dataclass(frozen=True)
class Order:
    """One object of many. `words` tell it from the others under the request's idempotency key; none: no key."""

    ask: AddOne
    words: tuple[str, ...] = ()

    def make(self, desk: Desk) -> Task:
        """Make its task."""
        ask = self.ask
        task_id = request_id(*self.words) if self.words else ""
        wishes = Wishes(ask.output_prefix, ask.priority, ask.metadata, ask.callback, task_id)
        return submit.add(desk, ask.input_bucket, ask.input_key, ask.transcode_types, wishes)


class _Round:
    """The orders of one request. When AWS is down for one, the rest are not tried: each would wait in vain."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._down: Transient | None = None

    def one(self, order: Order) -> Made:
        if self._down:
            return self._down
        try:
            return order.make(self._desk)
        except Transient as error:
            self._down = error
            return error
        except TranscodeError as error:
            return error


def make(desk: Desk, orders: Sequence[Order]) -> list[Made]:
    """A task or an error for each, in their order."""
    turn = _Round(desk)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="bulk") as pool:
        waiting = [pool.submit(_in_this_context(turn.one), order) for order in orders]
        return [one.result() for one in waiting]


def _in_this_context(call: Callable[[Order], Made]) -> Callable[[Order], Made]:
    # The request's id goes with it, so that its log lines can be told to belong together.
    context = contextvars.copy_context()
    return lambda order: context.run(call, order)


def told(orders: Sequence[Order], made: Sequence[Made], next_after: str = "") -> TasksAdded:
    """The answer."""
    items = tuple(_item(order.ask, one) for order, one in zip(orders, made, strict=True))
    added = sum(item.success for item in items)
    return TasksAdded(
        success=added == len(items), message=f"{added} of {len(items)} tasks were added.", added=added,
        failed=len(items) - added, items=items, next_after=next_after,
    )  # fmt: skip


def _item(ask: AddOne, made: Made) -> ItemOut:
    where = {"input_bucket": ask.input_bucket, "input_key": ask.input_key}
    if isinstance(made, Task):
        return ItemOut(**where, success=True, task_id=made.task_id, error=None, code=None)
    return ItemOut(**where, success=False, task_id=None, error=str(made), code=made.code)
