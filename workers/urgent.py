"""Urgent tasks overtake a backlog: one logical queue of two SQS queues, polled in turn.

A second queue for Celery would be hoarded from, because kombu counts what it holds per queue; so the worker knows
one queue, and only here is decided at which address it asks next. `polling` sees to it that one poll runs at a time.
"""

from dataclasses import dataclass
from typing import Any

from kombu.transport import SQS
from vine import transform

# Seconds of a poll while both queues are empty: a message of the other queue waits half as long on average.
_IDLE_WAIT = 5


@dataclass
class Turns:
    """Which of the two queues is asked next, and how long the answer may take. Pure.

    While there is a backlog the urgent queue is looked into shortly before each ordinary poll, and as long as it
    yields it is asked again.
    """

    urgent: str
    ordinary: str
    wait: int
    _next_urgent: bool = True
    _backlog: bool = False

    def next(self) -> tuple[str, int]:
        """The address, and the seconds that SQS may wait for a message."""
        if self._next_urgent:
            self._next_urgent = False
            return self.urgent, 0 if self._backlog else min(self.wait, _IDLE_WAIT)
        self._next_urgent = True
        return self.ordinary, min(self.wait, _IDLE_WAIT)

    def saw(self, address: str, messages: int) -> None:
        """A poll at this address brought so many messages."""
        if address == self.ordinary:
            self._backlog = messages > 0
        elif messages:
            self._next_urgent = True


class UrgentChannel(SQS.Channel):
    """The part of the channel that knows two addresses.

    Own transport option: `urgent`, from the name of a queue to that of the one that overtakes it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._turns: dict[str, Turns] = {}
        super().__init__(*args, **kwargs)

    def _get_async(self, queue: str, count: int = 1, callback: Any = None) -> Any:
        turns = self._turns_of(queue)
        if turns is None:
            return super()._get_async(queue, count, callback=callback)
        address, wait = turns.next()
        # As stock does, but for the address and the wait.
        return self.asynsqs(queue=queue).receive_message(
            queue, address, number_messages=count, wait_time_seconds=wait,
            callback=transform(self._on_messages_ready, callback, address, queue),
        )  # fmt: skip

    def _on_messages_ready(self, url: str, queue: str, messages: Any) -> int:
        fetched: int = super()._on_messages_ready(url, queue, messages)
        turns = self._turns_of(queue)
        if turns is not None:
            turns.saw(url, fetched)
        return fetched

    def _turns_of(self, queue: str) -> Turns | None:
        other = self.transport_options.get("urgent", {}).get(queue)
        if other and queue not in self._turns:
            resolve = self._resolve_queue_url
            self._turns[queue] = Turns(resolve(other), resolve(queue), self.wait_time_seconds)
        return self._turns.get(queue)
