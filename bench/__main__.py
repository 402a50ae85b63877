"""`python -m bench [NAME ...] [--rounds N] [--out FOLDER]`: measure, tell, keep as JSON, draw.

Exit code 1 where a ratio is not as wanted. Results of earlier runs stay in the folder and are drawn too, so that
benches can be run one by one.
"""

import argparse
import importlib
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import machine
from bench.verdict import Found, Unmeasured

# In the order in which they run, with their rounds: what is quick and noisy is measured more often.
BENCHES = {
    "submission": 200,
    "scale": 100,
    "memory": 1,
    "small": 3,
    "pipeline": 1,
    "ladder": 2,
    "quality": 1,
    "cost": 1,
}


def run(name: str, rounds: int, out: Path, console: Console) -> bool:
    """Run one bench and keep what it found; whether all is as wanted."""
    console.rule(name)
    began = time.monotonic()
    try:
        found: Found = importlib.import_module(f"bench.{name}").measure(rounds)
    except Unmeasured as reason:
        console.print(f"Not measured: {reason}")
        return True
    told: dict[str, Any] = {
        "bench": name, "rounds": rounds, "seconds": round(time.monotonic() - began), "machine": machine.facts(),
        "ratios": [ratio.told() for ratio in found.ratios], "tables": found.tables, "details": found.details,
    }  # fmt: skip
    (out / f"{name}.json").write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    show(told, console)
    return all(ratio.met for ratio in found.ratios)


def show(told: dict[str, Any], console: Console) -> None:
    """The result for people."""
    table = Table("what", "ratio", "wanted", title=f"{told['bench']}: {told['seconds']} s, {told['rounds']} rounds")
    for ratio in told["ratios"]:
        table.add_row(ratio["what"], f"{ratio['value']:.3g}", ratio["wanted"], style=None if ratio["met"] else "red")
    console.print(table)
    for title, rows in told["tables"].items():
        drawn = Table(*rows[0], title=title)
        for row in rows:
            drawn.add_row(*(str(value) for value in row.values()))
        console.print(drawn)


def main() -> int:
    """Run what is named, or all."""
    wants = argparse.ArgumentParser(prog="python -m bench", description="Measure, side by side.")
    wants.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; none: all")
    wants.add_argument("--rounds", type=int, help="instead of each bench's own number")
    wants.add_argument("--out", type=Path, default=Path("bench-results"), help="where results go")
    given = wants.parse_args()
    # Else what a bench has started would outlive it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if unknown := sorted(set(given.names) - set(BENCHES)):
        wants.error(f"there is no bench {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    given.out.mkdir(parents=True, exist_ok=True)
    console = Console()
    names = given.names or list(BENCHES)
    met = [run(name, given.rounds or BENCHES[name], given.out, console) for name in names]
    from bench import picture

    console.print(f"Results and picture: {picture.draw(given.out)}")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
