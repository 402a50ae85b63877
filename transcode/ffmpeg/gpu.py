"""A card as a worker uses it, and what it was seen to do: examined by `trials`, remembered until something changes.

`ffmpeg -encoders` lists NVENC on machines without any card, and drivers, containers and builds fail in many ways;
so nothing here is believed that was not seen. Which cards there are is asked of the driver in `nvml`.
"""

import json
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from transcode import logs
from transcode.ffmpeg import coders
from transcode.ffmpeg.admission import Gate
from transcode.ffmpeg.binaries import Tools
from transcode.ffmpeg.health import Health
from transcode.ffmpeg.lanes import Gpu, Nvenc
from transcode.ffmpeg.nvml import Card
from transcode.ffmpeg.plan import Plan
from transcode.ffmpeg.sandbox import OPEN
from transcode.ffmpeg.trials import Examined, Trials, environment, places, wake

log = logs.get(__name__)

# Bytes of a card that a process takes before it does anything, and pictures that a decoder and an encoder hold.
_CONTEXT = 300 * 10**6
_DECODER_PICTURES, _ENCODER_PICTURES = 16, coders.LOOKAHEAD + coders.B_FRAMES + 6
# Of `seen.json`: another one is not read.
_FORM = 1


@dataclass(frozen=True)
class Device:
    """A card as a worker uses it. `folder` is the card's own, shared by all processes of the host."""

    card: Card
    folder: Path
    gpu: Gpu
    # Whether the card also works inside the sandbox.
    walled: bool = True

    @property
    def health(self) -> Health:
        """What the card is suspected of."""
        return Health(self.folder)

    @property
    def gate(self) -> Gate:
        """Who may use it now."""
        return Gate(self.folder, self.card, self.gpu.sessions)

    @property
    def environment(self) -> dict[str, str]:
        """What ffmpeg is told to use this card and no other."""
        return environment(self.card, self.folder)

    @property
    def places(self) -> tuple[Path, ...]:
        """What a run on the card must be able to touch."""
        return places(self.folder)


@cache
def device(tools: Tools, card: Card, folder: Path) -> Device:
    """The card, examined; what was found is kept for this card, driver and build, and said in one line.

    Once per process: a pool's processes inherit the answer.
    """
    found = _kept(tools, card, folder) or _examined_anew(tools, card, folder)
    log.info(
        "GPU", kind=found.kind, name=card.name, uuid=card.uuid, driver=card.driver, ffmpeg=tools.version,
        encoders=sorted(found.gpu.encoders), decoders=sorted(found.gpu.decoders), sessions=found.gpu.sessions or "any",
        sandbox=tools.sandbox.kind.value if found.walled else "none",
    )  # fmt: skip
    for note in found.notes:
        log.warning("GPU limited", uuid=card.uuid, why=note)
    return Device(card, folder, found.gpu, found.walled)


def memory(plan: Plan) -> int:
    """Bytes of the card that a plan takes: pictures that are held, by size; measured runs stay below it."""
    video = plan.source.video
    # One and a half bytes per pixel, twice that for 10 bits.
    decoded = _DECODER_PICTURES * video.width * video.height * (3 if video.bit_depth > 8 else 1.5)
    encoded = sum(_ENCODER_PICTURES * track.frame.outer.area * 1.5 for track in plan.videos)
    return int(_CONTEXT + decoded * plan.lane.decodes + encoded * plan.lane.encodes)


def examine(tools: Tools, card: Card, folder: Path) -> Examined:
    """Try everything. Where the sandbox keeps the card away, the card is tried without: its runs then have no walls."""
    if tools.sandbox != OPEN:
        wake(tools, card)
    found = Trials(tools, card, folder).all()
    if found.kind != "nothing" or tools.sandbox == OPEN:
        return found
    bare = Trials(replace(tools, sandbox=OPEN), card, folder).all()
    if bare.kind == "nothing":
        return found
    kind = tools.sandbox.kind.value
    note = (
        f"The card does not work inside the sandbox {kind}, so ffmpeg runs without it there; SANDBOX can name another."
    )
    return replace(bare, walled=False, notes=(*bare.notes, note))


def canary(tools: Tools, card: Card, folder: Path) -> str:
    """Why a card cannot be used, as a sentence; empty when it does at least one thing well.

    It is examined anew, and what is found is kept for the node that it is for. A card that could more with the same
    driver and ffmpeg is broken, though it may still decode.
    """
    before, found = _kept(tools, card, folder), examine(tools, card, folder)
    why = " ".join(found.notes)
    if found.kind == "nothing":
        return why or "The card neither decodes nor encodes."
    if before is not None and (gone := found.lacks(before)):
        return f"The card can no longer {gone}. {why}".rstrip()
    _keep(found, tools, card, folder)
    return ""


def _examined_anew(tools: Tools, card: Card, folder: Path) -> Examined:
    found = examine(tools, card, folder)
    _keep(found, tools, card, folder)
    return found


def _keep(found: Examined, tools: Tools, card: Card, folder: Path) -> None:
    """What a busy card could not show is not remembered as what it cannot do."""
    if found.kind != "nothing" and found.sure:
        folder.mkdir(parents=True, exist_ok=True)
        kept = {**asdict(found), "of": _of(tools, card)}
        kept["gpu"]["decoders"] = sorted(found.gpu.decoders)
        (folder / "seen.json").write_text(json.dumps(kept))


def _kept(tools: Tools, card: Card, folder: Path) -> Examined | None:
    """What an earlier examination of the same card, driver and build found."""
    try:
        kept = json.loads((folder / "seen.json").read_text())
        gpu = kept["gpu"]
        if kept["of"] != _of(tools, card):
            return None
        encoders = {codec: Nvenc(**takes) for codec, takes in gpu["encoders"].items()}
        seen = Gpu(encoders, frozenset(gpu["decoders"]), gpu["deinterlacer"], gpu["sessions"])
        return Examined(seen, kept["walled"], tuple(kept["notes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _of(tools: Tools, card: Card) -> list[str]:
    stat = tools.ffmpeg.stat()
    build = f"{tools.version} {stat.st_size} {stat.st_mtime_ns}"
    return [str(_FORM), card.uuid, card.driver, build, tools.sandbox.kind.value]
