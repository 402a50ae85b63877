"""Which messages this worker holds: one list per process, because a running task outlives a connection.

Only here is decided what is given back when a channel closes.
"""

# ruff: noqa: ARG002  kombu decides the signatures

import os
from collections import OrderedDict
from typing import Any, ClassVar

from celery.worker import state
from kombu.transport import SQS

from transcode import logs

log = logs.get(__name__)


class Held(SQS.QoS):
    """The messages that are held, and how many more may be. Shared by all channels of the process."""

    messages: ClassVar[OrderedDict[str, Any]] = OrderedDict()
    done: ClassVar[set[str]] = set()

    def __init__(self, channel: Any, prefetch_count: int = 0) -> None:
        super().__init__(channel, prefetch_count)
        # Stock counts per channel: after a reconnect the running tasks no longer count, and the
        # worker takes twice as many. Until a release whose count survives a reconnect.
        self._delivered, self._dirty = self.messages, self.done
        self._quick_append, self._quick_ack = self.messages.__setitem__, self._let_go

    def _let_go(self, tag: str) -> None:
        self.done.add(tag)
        self.channel.slot_freed()

    @property
    def holds_any(self) -> bool:
        """Whether any message is held that is not done with."""
        return len(self.messages) > len(self.done)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Give back what nobody in this process works on; called when a channel closes.

        Stock gives back everything at a reconnect, running tasks too, so that they run twice; what it
        cannot give back it dumps into a file of the temporary folder. Until a release that asks what runs.
        """
        self._on_collect.cancel()
        self._flush()
        running = _running()
        for tag, message in list(self.messages.items()):
            if message.headers.get("id") in running or self._belongs_elsewhere(message):
                continue
            self.messages.pop(tag, None)
            # Nobody works on it and this worker takes no more: another one should see it at once.
            message.channel.give_back(message, seconds=0)

    def _belongs_elsewhere(self, message: Any) -> bool:
        return message.channel is not self.channel and not message.channel.closed


def _running() -> set[str]:
    """The Celery ids of running tasks; none in a cold shutdown, which has killed them."""
    if state.should_terminate is not None:
        return set()
    return {request.id for request in state.active_requests}


def _forget() -> None:
    Held.messages.clear()
    Held.done.clear()


# A pool process inherits the list by fork, but holds nothing: it must never give a message back.
os.register_at_fork(after_in_child=_forget)
