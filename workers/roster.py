"""What a fleet tells of itself: which cards work, which were put aside, since when and why.

The fleet writes it to `fleet.json` in TEMP_DIR whenever it changes and takes it away when it ends; nodes and
`transcode doctor` read it. What decides is in `fleet` and `post`.
"""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from transcode import logs

log = logs.get(__name__)

_FILE = "fleet.json"


class Stage(StrEnum):
    """How a card stands."""

    # New here: its first trial runs, nothing is known yet.
    NEW = "new"
    WORKS = "works"
    # Out of work until it passes a trial.
    ASIDE = "aside"
    # No longer in the machine; its node ends.
    GONE = "gone"


@dataclass(frozen=True)
class Standing:
    """One card: how it stands, since when (RFC 3339, UTC), and why it was put aside (empty: it was not)."""

    uuid: str
    index: int
    name: str
    node: str
    stage: Stage
    since: str
    why: str = ""


@dataclass(frozen=True)
class Roster:
    """A fleet: where it runs, its cards, and whether the CPU stands in for them."""

    host: str
    pid: int
    cpu: bool
    cards: tuple[Standing, ...] = ()

    def write(self, folder: Path) -> None:
        """Put it in the place of what was told before. A disk that takes nothing stops no fleet."""
        fresh = folder / f".{_FILE}.{self.pid}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.write_text(json.dumps(asdict(self), ensure_ascii=False))
            fresh.replace(folder / _FILE)
        except OSError as error:
            log.warning("State of the GPUs not written", why=str(error))


def read(folder: Path) -> Roster | None:
    """What the fleet of this TEMP_DIR tells; None where none runs."""
    try:
        told = json.loads((folder / _FILE).read_text())
        cards = tuple(Standing(**{**card, "stage": Stage(card["stage"])}) for card in told.pop("cards"))
        found = Roster(**told, cards=cards)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # none, or one of another version
    return found if psutil.pid_exists(found.pid) else None


def remove(folder: Path) -> None:
    """The fleet has ended: there is nothing to tell any more."""
    try:
        (folder / _FILE).unlink(missing_ok=True)
    except OSError as error:
        log.warning("State of the GPUs not removed", why=str(error))
