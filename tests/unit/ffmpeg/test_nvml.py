"""What NVML's errors are made of: words, and cards that are left out. On cards: tests/gpu/test_nvml.py."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from transcode.ffmpeg import nvml

ROOT = Path(__file__).parents[3]


@dataclass
class FakeNvml:
    """Three cards of which some are in a state that the simulated GPU does not have."""

    lost: set[int] = field(default_factory=set)
    cut: set[int] = field(default_factory=set)
    untold: bool = False
    NVML_TEMPERATURE_GPU = 0
    NVMLError = pynvml.NVMLError
    NVMLError_LibraryNotFound = pynvml.NVMLError_LibraryNotFound

    def nvmlInit(self) -> None: ...

    def nvmlSystemGetDriverVersion(self) -> str:
        return "570.86.15"

    def nvmlDeviceGetCount(self) -> int:
        return 3

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if index in self.lost:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        return self.nvmlDeviceGetHandleByIndex(int(uuid[-1]))

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return f"GPU-{handle}"

    def nvmlDeviceGetName(self, handle: int) -> str:
        return "NVIDIA A100"

    def nvmlDeviceGetMigMode(self, handle: int) -> list[int]:
        return [int(handle in self.cut), 0]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(total=80, used=30)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        return SimpleNamespace(gpu=55)

    def nvmlDeviceGetDecoderUtilization(self, handle: int) -> list[int]:
        return [10, 167000]

    def nvmlDeviceGetEncoderUtilization(self, handle: int) -> list[int]:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    def nvmlDeviceGetEncoderStats(self, handle: int) -> list[int]:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        # The card goes while it is being asked.
        if handle in self.lost:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return 40


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    monkeypatch.setattr(nvml, "_nvml", fake)
    monkeypatch.setattr(nvml, "_begun", set())
    monkeypatch.setattr(nvml, "_told", set())
    return fake


def test_a_lost_card_does_not_hide_the_others(fake: FakeNvml) -> None:
    fake.lost.add(1)
    assert [card.index for card in nvml.cards()] == [0, 2]
    assert nvml.load("GPU-1") is None
    assert nvml.load("GPU-2") is not None


def test_a_card_that_is_cut_into_parts_is_left_out(fake: FakeNvml) -> None:
    fake.cut.add(0)
    assert [card.index for card in nvml.cards()] == [1, 2]


def test_what_a_card_does_not_know_is_left_open(fake: FakeNvml) -> None:
    assert nvml.load("GPU-0") == nvml.Load(None, 10, 55, 30, 80, 40, None)


def test_a_card_that_is_lost_while_it_is_asked_has_no_load(fake: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "nvmlDeviceGetHandleByUUID", lambda uuid: 1)
    fake.lost.add(1)
    assert nvml.load("GPU-1") is None


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "no NVIDIA driver"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "modprobe nvidia"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "reload the driver or reboot"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "/dev/nvidia"),
        (pynvml.NVML_ERROR_GPU_IS_LOST, "fell off the bus"),
        (pynvml.NVML_ERROR_RESET_REQUIRED, "needs a reset"),
        (pynvml.NVML_ERROR_UNKNOWN, "The NVIDIA driver says: "),
    ],
)
def test_an_error_says_what_to_do(number: int, word: str) -> None:
    said = nvml.words(pynvml.NVMLError(number))
    assert word in said
    assert said.endswith(".")


def test_without_a_driver_there_are_no_cards_and_nothing_is_wrong(tmp_path: Path) -> None:
    # The loader finds this first, and it is no library: so too on a machine that has a driver.
    (tmp_path / "libnvidia-ml.so.1").touch()
    script = """
import json
from transcode import logs
from transcode.ffmpeg import nvml
logs.configure("INFO")
print(json.dumps([nvml.cards(), nvml.pinned(), nvml.load("GPU-x"), nvml.trouble()]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True,
        env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": "GPU-x"},
    )  # fmt: skip
    assert json.loads(done.stdout) == [[], None, None, "There is no NVIDIA driver on this machine."]
    assert done.stderr == ""
