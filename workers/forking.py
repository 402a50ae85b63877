"""Threads of a node's main process beside a pool that forks: what they hold must not be held in a child for ever."""

import os
import threading
from types import TracebackType

# Seconds that a fork waits for what a thread does to be over; a telling takes a tenth.
_FORK_WAITS = 2.0


class ForkPause:
    """Use as a context in which no process is forked, so that none inherits a lock for ever.

    The pool forks anew when a child died, and NVML, the credentials and the connections have locks that this
    thread may hold just then. What hangs holds a fork up for a moment only.
    """

    def __init__(self) -> None:
        self._lock, self._forker = threading.Lock(), 0
        os.register_at_fork(before=self._wait, after_in_parent=self._go_on, after_in_child=self._forget)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._lock.release()

    def _wait(self) -> None:
        if self._lock.acquire(timeout=_FORK_WAITS):
            self._forker = threading.get_ident()

    def _go_on(self) -> None:
        if self._forker == threading.get_ident():
            self._forker = 0
            self._lock.release()

    def _forget(self) -> None:
        # A child tells nothing; its own forks must not wait for a thread that it does not have.
        self._lock, self._forker = threading.Lock(), 0
