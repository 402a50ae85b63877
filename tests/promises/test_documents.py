"""What README, its Chinese sister and the example configuration promise is true."""

import re
from pathlib import Path

import pytest

from transcode.settings import Settings

ROOT = Path(__file__).parents[2]
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
EXAMPLE = (ROOT / "config.example.env").read_text()


def names(text: str) -> set[str]:
    return set(re.findall(r"^#?([A-Z][A-Z_]+)=", text, re.M))


def test_the_example_documents_every_setting_and_no_other() -> None:
    assert names(EXAMPLE) == {name.upper() for name in Settings.model_fields}


def test_the_examples_values_are_the_defaults() -> None:
    for name, value in re.findall(r"^([A-Z_]+)=(.+)$", EXAMPLE, re.M):
        field = Settings.model_fields[name.lower()]
        if not field.is_required() and name != "EVENT_QUEUE_URL":
            default = field.default
            wanted = ",".join(default) if isinstance(default, tuple) else str(default)
            assert value in (wanted, f"{wanted.removesuffix('.0')}s"), name


def test_the_example_is_a_configuration_that_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    (tmp_path / "config.env").write_text(EXAMPLE)
    monkeypatch.chdir(tmp_path)
    assert Settings().input_bucket == ("my-input-bucket",)


@pytest.mark.parametrize("readme", READMES, ids=lambda p: p.name)
def test_every_place_that_a_readme_names_exists(readme: Path) -> None:
    text = readme.read_text()
    rows = re.findall(r"^\| [^|]+ \| `([^`]+)` \|$", text, re.M)
    assert len(rows) >= 12
    for place in rows:
        path = place.replace("<first segment of the URL>", "queue").replace("<URL 的第一段>", "queue")
        assert (ROOT / path).exists(), place


@pytest.mark.parametrize("readme", READMES, ids=lambda p: p.name)
def test_every_make_target_that_a_readme_names_exists(readme: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:\$ |`)make ([a-z-]+)", readme.read_text()))
    assert {"demo", "test", "build", "start-all", "stop-all", "status", "logs"} <= named
    assert named <= targets


def test_both_readmes_have_the_same_parts() -> None:
    counts = [(len(re.findall(r"^## ", p.read_text(), re.M)), p.read_text().count("```")) for p in READMES]
    assert counts[0] == counts[1]


def test_every_target_of_the_makefile_says_what_it_does() -> None:
    text = (ROOT / "Makefile").read_text()
    declared = set(re.findall(r"\.PHONY: (.+)", text)[0].split())
    described = set(re.findall(r"^([a-z-]+):.*## ", text, re.M))
    assert declared == described
