"""The table beside this file: every row of the list, and every test that it names."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = Path(__file__).with_name("README.md").read_text()
FILES = dict((short, ROOT / path) for path, short in re.findall(r"^\| (tests/\S+) \| (\S+) \|$", TEXT, re.M))
# How many rows each letter of the list has.
LIST = {"A": 34, "S": 13, "Q": 2, "V": 25, "P": 8, "C": 16}


def test_every_test_that_the_table_names_exists() -> None:
    named = re.findall(r"([\w-]+)::(test_\w+)", TEXT)
    assert len(named) > 80
    assert [pair for pair in named if f"def {pair[1]}(" not in FILES[pair[0]].read_text()] == []


def test_no_row_of_the_list_is_left_out() -> None:
    told = set()
    for cell in re.findall(r"^\| ([ASQVPC]\d\d[^|]*) \|", TEXT, re.M):
        for letter, first, last in re.findall(r"([A-Z])(\d\d)(?:–[A-Z](\d\d))?", cell):
            told |= {f"{letter}{number:02}" for number in range(int(first), int(last or first) + 1)}
    assert told == {f"{letter}{number:02}" for letter, most in LIST.items() for number in range(1, most + 1)}
