"""Simulated time and simulated processes. Only here does anybody wait, and only here does time move.

A process is a set of greenlets ("fibers") that live, freeze and die together. Every wait hands control to
the hub, which moves time on to whoever wakes next; so a run is one thread and depends on its seed alone.
`threading` as the code under test sees it is in `threads`.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]

from tests.model.chances import CALM, Chances

# Pauses of a frozen process in seconds: any, and one that is sure to outlast the lease.
FREEZE, FREEZE_PAST_LEASE = (10.0, 300.0), (70.0, 260.0)
# Mean seconds of one way to a service or back; now and then it is slow.
_LATENCY, _SLOW_LATENCY = 0.15, 3.0


class Killed(BaseException):
    """The process is gone, as by kill -9. No handler of the code under test catches it."""


class Violation(BaseException):
    """An invariant is broken. No handler of the code under test catches it."""


@dataclass(eq=False)
class Process:
    """One operating system process. `skew`: seconds by which its clock is wrong."""

    name: str
    body: Callable[["Process"], None]
    skew: float = 0.0
    fibers: list["Fiber"] = field(default_factory=list)
    dead: bool = False
    # Whether a SIGTERM makes it hand back what it does and end.
    stoppable: bool = False
    stopping: bool = False
    frozen_until: float = 0.0
    # Until when it does not reach a service.
    cut_until: dict[str, float] = field(default_factory=dict)
    # The attempt it makes: task id, epoch and owner.
    attempt: tuple[str, int, str] | None = None


class Fiber(greenlet):  # type: ignore[misc]
    """One thread of a process."""

    def __init__(self, process: Process, body: Callable[[], None], hub: greenlet) -> None:
        super().__init__(self._run, hub)
        self.process, self.body, self.ticket = process, body, 0
        process.fibers.append(self)

    def _run(self) -> None:
        with suppress(Killed):
            self.body()


class Clockwork:
    """The hub: the clock, the processes, the dice."""

    def __init__(self, seed: str, chances: Chances) -> None:
        self.dice, self.chances = random.Random(seed), chances
        self.now, self.chaos, self.steps = 0.0, chances != CALM, 0
        self.stats: Counter[str] = Counter()
        self.violation: Violation | None = None
        self.processes: list[Process] = []
        # Attempts, task id and epoch, whose process was killed.
        self.killed: set[tuple[str, int]] = set()
        self.story: list[str] | None = None
        self._hub = getcurrent()
        self._queue: list[tuple[float, int, Fiber | Callable[[], None], int]] = []
        self._serial = 0

    # Who runs.

    def spawn(self, name: str, body: Callable[[Process], None], *, stoppable: bool = False) -> Process:
        """Start a process; when it is killed or stops on request, another takes its place."""
        skew = self.dice.uniform(-1, 1) * self.chances.skew if self.chaos else 0.0
        process = Process(name, body, skew, stoppable=stoppable)
        self.processes.append(process)
        self.start(process, lambda: body(process))
        return process

    def start(self, process: Process, body: Callable[[], None], delay: float = 0.0) -> Fiber:
        """Start a thread in a process."""
        fiber = Fiber(process, body, self._hub)
        self._push(self.now + delay, fiber, fiber.ticket)
        return fiber

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        """Let something happen that is no process's doing."""
        self._push(self.now + seconds, act, 0)

    def _push(self, when: float, what: "Fiber | Callable[[], None]", ticket: int) -> None:
        self._serial += 1
        heapq.heappush(self._queue, (when, self._serial, what, ticket))

    def run(self, until: float, done: Callable[[], bool]) -> None:
        """Let everything go on until `done`, or until a time.

        Raises:
            Violation: an invariant broke.
        """
        while self._queue and self._queue[0][0] <= until and not done():
            when, _, what, ticket = heapq.heappop(self._queue)
            self.now = max(self.now, when)
            if not isinstance(what, Fiber):
                what()
            elif not what.dead and not what.process.dead and ticket == what.ticket:
                self._resume(what, ticket)
            if self.violation:
                raise self.violation
        self.now = max(self.now, min(until, self._queue[0][0] if self._queue else until))

    def _resume(self, fiber: Fiber, ticket: int) -> None:
        process = fiber.process
        if process.frozen_until > self.now:
            self._push(process.frozen_until, fiber, ticket)
            return
        self.steps += 1
        try:
            fiber.switch()
        except Violation as broken:
            self.violation = self.violation or broken
        except Exception as bug:
            self.violation = Violation(f"I0 an error that nobody handles: {type(bug).__name__}: {bug}")
            self.violation.__cause__ = bug
        self._bury(process)

    def _bury(self, process: Process) -> None:
        ended = process.fibers[0].dead
        if process not in self.processes or not (process.dead or ended):
            return
        self.processes.remove(process)
        if process.dead and process.attempt:
            self.killed.add(process.attempt[:2])
        again = process.dead or process.stopping
        self.end(process)
        if again:
            delay = self.dice.uniform(1, 8)
            self.at(delay, lambda: None if self.violation else self._respawn(process))

    def _respawn(self, old: Process) -> None:
        self.spawn(old.name, old.body, stoppable=old.stoppable)

    def end(self, process: Process) -> None:
        """Take every thread of a process away, wherever it stands."""
        process.dead = True
        for fiber in process.fibers:
            while fiber and not fiber.dead:
                try:
                    fiber.throw(Killed())
                except Violation as broken:
                    self.violation = self.violation or broken

    def end_all(self) -> None:
        """Take everything away."""
        for process in list(self.processes):
            self.end(process)
        self.processes.clear()

    # What a process does.

    def me(self) -> Process:
        """The process that runs now."""
        fiber = getcurrent()
        if not isinstance(fiber, Fiber):
            raise TypeError("only a process can do that")
        return fiber.process

    def my_name(self) -> str:
        """The name of what runs now, for the story."""
        fiber = getcurrent()
        return fiber.process.name if isinstance(fiber, Fiber) else "-"

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self.wait_until(self.now + seconds)

    def wait_until(self, when: float) -> None:
        """Wait for a time, or for `wake`."""
        fiber = getcurrent()
        if not isinstance(fiber, Fiber):
            raise TypeError("only a process can wait")
        if fiber.process.dead:
            raise Killed
        fiber.ticket += 1
        self._push(when, fiber, fiber.ticket)
        self._hub.switch()
        if fiber.process.dead:
            raise Killed

    def wake(self, fiber: Fiber) -> None:
        """End the wait of another thread."""
        if not fiber.dead:
            self._push(self.now, fiber, fiber.ticket)

    def point(self, what: str, *, critical: bool = False) -> None:
        """A place where the process can be killed, frozen or overtaken; takes a moment in any case."""
        process = self.me()
        if process.dead:
            raise Killed
        if self.hits("kill"):
            self.say(f"kill -9 at {what}")
            self.kill()
        if process.stoppable and self.hits("sigterm"):
            self.say("SIGTERM")
            process.stopping = True
        if self.hits("freeze"):
            self.freeze(self.dice.uniform(*FREEZE), what)
        elif critical and self.hits("freeze_critical"):
            self.freeze(self.dice.uniform(*FREEZE_PAST_LEASE), what)
        mean = _SLOW_LATENCY if self.chaos and self.dice.random() < 0.03 else _LATENCY
        self.sleep(self.dice.expovariate(1 / mean))

    def kill(self) -> None:
        """End the process that runs now."""
        self.me().dead = True
        raise Killed

    def freeze(self, seconds: float, where: str) -> None:
        """Let the process that runs now stand still, as by SIGSTOP, from its next wait on."""
        self.say(f"frozen for {seconds:.0f} s at {where}")
        self.me().frozen_until = self.now + seconds

    def hits(self, fault: str) -> bool:
        """Whether a fault happens now; it is counted."""
        if not self.chaos or self.dice.random() >= getattr(self.chances, fault):
            return False
        self.stats[fault] += 1
        return True

    def heal(self) -> None:
        """No more faults; what was frozen goes on."""
        self.chaos = False
        for process in [p for p in self.processes if p.frozen_until > self.now]:
            process.frozen_until = 0.0
            for fiber in process.fibers:
                self.wake(fiber)

    def say(self, text: str) -> None:
        """Add a line to the story, when somebody wants to read it."""
        if self.story is not None:
            self.story.append(f"{self.now:9.2f}  {self.my_name():8}  {text}")

    def violate(self, text: str) -> None:
        """Break the run off: an invariant does not hold."""
        self.say(f"VIOLATION: {text}")
        self.violation = self.violation or Violation(text)
        raise self.violation
