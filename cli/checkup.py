"""What this machine can do, found by looking and trying: the facts. `doctor` prints them and says what they mean.

Nothing is written that stays: whoever runs this may be another user than the worker.
"""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transcode import presets, settings
from transcode.errors import SettingsError, TranscodeError
from transcode.ffmpeg import binaries, gpu, nvml, seen
from transcode.ffmpeg.binaries import Tools
from transcode.ffmpeg.health import Health
from transcode.ffmpeg.lanes import Gpu
from transcode.ffmpeg.nvml import Card, Load
from transcode.ffmpeg.trials import Examined
from transcode.settings import Settings
from workers import fleet, roster
from workers.roster import Stage, Standing

# What the settings must say; stands in for them where nothing is set up yet.
_REQUIRED: dict[str, Any] = {
    "aws_region": "none", "input_bucket": ("none-in",), "output_bucket": "none-out", "dynamodb_table": "none",
    "sqs_queue_url": "https://none/0/none",
}  # fmt: skip
# Any of these set, and somebody has begun to set it up. AWS_REGION is often set for other reasons.
_TELLING = ("INPUT_BUCKET", "OUTPUT_BUCKET", "DYNAMODB_TABLE", "SQS_QUEUE_URL")
# Seconds for the dependencies: a machine far from its region, whose first calls set up everything.
_PATIENCE = 20.0
# What a build may lack, any of these being enough, and what cannot be done then.
_WISHES = (
    ("filters", ("zscale",), "the filter zscale: films in HDR cannot be made"),
    ("filters", ("tonemap",), "the filter tonemap: films in HDR cannot be made"),
    ("decoders", ("libdav1d", "libaom-av1"), "a decoder for AV1: such films cannot be made"),
)
# NVIDIA's number among the makers of PCI devices, and the class of what draws or computes pictures.
_NVIDIA, _DISPLAY = "0x10de", "0x03"
_PCI = Path("/sys/bus/pci/devices")


@dataclass(frozen=True)
class Configured:
    """The settings that the looks go by, whether anybody has set anything up, and what is wrong with that."""

    found: Settings
    begun: bool = True
    trouble: str = ""


@dataclass(frozen=True)
class Programs:
    """ffmpeg and ffprobe, what the build lacks, the walls around it, and why there are none that work."""

    ffmpeg: str = ""
    version: str = ""
    ffprobe: str = ""
    lacks: tuple[str, ...] = ()
    passed_over: str = ""
    sandbox: str = ""
    trouble: str = ""


@dataclass(frozen=True)
class CardFacts:
    """One card. `examined` is None where it was not tried: `why_not` says why."""

    card: Card
    load: Load | None
    examined: Examined | None = None
    why_not: str = ""
    suspicions: tuple[str, ...] = ()
    standing: Standing | None = None

    @property
    def works(self) -> bool:
        """Whether it was seen to do anything, and is not out of work."""
        good = self.examined is not None and self.examined.kind != "nothing"
        return good and (self.standing is None or self.standing.stage in (Stage.NEW, Stage.WORKS))


@dataclass(frozen=True)
class Driver:
    """NVIDIA's driver: why it does not answer (empty: it does), and how many cards the bus has."""

    trouble: str = ""
    on_bus: int = 0


@dataclass(frozen=True)
class Scratch:
    """The scratch folder, bytes that are free there, and why it cannot be used."""

    folder: str
    free: int = 0
    trouble: str = ""


def python() -> str:
    """Which Python, on what."""
    return f"{platform.python_version()} on {platform.platform()}"


def configured() -> Configured:
    """The settings, as far as they go."""
    try:
        found = settings.load()
        presets.load(found.presets_file).pick(found.default_transcode_types)
    except (SettingsError, TranscodeError) as error:
        began = Path(settings.CONFIG_FILE).exists() or any(name in os.environ for name in _TELLING)
        return Configured(_what_holds(), began, str(error) if began else "")
    return Configured(found)


def _what_holds() -> Settings:
    """Those of the settings that are of this machine alone; the defaults where even they are wrong."""
    try:
        return settings.load(**_REQUIRED)
    except SettingsError:
        return Settings.model_construct()


def programs(found: Settings) -> tuple[Tools | None, Programs]:
    """The programs, as a worker would find them, and what is to be said of them."""
    try:
        tools = binaries.find(found)
    except (SettingsError, TranscodeError) as error:
        return None, Programs(trouble=str(error))
    facts = Programs(
        str(tools.ffmpeg),
        tools.version.partition(" Copyright")[0],
        str(tools.ffprobe),
        tuple(_lacks(tools)),
        _passed_over(found, tools),
    )
    try:
        tools = replace(tools, sandbox=seen.sandbox(found.sandbox, tools.ffmpeg, tools.ffprobe))
    except (SettingsError, TranscodeError) as error:
        return tools, replace(facts, trouble=str(error))
    return tools, replace(facts, sandbox=tools.sandbox.kind.value)


def _lacks(tools: Tools) -> Iterator[str]:
    for kind, names, words in _WISHES:
        if not set(names) & getattr(tools, kind):
            yield words


def _passed_over(found: Settings, tools: Tools) -> str:
    """The ffmpeg that a person would expect and that is not used."""
    on_path = shutil.which("ffmpeg")
    return on_path if on_path and not found.ffmpeg_path and Path(on_path) != tools.ffmpeg else ""


def driver() -> Driver:
    """NVIDIA's driver, and the cards that the machine itself knows of."""
    return Driver(nvml.trouble(), sum(1 for device in _PCI.glob("*") if _is_nvidia(device)))


def _is_nvidia(device: Path) -> bool:
    try:
        vendor, kind = (device / "vendor").read_text().strip(), (device / "class").read_text()
    except OSError:
        return False
    return vendor == _NVIDIA and kind.startswith(_DISPLAY)


def cards(found: Settings, tools: Tools | None) -> Iterator[CardFacts]:
    """The cards, each tried as a worker tries it: seconds of real encodes and decodes."""
    ours, told = fleet.visible_cards(), roster.read(found.temp_dir)
    for card in nvml.cards():
        facts = CardFacts(
            card, nvml.load(card.uuid), suspicions=Health(found.card_folder(card.uuid)).suspicions(),
            standing=next((one for one in told.cards if one.uuid == card.uuid), None) if told else None,
        )  # fmt: skip
        if card not in ours:
            yield replace(facts, why_not="CUDA_VISIBLE_DEVICES leaves it out")
        elif tools is None:
            yield replace(facts, why_not="there is no ffmpeg to try it with")
        else:
            yield _tried(facts, tools)


def _tried(facts: CardFacts, tools: Tools) -> CardFacts:
    try:
        with TemporaryDirectory() as folder:
            return replace(facts, examined=gpu.examine(tools, facts.card, Path(folder)))
    except TranscodeError as error:
        return replace(facts, examined=Examined(Gpu(), notes=(str(error),)))


def scratch(found: Settings) -> Scratch:
    """The scratch folder, or the nearest one above it that is there."""
    folder = found.temp_dir
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        return Scratch(str(folder), trouble=f"This user may not write to {there}.")
    return Scratch(str(folder), shutil.disk_usage(there).free)


def dependencies(found: Settings) -> dict[str, str]:
    """Per dependency `ok`, or what is wrong with it: the looks of `/api/health`."""
    # Late: on a machine without settings nothing of the web and of AWS is needed.
    from transcode.aws.dynamodb import DynamoTasks
    from transcode.aws.s3 import S3Storage
    from transcode.aws.sqs import Queues
    from webapp.readiness import Readiness
    from webapp.wsgi import probes

    looks = probes(found, DynamoTasks(found), S3Storage(found), Queues(found))
    return Readiness(looks, _PATIENCE).look()
