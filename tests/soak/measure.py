"""`python -m tests.soak.measure`: how long recovery takes with the product's own timers, nothing shortened.

Three times each (MEASURE_TIMES): kill -9 of a worker, SIGTERM of a worker, kill -9 of ffmpeg; the seconds from
the blow to the claim of the next attempt. Only the encoder is a stand-in.
"""

# ruff: noqa: T201  it is a command: people read what it prints

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.farm import until
from tests.faults.scene import Scene
from tests.soak.farm import SoakFarm
from transcode.clock import seconds

# Seconds within which each must be over, far beyond what is promised.
_PATIENCE = 300.0


def kill_worker(scene: Scene, task: str, _: psutil.Process) -> None:
    """As when a machine loses its power."""
    scene.farm.kill(scene.holder(task))


def stop_worker(scene: Scene, task: str, _: psutil.Process) -> None:
    """As when a spot instance is taken back."""
    scene.farm.children[scene.holder(task)].send_signal(signal.SIGTERM)


def kill_ffmpeg(_: Scene, __: str, encoder: psutil.Process) -> None:
    """As when the kernel runs out of memory."""
    encoder.kill()


# What is done, and within how many seconds the next attempt must run: issue and notes say so.
BLOWS: dict[str, tuple[Callable[[Scene, str, psutil.Process], None], float]] = {
    "kill -9 of a worker": (kill_worker, 120.0),
    "SIGTERM of a worker": (stop_worker, 15.0),
    "kill -9 of ffmpeg": (kill_ffmpeg, 60.0),
}


def once(scene: Scene, blow: Callable[[Scene, str, psutil.Process], None]) -> float:
    """Seconds from the blow to the next attempt."""
    scene.revive()
    task, encoder = scene.held()
    struck = time.time()
    blow(scene, task, encoder)
    until(lambda: scene.read(task).epoch > 1, "the next attempt", _PATIENCE)
    found = seconds(scene.read(task).started_at) - struck
    scene.farm.over(task, _PATIENCE)
    return found


def main() -> int:
    """Measure all; exit code 1 when one took longer than it may."""
    times, late = int(os.environ.get("MEASURE_TIMES", "3")), 0
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, SoakFarm(Path(folder), 0, short=False) as farm:
        scene = Scene(farm)
        for name, (blow, limit) in BLOWS.items():
            found = sorted(once(scene, blow) for _ in range(times))
            late += found[-1] > limit
            shown = ", ".join(f"{s:.1f}" for s in found)
            print(f"{name}: {shown} s until the next attempt (at most {limit:.0f} wanted)", flush=True)
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
