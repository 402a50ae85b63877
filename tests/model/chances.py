"""How likely each fault is. Raised far above life, so that a few seeds see years of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Chances:
    """How likely a fault is each time it could happen."""

    skew: float = 20.0  # no chance: seconds by which a clock may be wrong
    throttled: float = 0.015  # refused, not applied
    lost: float = 0.01  # no answer, not applied
    silent: float = 0.02  # no answer, applied
    late: float = 0.01  # no answer, applied seconds later
    twice: float = 0.02  # applied, sent again by the client below us
    cut: float = 0.3  # of those without an answer: the service stays away for a while
    kill: float = 0.001
    freeze: float = 0.002
    freeze_critical: float = 0.10  # before a step whose order matters
    sigterm: float = 0.001
    duplicate: float = 0.06
    meddle: float = 0.15  # somebody cancels just before a commit, or presses what somebody else presses
    purge: float = 0.07  # instead of pressing a button of one task
    held_up: float = 0.10  # a message that takes up to 200 s
    forgotten: float = 0.05  # a delete that does nothing


USUAL = Chances()
CALM = Chances(**dict.fromkeys(Chances.__dataclass_fields__, 0.0))
