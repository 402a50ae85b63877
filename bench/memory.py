"""Whether worker, bridge and API keep their size: memory after 100 tasks against that after each thousand, in MB.

Real uploads of a small clip, real processes, a real ffmpeg for each task; the API is asked for the list and the
statistics all the while. What counts is the proportional share of anonymous memory (PSS) of each process with its
children, when nothing runs: pages that they have in common count once, and those of program files not at all, as their
share falls with every other Python on the machine. moto, which keeps everything, is no part of it.
"""

import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from bench.verdict import Found, Ratio
from tests.farm import Farm, until
from transcode.ffmpeg.binaries import at_hand

# What is wanted: at most this many times what it was after the first hundred tasks.
WANTED = 1.1
# Tasks after which it is looked at first: by then everything has been used that is loaded with its first use.
FIRST, THOUSAND = 100, 1000
# Uploads at once: moto's answers are as slow as its queues are long.
BATCH = 25
# Seconds between questions to the API, for which a batch may take, and that pass before processes are weighed.
PAUSE, PATIENCE, REST = 1.0, 300.0, 5.0
# Times that processes are weighed, a second apart.
LOOKS = 5
PROCESSES = ("worker", "bridge", "api")


def make(path: Path) -> Path:
    """A second of moving picture, 160x90."""
    line = [str(at_hand().ffmpeg), "-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=size=160x90:duration=1"]
    subprocess.run([*line, "-pix_fmt", "yuv420p", str(path)], check=True)
    return path


def weight(pid: int) -> float:
    """Megabytes of a process and its children."""
    process = psutil.Process(pid)
    return sum(anonymous(one.pid) for one in (process, *process.children(recursive=True)))


def anonymous(pid: int) -> float:
    """Megabytes that a process has filled itself, what it shares divided by those who share it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon")) * 1024 / 1e6


def weigh(farm: Farm) -> dict[str, float]:
    """Megabytes of each process, when it rests."""
    time.sleep(REST)
    found: dict[str, list[float]] = {name: [] for name in PROCESSES}
    for _ in range(LOOKS):
        for name in PROCESSES:
            found[name].append(weight(farm.children[name].pid))
        time.sleep(1)
    return {name: statistics.median(some) for name, some in found.items()}


class Work:
    """Tasks, one batch after the other, with somebody who looks on."""

    def __init__(self, farm: Farm, clip: Path) -> None:
        self._farm, self._clip, self.done = farm, clip, 0

    def until(self, count: int) -> None:
        """Go on until so many tasks are over."""
        while self.done < count:
            self.upload()
            until(self._over, f"{self.done} tasks over", PATIENCE)

    def upload(self) -> None:
        """One batch more."""
        for number in range(self.done, self.done + BATCH):
            self._farm.upload(self._clip, f"{number}.mp4")
        self.done += BATCH

    def _over(self) -> bool:
        time.sleep(PAUSE)
        self._farm.get("/api/stats")
        self._farm.get("/api/tasks")
        log = self._farm.log_path("worker").read_bytes()
        if b"Task failed" in log:
            raise RuntimeError(f"A task failed: {log[-2000:].decode()}")
        return log.count(b"Task completed") >= self.done


def measure(rounds: int) -> Found:
    """So many thousand tasks."""
    wants = {"DEFAULT_TRANSCODE_TYPES": "thumbnail", "MAX_CONCURRENT_TASKS": "2", "RATE_LIMIT": "none"}
    with tempfile.TemporaryDirectory() as folder, Farm(Path(folder), **wants) as farm:
        work = Work(farm, make(Path(folder) / "clip.mp4"))
        # Before the bridge runs, so that it gets ten events at once and uses all its connections from the beginning.
        work.upload()
        for name in PROCESSES:
            farm.start(name)
        farm.ready()
        seen = {}
        for count in (FIRST, *(THOUSAND * (n + 1) for n in range(rounds))):
            work.until(count)
            seen[count] = weigh(farm)
    rows = [{"tasks": count} | {f"{name}, MB": round(mb, 1) for name, mb in one.items()} for count, one in seen.items()]
    first, last = seen[FIRST], seen[max(seen)]
    what = f"{max(seen):,} tasks to {FIRST}"
    return Found([Ratio(f"{name}, {what}", last[name] / first[name], WANTED) for name in PROCESSES], {"memory": rows})
