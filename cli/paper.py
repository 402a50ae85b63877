"""What the commands print, and only here: for people as lines and tables, for programs as the API's JSON.

Keys and words of strangers stand in it. Whatever a terminal would obey or hide is written as an escape, and rich
never reads markup in it.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

# Columns of a table that goes into a file or a pipe: nothing is cut there. A key has at most 1,024 characters.
_UNCUT = 4096


def visible(text: object) -> str:
    """The text on one line, with control characters and invisible ones as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def shown(text: object, style: str = "") -> Text:
    """The same for rich, which reads nothing into it."""
    return Text(visible(text), style)


def note(text: object) -> None:
    """A line beside the answer: what went wrong, or where it goes on. On stderr."""
    print(visible(text), file=sys.stderr)


def emit(body: Any, *, indent: int | None = 2) -> None:
    """An answer for programs. Letters of all languages stay readable, what is invisible is escaped."""
    text = json.dumps(body, ensure_ascii=False, indent=indent)
    print("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text), flush=True)


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; on a terminal its last column is cut to the width."""
    told = [[visible(cell) for cell in row] for row in rows]
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for place, title in enumerate(titles):
        width = max(len(title), *(len(row[place]) for row in told)) if told else len(title)
        last = place == len(titles) - 1
        # What may wrap is made narrow first; its text does not wrap.
        grid.add_column(title, no_wrap=not last, min_width=None if last else width)
    for row in told:
        grid.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in row))
    console = Console(width=None if sys.stdout.isatty() else _UNCUT)
    with console.capture() as captured:
        console.print(grid)
    print(*(line.rstrip() for line in captured.get().splitlines()), sep="\n")


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """What is known of one thing, a line each: a name and its value. What is not known is left out."""
    for name, value in pairs:
        if value not in (None, ""):
            print(f"{name:10}  {visible(value)}")


def moment(stamp: str | None) -> str:
    """A time in UTC as people read it, to the second."""
    return stamp[:19].replace("T", " ") if stamp else ""
