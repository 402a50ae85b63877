"""One farm for all flow tests that only need a healthy one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clips import make
from tests.farm import Farm


@pytest.fixture(scope="session")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with Farm(tmp_path_factory.mktemp("farm")) as farm:
        for name in ("api", "bridge", "worker"):
            farm.start(name)
        farm.ready()
        yield farm


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of moving picture with sound."""
    return make(tmp_path_factory.mktemp("clip") / "clip.mp4")
