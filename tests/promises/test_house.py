"""What DESIGN and README promise about the code itself."""

import ast
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("transcode", "workers", "webapp", "cli")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def functions(path: Path) -> list[tuple[str, int]]:
    """Name and lines of each function, its docstring left out."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if ast.get_docstring(node) is not None:
                lines -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
            found.append((node.name, lines))
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_is_one_idea_and_says_which(path: Path) -> None:
    text = path.read_text()
    code = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(code) <= 250
    assert ast.get_docstring(ast.parse(text)), "a module docstring says what is here"
    assert [f for f in functions(path) if f[1] > 40] == []


def test_functions_are_short() -> None:
    sizes = sorted(lines for path in MODULES for _, lines in functions(path))
    assert statistics.median(sizes) <= 8
    assert sizes[int(len(sizes) * 0.9)] <= 25


def test_no_room_has_a_name_that_says_nothing() -> None:
    empty = re.compile(r"(^|_)(utils?|common|helpers?|core|misc|manager|service)(_|$)")
    assert [path for path in MODULES if empty.search(path.stem)] == []
    classes = [c for path in MODULES for c in re.findall(r"^class (\w+)", path.read_text(), re.M)]
    assert [c for c in classes if re.search(r"(Manager|Service|Helper)$", c)] == []


def test_imports_go_one_way() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_nothing_is_left_undone() -> None:
    marks = re.compile("TO" + "DO|FIX" + "ME|XX" + "X|Not" + "ImplementedError")
    assert [path for path in MODULES if marks.search(path.read_text())] == []


def test_no_lock_file_names_an_address() -> None:
    for path in ROOT.glob("requirements*.lock"):
        assert not re.search(r"https?://|file:", path.read_text())
