"""`transcode doctor`: whether work can be done on this machine, and what must be mended. The looks are in `checkup`."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from cli import checkup
from cli.checkup import CardFacts, Driver, Programs, Scratch
from transcode import logs
from transcode.ffmpeg.nvml import Load
from transcode.ffmpeg.sandbox import Kind
from workers.roster import Stage

# Bytes of scratch below which films of ordinary size find no room.
_ROOM = 10**9
_MIB, _GB = 1024**2, 10**9
_FINE = "ok"


@dataclass(frozen=True)
class Findings:
    """All that was found."""

    python: str
    programs: Programs
    driver: Driver
    cards: tuple[CardFacts, ...]
    scratch: Scratch
    # Whether anybody has set anything up, and what is wrong with that.
    configured: bool
    settings: str
    # Per dependency `ok`, or what is wrong; empty without settings.
    dependencies: dict[str, str]

    @property
    def mend(self) -> tuple[str, ...]:
        """What must be mended, a sentence each."""
        return tuple(sentence for sentence in self._wrong() if sentence)

    def _wrong(self) -> Iterator[str]:
        yield self.programs.trouble
        if self.driver.on_bus and not self.cards:
            why = self.driver.trouble or "The driver has none that can be used; the warnings above say why."
            yield f"This machine has an NVIDIA card that is not used: {why}"
        yield from map(_wrong_with, self.cards)
        yield self.scratch.trouble
        if not self.scratch.trouble and self.scratch.free < _ROOM:
            yield f"The scratch disk has {self.scratch.free // _MIB} MiB left; films need a gigabyte and more."
        yield self.settings
        yield from (words for words in self.dependencies.values() if words != _FINE)

    @property
    def verdict(self) -> str:
        """The last line."""
        if self.mend:
            # Settings may be several lines.
            return f"To be mended: {' '.join(' '.join(self.mend).split())}"
        working = sum(facts.works for facts in self.cards)
        where = {0: "the CPU", 1: "1 GPU"}.get(working, f"{working} GPUs")
        unset = "" if self.configured else " There are no settings yet, so queue, table and buckets were not asked."
        return f"This machine can do the work, on {where}.{unset}"


def _wrong_with(facts: CardFacts) -> str:
    name = f"GPU {facts.card.index} ({facts.card.name})"
    if facts.standing and facts.standing.stage in (Stage.ASIDE, Stage.GONE):
        return f"{name} is put aside: {facts.standing.why}"
    if facts.examined and facts.examined.kind == "nothing":
        return f"{name} does nothing here: {' '.join(facts.examined.notes) or 'it neither decodes nor encodes.'}"
    return ""


def run(*, as_json: bool) -> int:
    """Look, print, and tell by the exit status: 0 when work can be done here, 1 when something must be mended."""
    logs.configure("WARNING", "console")
    found = look()
    lines = [json.dumps(_plain(found), ensure_ascii=False, indent=2)] if as_json else shown(found)
    print(*lines, sep="\n")
    return int(bool(found.mend))


def look() -> Findings:
    """Everything, in the order in which it is shown."""
    given = checkup.configured()
    tools, programs = checkup.programs(given.found)
    driver = checkup.driver()
    if not driver.trouble:
        print("Trying the GPUs; each takes some seconds.", file=sys.stderr)
    return Findings(
        checkup.python(), programs, driver, tuple(checkup.cards(given.found, tools)), checkup.scratch(given.found),
        given.begun, given.trouble, checkup.dependencies(given.found) if given.begun and not given.trouble else {},
    )  # fmt: skip


def _plain(found: Findings) -> dict[str, Any]:
    """As programs read it."""
    cards = [_card(facts) for facts in found.cards]
    return {"ok": not found.mend, "mend": found.mend, **asdict(found), "cards": cards}


def _card(facts: CardFacts) -> dict[str, Any]:
    told = asdict(facts)
    if facts.examined is not None:
        told["examined"]["kind"] = facts.examined.kind
        told["examined"]["gpu"]["decoders"] = sorted(facts.examined.gpu.decoders)
    return told


def shown(found: Findings) -> Iterator[str]:
    """As people read it, a line each."""
    for label, text in (*_machine(found), *_hardware(found), *_outside(found)):
        yield f"{label:12}{text}"
    yield ""
    yield found.verdict


def _machine(found: Findings) -> Iterator[tuple[str, str]]:
    programs = found.programs
    yield "Python", found.python
    yield "ffmpeg", f"{programs.ffmpeg}, {programs.version}" if programs.ffmpeg else programs.trouble
    if programs.passed_over:
        yield "", f"{programs.passed_over} is not used: it cannot make everything; FFMPEG_PATH can name it all the same"
    yield from (("", f"lacks {words}") for words in programs.lacks)
    if programs.ffprobe:
        yield "ffprobe", programs.ffprobe
        yield "sandbox", programs.sandbox or programs.trouble
    if programs.sandbox == Kind.NONE:
        yield "", "ffmpeg reads uploads without walls; bubblewrap or a kernel with Landlock would give it some"


def _hardware(found: Findings) -> Iterator[tuple[str, str]]:
    versions = ", ".join(sorted({facts.card.driver for facts in found.cards}))
    yield "driver", versions or found.driver.trouble or "It answers, and has no card for us."
    for facts in found.cards:
        yield from _of_card(facts)
    free = f", {found.scratch.free / _GB:.1f} GB free" if not found.scratch.trouble else ""
    yield "scratch", f"{found.scratch.folder}{free}"
    if found.scratch.trouble:
        yield "", found.scratch.trouble


def _of_card(facts: CardFacts) -> Iterator[tuple[str, str]]:
    card, examined, standing = facts.card, facts.examined, facts.standing
    yield f"GPU {card.index}", f"{card.name}, {card.memory // _MIB} MiB, {card.uuid}"
    yield "  load", _load(facts.load) if facts.load else "it does not tell"
    if examined is None:
        yield "  not tried", facts.why_not
    else:
        sessions = examined.gpu.sessions
        limit = f", at most {sessions} at once" if sessions is not None else ""
        yield "  does", f"{examined.kind}: encodes {_names(examined.gpu.encoders)}{limit}"
        yield "", f"decodes {_names(examined.gpu.decoders)}"
        yield from (("  but", note) for note in examined.notes)
    yield from (("  suspected", why) for why in facts.suspicions)
    if standing is not None:
        yield "  node", f"{standing.node}, {standing.stage} since {standing.since[:19]}Z {standing.why}".rstrip()


def _names(of: dict[str, Any] | frozenset[str]) -> str:
    return ", ".join(sorted(of)) or "nothing"


def _load(load: Load) -> str:
    parts = (("encoder", load.encoder, " %"), ("decoder", load.decoder, " %"), ("GPU", load.gpu, " %"),
             ("encodes", load.sessions, ""), ("temperature", load.temperature, " °C"))  # fmt: skip
    told = [f"{name} {value}{unit}" for name, value, unit in parts if value is not None]
    return ", ".join([*told, f"memory {load.memory_used // _MIB} of {load.memory_total // _MIB} MiB"])


def _outside(found: Findings) -> Iterator[tuple[str, str]]:
    if found.settings:
        yield "settings", found.settings.replace("\n", "\n" + " " * 12)
    elif not found.configured:
        yield "settings", "none yet; config.example.env describes them"
    yield from found.dependencies.items()
