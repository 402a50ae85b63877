"""`python -m tests.soak`: rounds until all tasks are done, then what was injected and what was seen.

SOAK_TASKS (300), SOAK_SEED (1), SOAK_ROUND (150 tasks a round: moto slows with size), SOAK_ENCODER (stand-in;
ffmpeg: the real one, on small films). Exit code 1 when any promise was broken, with the seed and the story.
"""

# ruff: noqa: T201  it is a command: people read what it prints

import os
import signal
import sys
from collections import Counter

from tests.soak.rounds import Verdict, play

# What is printed, and of which counter of the verdicts.
_TABLES = (
    ("Injected", "injected"), ("Asked for", "did"), ("Seen", "seen"), ("Left behind", "left"),
    ("Calls of AWS", "calls"),
)  # fmt: skip


def main() -> int:
    """Play all rounds."""
    # Ended like this, it takes its farm along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    tasks, seed = int(os.environ.get("SOAK_TASKS", "300")), int(os.environ.get("SOAK_SEED", "1"))
    size = int(os.environ.get("SOAK_ROUND", "150"))
    real = os.environ.get("SOAK_ENCODER", "stand-in") == "ffmpeg"
    encoder = "ffmpeg is the real one" if real else "A stand-in encoder replaces ffmpeg"
    print(f"Soak of {tasks} tasks from seed {seed}. {encoder}; timers are shortened.", flush=True)
    verdicts: list[Verdict] = []
    while tasks > 0:
        verdicts.append(play(seed + len(verdicts), min(size, tasks), real=real))
        tasks -= size
        _tell(verdicts[-1])
    return _sum_up(verdicts)


def _tell(verdict: Verdict) -> None:
    ends = ", ".join(f"{n} {kind}" for kind, n in sorted(verdict.seen.items()) if kind.startswith("became"))
    print(
        f"seed {verdict.seed}: {verdict.tasks} tasks in {verdict.seconds:.0f} s, quiet {verdict.settled:.0f} s after "
        f"the faults; {ends}; {len(verdict.violations)} violations",
        flush=True,
    )
    for violation in verdict.violations:
        print(f"VIOLATION (seed {verdict.seed}) task {violation.task or '-'}: {violation.text}")
    for task, story in verdict.stories.items():
        print(f"Story of {task}:", *story, sep="\n")
    sys.stdout.flush()


def _sum_up(verdicts: list[Verdict]) -> int:
    for title, kind in _TABLES:
        total: Counter[str] = sum((getattr(v, kind) for v in verdicts), Counter())
        print(f"\n{title}:", *(f"{n:7} {what}" for what, n in sorted(total.items()) if "/" not in what), sep="\n")
    broken = [v for verdict in verdicts for v in verdict.violations]
    words = {"lost": "not there", "doubled": "twice", "partial": "half written", "stuck": "for good"}
    counts = ", ".join(f"{name} {sum(word in v.text for v in broken)}" for name, word in words.items())
    print(f"\n{sum(v.tasks for v in verdicts)} tasks, {sum(v.seconds for v in verdicts):.0f} s: {counts}.")
    print(f"{len(broken)} violations." if broken else "No violation.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
