"""What a plan is made of: steps that change something, and remarks that only say something."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Step:
    """One change. `line` says it before and after; `apply` makes it, and tells how far it is where that takes long."""

    line: str
    apply: Callable[[Tell], object]


@dataclass(frozen=True)
class Remark:
    """What people should know and nothing changes."""

    line: str


Finding = Step | Remark


@dataclass(frozen=True)
class Plan:
    """All that was found, in the order in which it is to be done."""

    steps: tuple[Step, ...]
    remarks: tuple[str, ...]

    @classmethod
    def of(cls, found: Iterable[Finding]) -> "Plan":
        """Sort what was found."""
        kept = tuple(found)
        steps = tuple(one for one in kept if isinstance(one, Step))
        return cls(steps, tuple(one.line for one in kept if isinstance(one, Remark)))
