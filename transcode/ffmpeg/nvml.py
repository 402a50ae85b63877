"""The cards of this machine and how busy they are, as NVIDIA's NVML tells it. Only here is NVML asked.

NVML sees every card, whatever CUDA_VISIBLE_DEVICES says. A driver that is missing or does not answer is no
error: there are no cards then, and the log says once why. What a card can do is tried in `gpu`, what it is
suspected of is kept by `health`, who may use it is decided in `admission`.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from transcode import logs

log = logs.get(__name__)

# By name, because it ships no types.
_nvml: Any = import_module("pynvml")
# What NVML's errors mean for the person who runs the machine; others speak for themselves.
_WORDS = {
    _nvml.NVML_ERROR_LIBRARY_NOT_FOUND: "There is no NVIDIA driver on this machine.",
    _nvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        "NVIDIA's library is here but its kernel driver is not loaded: load it (modprobe nvidia) or reboot; in a "
        "container, hand the GPU in."
    ),
    _nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "NVIDIA's kernel driver and its library are of different versions, as after an update: reload the driver "
        "or reboot."
    ),
    _nvml.NVML_ERROR_NO_PERMISSION: "This user may not speak to the NVIDIA driver: allow it to use /dev/nvidia*.",
    _nvml.NVML_ERROR_GPU_IS_LOST: "The card fell off the bus or cannot be reached: reboot; if it recurs, replace it.",
    _nvml.NVML_ERROR_RESET_REQUIRED: "The card needs a reset before it works again: nvidia-smi --gpu-reset, or reboot.",
}
_MIG = "The card is cut into MIG instances, which are not used: switch MIG off to use it (nvidia-smi -mig 0)."
# A card that does not know a value, as an A100 its encoder's load, says so with one of these.
_UNTOLD = (_nvml.NVMLError_NotSupported, _nvml.NVMLError_FunctionNotFound, _nvml.NVMLError_NoPermission)

# Processes in which NVML was set up; a forked child inherits its parent's and adds its own.
_begun: set[int] = set()
# What the log was told already.
_told: set[tuple[str, str]] = set()


@dataclass(frozen=True)
class Card:
    """A GPU: its place in NVML's order, its full UUID, the driver's version, its memory in bytes."""

    index: int
    uuid: str
    name: str
    driver: str
    memory: int


@dataclass(frozen=True)
class Load:
    """How busy a card is: percents, bytes, degrees Celsius, NVENC sessions. None is what it does not tell."""

    encoder: int | None
    decoder: int | None
    gpu: int | None
    memory_used: int
    memory_total: int
    temperature: int | None
    sessions: int | None


def cards() -> tuple[Card, ...]:
    """The cards that can be used; one that is lost or cut into parts is left out, and the log says so."""
    try:
        _begin()
        driver, count = str(_nvml.nvmlSystemGetDriverVersion()), int(_nvml.nvmlDeviceGetCount())
    except _nvml.NVMLError as error:
        _tell("NVIDIA driver is not used", "", error)
        return ()
    found = [_card(index, driver) for index in range(count)]
    return tuple(card for card in found if card is not None)


def wanted() -> str:
    """The full UUID of the card that this process is pinned to; empty when it is pinned to none."""
    value = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return value if value.startswith("GPU-") else ""


def pinned() -> Card | None:
    """The card that this process is pinned to, by CUDA_VISIBLE_DEVICES; None also where it does not answer."""
    uuid = wanted()
    return next((card for card in cards() if card.uuid == uuid), None) if uuid else None


def load(uuid: str) -> Load | None:
    """How busy a card is now; None when it cannot be asked."""
    try:
        _begin()
        return _load(_nvml.nvmlDeviceGetHandleByUUID(uuid))
    except _nvml.NVMLError as error:
        _tell("Card cannot be asked", uuid, error)
        return None


def trouble() -> str:
    """Why the driver cannot be asked at all, for people; empty when it answers."""
    try:
        _begin()
    except _nvml.NVMLError as error:
        return words(error)
    return ""


def words(error: Exception) -> str:
    """What an error of NVML means and what to do about it."""
    return _WORDS.get(getattr(error, "value", None), f"The NVIDIA driver says: {str(error).rstrip('.')}.")


def _begin() -> None:
    """Set NVML up once per process. It is never shut down: a child would take its parent's connection along."""
    if os.getpid() not in _begun:
        _nvml.nvmlInit()
        _begun.add(os.getpid())


def _card(index: int, driver: str) -> Card | None:
    try:
        handle = _nvml.nvmlDeviceGetHandleByIndex(index)
        if _answer(lambda: _nvml.nvmlDeviceGetMigMode(handle)[0]):
            _tell("Card is not used", str(index), _MIG)
            return None
        memory = int(_nvml.nvmlDeviceGetMemoryInfo(handle).total)
        return Card(index, str(_nvml.nvmlDeviceGetUUID(handle)), str(_nvml.nvmlDeviceGetName(handle)), driver, memory)
    except _nvml.NVMLError as error:
        # One bad card must not hide the others.
        _tell("Card is not used", str(index), error)
        return None


def _load(handle: object) -> Load:
    # First, so that a lost card is found before any number is believed.
    memory = _nvml.nvmlDeviceGetMemoryInfo(handle)
    return Load(
        encoder=_answer(lambda: _nvml.nvmlDeviceGetEncoderUtilization(handle)[0]),
        decoder=_answer(lambda: _nvml.nvmlDeviceGetDecoderUtilization(handle)[0]),
        gpu=_answer(lambda: _nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
        memory_used=int(memory.used), memory_total=int(memory.total),
        temperature=_answer(lambda: _nvml.nvmlDeviceGetTemperature(handle, _nvml.NVML_TEMPERATURE_GPU)),
        sessions=_answer(lambda: _nvml.nvmlDeviceGetEncoderStats(handle)[0]),
    )  # fmt: skip


def _answer(ask: Callable[[], int]) -> int | None:
    """A number, or None where this card does not know it."""
    try:
        return int(ask())
    except _UNTOLD:
        return None


def _tell(event: str, card: str, why: Exception | str) -> None:
    """Log a trouble once per process; quietly where there is simply no driver."""
    text = why if isinstance(why, str) else words(why)
    if (card, text) in _told:
        return
    _told.add((card, text))
    told = log.debug if isinstance(why, _nvml.NVMLError_LibraryNotFound) else log.warning
    told(event, why=text, **({"card": card} if card else {}))
