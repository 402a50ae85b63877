"""One card and its node: tried first, at work, put aside when its faults repeat, taken back when it passes a trial.

What makes a card suspect is in `transcode.ffmpeg.health`, what a trial is in `transcode.ffmpeg.gpu`.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from transcode import logs
from transcode.clock import Clock, timestamp
from transcode.ffmpeg.health import Health
from transcode.ffmpeg.nvml import Card
from workers.child import Child
from workers.errand import Errand
from workers.roster import Stage, Standing

log = logs.get(__name__)

# Seconds between putting a card aside and its trial, time to recover; doubled each time that it does not pass.
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 600.0
# Seconds of work after which a card that was taken back begins with the first pause again. A card that passes
# its trials and fails at work would else be given two tasks every minute.
FORGIVEN = 3600.0
# Seconds in which a new card's first trial is waited for. A hanging card takes many minutes to fail.
HOPE = 60.0

# Tries a card: empty when it passes, else why not.
Canary = Callable[[Card], str]


class Post:
    """One card. `tick` is to be called about every second."""

    def __init__(self, card: Card, child: Child, health: Health, canary: Canary, clock: Clock = time.time) -> None:
        self.card = card
        self.child = child
        self._health, self._canary, self._clock = health, canary, clock
        self.standing = Standing(card.uuid, card.index, card.name, child.name, Stage.NEW, timestamp(clock()))
        self._trial: Errand[str] | None = None
        self._due, self._pause = 0.0, FIRST_PAUSE
        self._taken = float("-inf")
        # When it was first looked at.
        self._began: float | None = None

    @property
    def stage(self) -> Stage:
        """How the card stands."""
        return self.standing.stage

    def hopeful(self, now: float) -> bool:
        """Whether the card works, or is so new that it soon may."""
        new = self.stage is Stage.NEW and (self._began is None or now - self._began < HOPE)
        return new or self.stage is Stage.WORKS

    def tick(self, now: float) -> None:
        """Move on: begin or end a trial, put the card aside, look after its node."""
        self._began = now if self._began is None else self._began
        match self.stage:
            case Stage.NEW | Stage.ASIDE:
                self._try(now)
            case Stage.WORKS:
                if self._health.sick:
                    self._put_aside(now, " ".join(self._health.suspicions()))
        self.child.look(now)

    def gone(self, now: float) -> None:
        """The card is no longer there: its node ends, and so does this post."""
        log.warning("GPU lost", gpu=self.card.uuid, name=self.card.name, node=self.child.name)
        self._stands(Stage.GONE, "The driver does not list it any more.")
        self.child.end(now)

    def _try(self, now: float) -> None:
        # Not while its node ends: tasks that are still on the card are none of the trial's business.
        if self._trial is None and now >= self._due and not self.child.running:
            self._trial = Errand(lambda: self._canary(self.card))
        elif self._trial is not None and self._trial.over:
            why = _verdict(self._trial) or self._forget()
            self._trial = None
            if why:
                self._put_aside(now, why)
            else:
                self._take(now)

    def _take(self, now: float) -> None:
        if self.stage is Stage.ASIDE:
            log.info("GPU taken back", gpu=self.card.uuid, name=self.card.name, node=self.child.name)
        self._taken = now
        self._stands(Stage.WORKS)
        self.child.want()

    def _forget(self) -> str:
        """Clear what the card is suspected of; why that cannot be done: it would be put aside again at once."""
        try:
            self._health.clear()
        except OSError as error:
            return f"It passed, but what it is suspected of cannot be cleared: {error}"
        return ""

    def _put_aside(self, now: float, why: str) -> None:
        if now - self._taken > FORGIVEN:
            self._pause = FIRST_PAUSE
        self._taken = float("inf")
        self._due = now + self._pause
        log.warning(
            "GPU put aside", gpu=self.card.uuid, name=self.card.name, node=self.child.name, why=why,
            tried_again_in=self._pause,
        )  # fmt: skip
        self._pause = min(LONGEST_PAUSE, self._pause * 2)
        self._stands(Stage.ASIDE, why)
        self.child.end(now)

    def _stands(self, stage: Stage, why: str = "") -> None:
        since = self.standing.since if stage is self.stage else timestamp(self._clock())
        self.standing = replace(self.standing, stage=stage, since=since, why=why)


def _verdict(trial: Errand[str]) -> str:
    """Why a card did not pass; empty when it did. Whatever a trial raises counts against the card."""
    try:
        return trial.answer()
    except Exception as error:
        log.exception("Trial of a GPU failed")
        return f"It could not be tried: {error}"
