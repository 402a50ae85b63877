"""What a fleet tells of itself."""

import os
from pathlib import Path

import pytest

from workers import roster
from workers.roster import Roster, Stage, Standing

CARD = Standing("GPU-1", 0, "Tesla T4", "gpu0", Stage.ASIDE, "2025-01-15T09:00:00.000000Z", "坏了 twice")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    told = Roster("here", os.getpid(), cpu=True, cards=(CARD,))
    told.write(tmp_path / "scratch")
    assert roster.read(tmp_path / "scratch") == told
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == ["fleet.json"]


def test_nothing_is_told_where_no_fleet_runs(tmp_path: Path) -> None:
    assert roster.read(tmp_path) is None
    # Linux gives no pid beyond 2 ** 22.
    Roster("here", 2**22 + 1, cpu=False).write(tmp_path)
    assert roster.read(tmp_path) is None
    roster.remove(tmp_path)
    roster.remove(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cards": [{"stage": "flying"}]}', '{"cards": 3}'])
def test_what_another_version_wrote_is_no_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "fleet.json").write_text(text)
    assert roster.read(tmp_path) is None


def test_a_disk_that_takes_nothing_stops_no_fleet(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    Roster("here", 1, cpu=False).write(tmp_path / "file")
    roster.remove(tmp_path / "file")
