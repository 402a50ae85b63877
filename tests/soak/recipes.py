"""What a clip tells the stand-in encoder, and what an output tells the checker.

A clip of the soak is a line of JSON and padding; an output names the attempt that made it and proves that it
is whole.
"""

import json
import random
import struct
import zlib
from dataclasses import asdict, dataclass

# What a clip can be, and its share of all clips.
KINDS = {
    "good": 68,
    "slow": 8,  # its two films take longer than a lease lasts
    "bad": 5,  # no video: fails at once
    "flaky": 6,  # fails in its first attempt
    "poison": 3,  # kills the process that touches it, each time
    "part": 5,  # one type of it can never be made
    "stall": 2,  # the encode never ends by itself
    "gone": 3,  # deleted before anybody fetches it
}
# The same for the real ffmpeg, which does not do what it is told.
REAL_KINDS = {"good": 85, "slow": 7, "bad": 5, "gone": 3}
# Directed tests ask for it: its first attempt encodes for as long as the recipe says, later ones at once.
HELD = "held"
# Kinds that no attempt can complete.
HOPELESS = frozenset({"bad", "poison", "part", "stall"})
# Kinds that are in order, so that only their surroundings may fail them.
SOUND = frozenset({"good", "slow", "flaky", HELD})


@dataclass(frozen=True)
class Recipe:
    """What is in a clip. `salt` makes two clips of one kind two objects; `seconds` is how long a film of it takes."""

    kind: str
    seconds: float
    salt: int

    @classmethod
    def draw(cls, dice: random.Random, kinds: dict[str, int]) -> "Recipe":
        """A clip by the dice."""
        kind = dice.choices(list(kinds), list(kinds.values()))[0]
        seconds = dice.uniform(2.5, 4.0) if kind == "slow" else dice.uniform(0.05, 0.5)
        return cls(kind, round(seconds, 2), dice.getrandbits(32))

    def clip(self) -> bytes:
        """The object that is uploaded."""
        return json.dumps(asdict(self)).encode() + b"\n" + b"." * (self.salt % 50_000)

    def film(self, films: dict[str, bytes]) -> bytes:
        """The object that is uploaded where the real ffmpeg works: a film, made unique by a box of its own."""
        if self.kind == "bad":
            return self.clip()
        return films.get(self.kind, films["good"]) + struct.pack(">I4sQ", 16, b"free", self.salt)

    @classmethod
    def of(cls, clip: bytes) -> "Recipe":
        """What a clip says."""
        return cls(**json.loads(clip.partition(b"\n")[0]))


@dataclass(frozen=True)
class Mark:
    """Who made an output: the task, its epoch (one number per attempt), and which type it is."""

    task: str
    epoch: int
    type: str

    def output(self) -> bytes:
        """The bytes of the output: the mark, the length and sum of the rest, the rest."""
        rest = f"{self.task}/{self.epoch}/{self.type}\n".encode() * (50 + zlib.crc32(self.task.encode()) % 300)
        head = {**asdict(self), "length": len(rest), "sum": zlib.crc32(rest)}
        return json.dumps(head).encode() + b"\n" + rest

    @classmethod
    def of(cls, output: bytes) -> "Mark | None":
        """Who made these bytes; None when they are not whole."""
        first, _, rest = output.partition(b"\n")
        try:
            head = json.loads(first)
            whole = head["length"] == len(rest) and head["sum"] == zlib.crc32(rest)
            return cls(head["task"], head["epoch"], head["type"]) if whole else None
        except (ValueError, KeyError):
            return None
