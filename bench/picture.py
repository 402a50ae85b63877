"""One picture of all results: a bar per ratio, a line where it should end."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

# Inches of a bar with its name.
_ROW = 0.28
_MET, _MISSED, _TOLD = "#2f7d4f", "#b3402a", "#7a8794"


def draw(folder: Path) -> Path:
    """Draw what lies in the folder as JSON into `ratios.svg`."""
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    rows = [(f"{told['bench']}: {ratio['what']}", ratio) for told in results for ratio in told["ratios"]]
    figure = Figure(figsize=(11, 1 + _ROW * len(rows)), layout="constrained")
    axes: Any = figure.subplots()
    for place, (_, ratio) in enumerate(rows):
        _bar(axes, place, ratio)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("ratio; the mark is what is wanted")
    path = folder / "ratios.svg"
    figure.savefig(path)
    return path


def _bar(axes: Any, place: int, ratio: dict[str, Any]) -> None:
    wanted = ratio["at_most"] if ratio["at_most"] is not None else ratio["at_least"]
    colour = _TOLD if wanted is None else _MET if ratio["met"] else _MISSED
    axes.barh(place, ratio["value"], color=colour, height=0.65)
    axes.text(ratio["value"], place, f" {ratio['value']:.2f}", va="center", fontsize=8)
    if wanted is not None:
        axes.plot([wanted, wanted], [place - 0.45, place + 0.45], color="black", linewidth=1.5)
