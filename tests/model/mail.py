"""The two queues in the simulation: task messages, and S3 notifications for the bridge.

Standard queues: at least once, in any order, now and then late, and a delete may do nothing.
"""

from dataclasses import dataclass, field

from tests.model.clockwork import Clockwork
from tests.model.line import Line
from transcode.errors import ServiceUnavailable
from transcode.ports import Callback

# Seconds a message stays hidden when nobody says otherwise, as the queue is provisioned.
VISIBILITY = 90.0
# After that many receipts SQS moves a message to the dead-letter queue.
MAX_RECEIVES = 10
# Seconds for which a purge goes on eating, and of the longest delay on the way.
_PURGE, _HELD_UP = 60.0, 200.0


@dataclass
class Letter:
    """One message. `receipt` names its latest receive; older receipts are stale."""

    body: str
    visible: float
    receipt: int = 0
    received: int = 0


@dataclass
class SimQueue:
    """One queue with its dead letters."""

    clock: Clockwork
    letters: list[Letter] = field(default_factory=list)
    dead: list[Letter] = field(default_factory=list)
    purged_until: float = -1.0
    _serial: int = 0

    def __post_init__(self) -> None:
        self._line = Line(self.clock, "sqs")

    def send(self, task_id: str, delay: float = 0.0, *, urgent: bool = False, group: str = "") -> None:
        """As `ports.TaskQueue` says. A message whose answer is lost may be on its way all the same."""
        if not 0 <= delay <= 900:
            raise ValueError(f"SQS delays by 0 to 900 seconds, not {delay}")
        try:
            self._line.call(f"send {task_id[-6:]} delay {delay:.0f}", lambda: self.post(task_id, delay), critical=True)
        except ServiceUnavailable as exc:
            raise ServiceUnavailable("The task queue took no message.") from exc

    def post(self, body: str, delay: float = 0.0) -> None:
        """Take a message in, as the service does: perhaps twice, perhaps late, perhaps eaten by a purge."""
        clock = self.clock
        if clock.now < self.purged_until and clock.dice.random() < 0.5:
            clock.stats["eaten by a purge"] += 1
            return
        for _ in range(2 if clock.hits("duplicate") else 1):
            late = clock.dice.uniform(0, _HELD_UP) if clock.hits("held_up") else 0.0
            self.letters.append(Letter(body, clock.now + delay + late))

    def purge(self) -> None:
        """Throw every message away, and for a minute some that come after."""
        self.letters.clear()
        self.purged_until = self.clock.now + _PURGE

    def _ready(self) -> list[Letter]:
        return [letter for letter in self.letters if letter.visible <= self.clock.now]

    def receive(self) -> "Receipt | None":
        """One message that is visible, if there is any."""
        if not self._ready():
            return None
        self.clock.point("receive")
        ready = self._ready()
        if not ready:
            return None
        letter = self.clock.dice.choice(ready)
        self._serial += 1
        letter.receipt, letter.received = self._serial, letter.received + 1
        if letter.received > MAX_RECEIVES:
            self.letters.remove(letter)
            self.dead.append(letter)
            self.clock.stats["dead-lettered"] += 1
            return None
        # At-least-once: some other consumer may see it in the same moment.
        letter.visible = self.clock.now + (0.0 if self.clock.hits("duplicate") else VISIBILITY)
        return Receipt(self, letter, letter.receipt)


@dataclass
class SimCallbacks:
    """The callback queue, as whoever ends a task fills it: which ends it has a message of."""

    clock: Clockwork
    sent: set[tuple[str, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._line = Line(self.clock, "sqs")

    def send(self, callback: Callback, delay: float) -> None:
        """As `ports.Callbacks` says."""
        end = (callback.task_id, callback.generation)
        self._line.call(f"announce {end[0][-6:]} in {delay:.0f}", lambda: self.sent.add(end), critical=True)


@dataclass(frozen=True)
class Receipt:
    """A received message; fills `lease.Message`. A stale receipt does nothing, or the same as a fresh one."""

    queue: SimQueue
    letter: Letter
    receipt: int

    def _counts(self) -> bool:
        return self.receipt == self.letter.receipt or self.queue.clock.dice.random() < 0.5

    def extend(self, seconds: float) -> None:
        """As `lease.Message` says."""
        clock = self.queue.clock
        clock.point("extend")
        if self._counts() and not clock.hits("forgotten"):
            self.letter.visible = clock.now + seconds

    def delete(self) -> None:
        """As `lease.Message` says. SQS may forget it, and a stale receipt may take the new holder's message."""
        clock = self.queue.clock
        clock.point("delete", critical=True)
        if self._counts() and self.letter in self.queue.letters and not clock.hits("forgotten"):
            self.queue.letters.remove(self.letter)
