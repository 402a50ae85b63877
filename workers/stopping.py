"""Tells the pool processes of a node that it stops.

Celery's warm shutdown waits for running tasks, which may take hours; a spot instance has two minutes. The
main process sets a byte that its forked children share; their tasks hand themselves back and end. A plain
byte, because a lock could be held for ever by a child that was killed.
"""

import mmap

# Anonymous shared memory, made before the pool forks.
_flag = mmap.mmap(-1, 1)


def ask() -> None:
    """Called in the main process: running tasks are handed back."""
    _flag[0] = 1


def wanted() -> bool:
    """Whether this node hands its tasks back."""
    return _flag[0] == 1
