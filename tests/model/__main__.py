"""`python -m tests.model 200`: run seeds and say what was injected and what broke.

python -m tests.model 200 --mutation no_fence      with a guard taken out: the oracle must notice
python -m tests.model 200 --without own_folder_only  without the mend of a fault that was found
python -m tests.model --seed 17 --story 40         one seed, with its last 40 lines
"""

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from rich.console import Console
from rich.table import Table

from tests.model.chances import CALM, USUAL
from tests.model.mutations import MUTATIONS
from tests.model.play import Outcome, play


def outcomes(seeds: Iterable[int], one: Callable[[int], Outcome], jobs: int) -> list[Outcome]:
    """Run many seeds on several cores, in order."""
    with ProcessPoolExecutor(jobs) as pool:
        return list(pool.map(one, seeds, chunksize=8))


def main() -> int:
    """Run what the command line asks for; 1 when an invariant broke."""
    asked = _arguments()
    one = partial(play, mutations=tuple(asked.mutation), chances=CALM if asked.calm else USUAL)
    console = Console(highlight=False)
    if asked.seed is not None:
        found = one(asked.seed, tell=True)
        console.print("\n".join(found.story[-asked.story :]), markup=False, soft_wrap=True)
        return _report(console, [found], 0.0)
    began = time.monotonic()
    found_all = outcomes(range(asked.runs), one, asked.jobs)
    return _report(console, found_all, time.monotonic() - began)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description="The protocol under seeded faults.")
    parser.add_argument("runs", type=int, nargs="?", default=100, help="seeds, from 0")
    parser.add_argument("--seed", type=int, help="only this one, with its story")
    parser.add_argument("--story", type=int, default=60, help="lines of the story to show")
    parser.add_argument(
        "--mutation", action="append", default=[], choices=sorted(MUTATIONS), help="a guard to take out"
    )
    parser.add_argument("--calm", action="store_true", help="no faults")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    return parser.parse_args()


def _report(console: Console, found: list[Outcome], seconds: float) -> int:
    stats: Counter[str] = sum((o.stats for o in found), Counter())
    table = Table("what", "times", title="Injected and seen")
    for name, times in sorted(stats.items()):
        table.add_row(name, f"{times:,}")
    console.print(table)
    settled = sorted(o.settled for o in found if not o.violation) or [0.0]
    console.print(
        f"{len(found)} runs, {sum(o.tasks for o in found):,} tasks, {sum(o.writes for o in found):,} writes in "
        f"{seconds:.0f} s. Simulated seconds from the last fault to the last end: median "
        f"{settled[len(settled) // 2]:.0f}, 99 % {settled[int(len(settled) * 0.99)]:.0f}, most {settled[-1]:.0f}."
    )
    return _violations(console, found)


def _violations(console: Console, found: list[Outcome]) -> int:
    broken = [o for o in found if o.violation]
    if not broken:
        console.print("No invariant broke.")
        return 0
    table = Table("invariant", "runs", "first seeds", title=f"{len(broken)} runs with a violation")
    for text, times in Counter(o.violation for o in broken).most_common():
        seeds = ", ".join(str(o.seed) for o in broken if o.violation == text)
        table.add_row(text, str(times), seeds[:40])
    console.print(table)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
