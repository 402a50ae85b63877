"""One farm for the directed fault tests: the soak's, with its short timers and stand-in encoder, and no dice."""

from collections.abc import Iterator

import pytest

from tests.aws_server import aws, faults  # noqa: F401  fixtures
from tests.faults.scene import Scene
from tests.soak.farm import SoakFarm


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with SoakFarm(tmp_path_factory.mktemp("faults"), seed=0) as farm:
        scene = Scene(farm)
        scene.revive()
        yield scene


@pytest.fixture
def scene(stage: Scene) -> Iterator[Scene]:
    """The farm with everything running; whatever a test has broken is whole again afterwards."""
    stage.revive()
    yield stage
    stage.proxy.clear()
    broken, stage.farm.history.violations = stage.farm.history.violations, []
    assert not broken
