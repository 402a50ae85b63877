"""The one way a step becomes true, with every answer a store can give."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.fakes import START, FakeClock, MemoryTasks
from transcode import ledger, steps, task
from transcode.errors import Conflict, Unknown
from transcode.task import Task


def made() -> Task:
    return task.made(
        "a", START, input_bucket="in", input_key="k.mp4", output_bucket="out", transcode_types=("thumbnail",)
    )


@dataclass
class SilentTasks(MemoryTasks):
    """A store whose answers get lost: before the write is applied (`deaf`) or after it (`mute`)."""

    deaf: int = 0
    mute: int = 0
    meanwhile: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(FakeClock())

    def save(self, old: Task, new: Task) -> None:
        if self.meanwhile:
            self.meanwhile.pop()()
        if self.deaf:
            self.deaf -= 1
            raise Unknown("no answer")
        super().save(old, new)
        if self.mute:
            self.mute -= 1
            raise Unknown("no answer")


def test_a_write_whose_answer_was_lost_is_recognised_as_ours() -> None:
    store = SilentTasks(mute=1)
    store.create(made())
    moved = ledger.move(store, made(), lambda t: steps.sent(t, START))
    assert store.read("a") == moved
    assert moved.send_count == 1


def test_a_write_that_was_not_applied_is_made_again() -> None:
    store = SilentTasks(deaf=2)
    store.create(made())
    assert ledger.move(store, made(), lambda t: steps.sent(t, START)).send_count == 1


def test_a_claim_that_lands_late_is_ours_all_the_same() -> None:
    store = SilentTasks(deaf=1)
    store.create(made())
    tries: list[Task] = []

    def claim(task: Task) -> Task:
        if tries:
            # The first try, given up for lost, arrives between our look and our second try.
            store.meanwhile.append(lambda: MemoryTasks.save(store, made(), tries[0]))
        tries.append(steps.claimed(task, "me", "w", START + len(tries)))
        return tries[-1]

    assert ledger.move(store, made(), claim) == tries[0] == store.read("a")


def test_a_store_that_stays_silent_is_an_unknown_outcome() -> None:
    store = SilentTasks(deaf=100)
    store.create(made())
    with pytest.raises(Unknown):
        ledger.move(store, made(), lambda t: steps.sent(t, START))


def test_the_step_decides_anew_when_somebody_was_faster() -> None:
    store = SilentTasks()
    store.create(made())
    rival = lambda: MemoryTasks.save(store, made(), steps.cancel_asked(made(), START))  # noqa: E731
    store.meanwhile.append(rival)
    with pytest.raises(Conflict, match="cancelled"):
        ledger.move(store, made(), lambda t: steps.claimed(t, "me", "w", START))
    assert store.read("a").status == "cancelled"
