"""A simulated GPU, built once per session. Where it cannot be built, its tests are skipped and say why."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT.parent / "shared" / "gpu_sim"
# Seconds; the build takes five on an idle machine.
_PATIENCE = 240


@dataclass(frozen=True)
class GpuSim:
    """One test's simulated machine: its cards and what they did.

    Settings are the simulator's, without GPUSIM_ and in small letters; its README explains them.
    """

    libraries: Path
    state: Path

    @property
    def log_path(self) -> Path:
        """Where the simulator writes an event a line."""
        return self.state / "events"

    def environment(self, **settings: object) -> dict[str, str]:
        """What a process needs to find the cards, beside what it has anyway."""
        libraries = ":".join(filter(None, [str(self.libraries), os.environ.get("LD_LIBRARY_PATH", "")]))
        ours = {"LD_LIBRARY_PATH": libraries, "GPUSIM_STATE": str(self.state), "GPUSIM_LOG": str(self.log_path)}
        return ours | {f"GPUSIM_{name.upper()}": str(value) for name, value in settings.items()}

    def control(self, **settings: object) -> None:
        """Change the cards under processes that run, from their next session on; wins over the environment."""
        lines = [f"GPUSIM_{name.upper()}={value}\n" for name, value in settings.items()]
        new = self.state / "control.new"
        new.write_text("".join(lines))
        # At once: the simulator must not read half a file.
        new.rename(self.state / "control")

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """What the cards did so far, oldest first; of one kind (`enc_open`, ...) where given."""
        lines = self.log_path.read_text().splitlines() if self.log_path.exists() else []
        found: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return [event for event in found if not name or event["ev"] == name]

    def uuid(self, index: int = 0) -> str:
        """The UUID of a card."""
        return f"GPU-67707573-696d-4000-8000-{index:012x}"

    def python(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script of Python, with the product on its path, in a process that sees the cards."""
        plain = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", script], cwd=ROOT, env=plain | self.environment() | environment,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip


@pytest.fixture(scope="session")
def gpusim_libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built libraries."""
    if not SOURCE.is_dir():
        pytest.skip("no simulated GPU: its source, ../shared/gpu_sim, is not here")
    for program in ("make", "gcc"):
        if shutil.which(program) is None:
            pytest.skip(f"no simulated GPU: {program} is not installed")
    build = tmp_path_factory.mktemp("gpusim")
    done = subprocess.run(
        ["make", "-C", str(SOURCE), f"BUILD={build}"], capture_output=True, text=True, timeout=_PATIENCE, check=False
    )
    missing = [line for line in done.stderr.splitlines() if "No such file" in line]
    if missing:
        pytest.skip(f"no simulated GPU: a header is missing: {missing[0]}")
    assert done.returncode == 0, done.stderr
    return build


@pytest.fixture
def gpusim(gpusim_libraries: Path, tmp_path: Path) -> GpuSim:
    """A simulated machine of its own for each test."""
    state = tmp_path / "gpusim"
    state.mkdir()
    return GpuSim(gpusim_libraries, state)
