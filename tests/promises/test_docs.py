"""What the documentation says is so: settings, commands, codes, links, examples; and both languages say the same."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.main import get_command

from cli.main import app
from docs.build import pages
from tests.promises.metrics import known_metrics
from transcode import callback, errors, presets, targets
from transcode.settings import Settings
from transcode.states import Status
from transcode.task import made
from webapp.api.adding import AddIn

ROOT = Path(__file__).parents[2]
ENGLISH = sorted(path for path in (ROOT / "docs").glob("*.md") if "zh-CN" not in path.name)
DOCS = [*ENGLISH, *(path.with_suffix(".zh-CN.md") for path in ENGLISH)]
# Written in capitals and no settings of ours.
OTHERS = {
    "NVIDIA_DRIVER_CAPABILITIES", "DEBUG", "INFO", "WARNING", "ERROR",
}  # fmt: skip
each = pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)


def blocks(path: Path, language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.M | re.S)


def anchors(path: Path) -> set[str]:
    """The places that a link may lead to: headings, as GitHub names them, and marks."""
    text = path.read_text()
    slugs = {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in re.findall(r"^#+ (.+)$", text, re.M)}
    return slugs | set(re.findall(r'<a id="([\w-]+)">', text))


@pytest.mark.parametrize("path", ENGLISH, ids=lambda path: path.name)
def test_both_languages_have_the_same_parts_and_examples(path: Path) -> None:
    chinese = path.with_suffix(".zh-CN.md")
    shapes = []
    for one in (path, chinese):
        text = one.read_text()
        codes = [re.sub(r"\s*#.*$", "", line) for line in "".join(blocks(one, "console")).splitlines()]
        rows = re.findall(r"^\| (`[^|]+`) \|", text, re.M)
        shapes.append(
            (len(re.findall(r"^##+ ", text, re.M)), text.count("```"), codes, rows and [r[:12] for r in rows])
        )
    english, translated = shapes
    assert english[:3] == translated[:3]
    assert len(english[3]) == len(translated[3])


@each
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@each
def test_every_setting_that_is_named_exists(path: Path) -> None:
    text = path.read_text()
    inline = set(re.findall(r"`([A-Z][A-Z_]{2,})(?:=[^`]*)?`", text))
    lines = set(re.findall(r"^([A-Z][A-Z_]+)=", "".join(blocks(path, "ini")), re.M))
    known = {name.upper() for name in Settings.model_fields}
    assert (inline | lines) - known - OTHERS == set()


def calls(path: Path) -> Iterator[list[str]]:
    """Every call of `transcode` in a document, its words."""
    text = path.read_text()
    shown = re.findall(r"(?:^\$ (?:\.venv/bin/)?|exec \w+ |\.venv/bin/)transcode ([^#\n]+)", text, re.M)
    inline = re.findall(r"`(?:\.venv/bin/)?transcode\s([^`]+)`", text)
    yield from (words.split() for words in (*shown, *inline))


@each
def test_every_command_that_is_shown_exists(path: Path) -> None:
    commands: Any = get_command(app)
    for words in calls(path):
        command = commands.commands.get(words[0])
        assert command, words
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= options | {"--help"}, words


@each
def test_every_make_target_and_file_that_is_named_exists(path: Path) -> None:
    text = path.read_text()
    targets_ = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:\$ |`)make ([a-z-]+)", text)) <= targets_
    for name in re.findall(r"(?<![\w/.])((?:deploy|transcode|webapp|docs)/[\w./-]+\.(?:md|ya?ml|json|toml|py))", text):
        assert (ROOT / name).exists(), name


@each
def test_every_metric_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"\btranscode_[a-z_]+", path.read_text())) - {"transcode_types"}
    families = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in known_metrics()}
    assert named <= known_metrics() | families


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_the_configuration_reference_is_what_the_program_reads(path: Path) -> None:
    assert path.read_text() == pages()[path], "run: python -m docs.build"


def codes() -> set[str]:
    """Every code that a task or an answer may have."""
    kinds = (kind for kind in vars(errors).values() if isinstance(kind, type))
    found = {kind.code for kind in kinds if issubclass(kind, errors.TranscodeError)}
    for path in (ROOT / "webapp").rglob("*.py"):
        text = path.read_text()
        found |= set(re.findall(r'Problem\(\s*(?:\d+|status|error\.status_code),\s*"(\w+)"', text))
        found |= set(re.findall(r'_refused\("(\w+)"', text))
    return found | set(re.findall(r'^    \d{3}: \("(\w+)"', (ROOT / "webapp" / "errors.py").read_text(), re.M))


@pytest.mark.parametrize("name", ["troubleshooting.md", "troubleshooting.zh-CN.md"])
def test_every_error_code_has_its_cause_and_cure(name: str) -> None:
    text = (ROOT / "docs" / name).read_text()
    section = text.split('<a id="error-codes">' if "zh" in name else "## Error codes")[1]
    rows = [re.findall(r"`(\w+)`", row) for row in re.findall(r"^\| ((?:`\w+`[、, ]*)+) \|", section, re.M)]
    told = [code for row in rows for code in row]
    assert sorted(told) == sorted(set(told))
    assert set(told) == codes()


@each
def test_the_examples_of_requests_are_what_the_api_takes(path: Path) -> None:
    bodies = re.findall(r"-d '(\{.*?\})'", path.read_text(), re.S)
    assert bool(bodies) == path.name.startswith("api")
    for body in bodies:
        AddIn.model_validate(json.loads(body))


@each
def test_the_examples_are_json_and_presets(path: Path, tmp_path: Path) -> None:
    for text in blocks(path, "json"):
        json.loads(text)
    for text in blocks(path, "toml"):
        tomllib.loads(text)
        (tmp_path / "own.toml").write_text(text)
        assert "web_720p" in presets.load(tmp_path / "own.toml").names


@pytest.mark.parametrize("name", ["callbacks.md", "callbacks.zh-CN.md"])
def test_the_example_verifies_what_is_sent(name: str, tmp_path: Path) -> None:
    (code,) = blocks(ROOT / "docs" / name, "python")
    found: dict[str, Any] = {}
    exec(compile(code, name, "exec"), found)
    old, new = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "plain-words-of-more-than-16-bytes"
    secrets = [SecretStr(f"orders={secret}") for secret in (new, old)]
    target = targets.read(["orders=https://orders.example.com/hook"], secrets)["orders"]
    now = found["time"].time()
    task = made("a-task", now, input_bucket="b", input_key="k", output_bucket="o", transcode_types=("thumbnail",))
    body = callback.body(task.model_copy(update={"status": Status.COMPLETED}))
    headers = {name.lower(): value for name, value in callback.headers(target, task, body, now).items()}
    for secret in (old, new):
        assert found["verify"](secret, headers, body)
    assert not found["verify"]("whsec_" + "QUJDREVGR0hJSktMTU5PUFFS", headers, body)
    assert not found["verify"](old, headers, body + b" ")
    late = callback.headers(target, task, body, now - 600)
    assert not found["verify"](old, {name.lower(): value for name, value in late.items()}, body)
