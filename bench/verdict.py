"""What a bench has found: ratios with what is wanted of them, and the numbers behind them."""

from dataclasses import asdict, dataclass, field
from typing import Any


class Unmeasured(Exception):
    """Something that the bench needs is not here; the sentence says what, and how to get it."""


@dataclass(frozen=True)
class Ratio:
    """One number without a unit, and what is wanted: at most, or at least; neither: it is only told."""

    what: str
    value: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool:
        """Whether it is as wanted."""
        return not (
            (self.at_most is not None and self.value > self.at_most)
            or (self.at_least is not None and self.value < self.at_least)
        )

    @property
    def wanted(self) -> str:
        """What is wanted, for people."""
        if self.at_most is not None:
            return f"≤ {self.at_most:g}"
        return f"≥ {self.at_least:g}" if self.at_least is not None else ""

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "value": round(self.value, 3), "wanted": self.wanted, "met": self.met}


@dataclass(frozen=True)
class Found:
    """The result of one bench. `tables`: name -> rows of equal keys, for people; `details`: all else, for programs."""

    ratios: list[Ratio]
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
