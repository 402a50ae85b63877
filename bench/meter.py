"""Wall time and processor time of commands, and of the processes of a farm."""

import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

# Of this machine.
CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Cost:
    """Seconds: on the clock, and of all processors together."""

    wall: float
    cpu: float


def of_commands(lines: Iterable[Sequence[str]], folder: Path) -> Cost:
    """What commands cost that run one after the other, as in a shell script."""

    def run() -> None:
        for line in lines:
            subprocess.run(line, check=True, cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)

    return measured(run, _of_children)


def measured(act: Callable[[], object], processor: Callable[[], float]) -> Cost:
    """What something costs, by a meter of processor seconds."""
    began, used = time.monotonic(), processor()
    act()
    return Cost(time.monotonic() - began, processor() - used)


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def of_trees(pids: Iterable[int]) -> float:
    """Processor seconds of these processes, of all below them, and of all that these have ended."""
    roots = [psutil.Process(pid) for pid in pids]
    found = [one for root in roots for one in (root, *root.children(recursive=True))]
    return sum(sum(one.cpu_times()[:4]) for one in found)
