"""The one way a step becomes true, with every answer a store can give."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.fakes import START, FakeClock, ListCallbacks, MemoryTasks
from transcode import ledger, steps, task
from transcode.errors import Conflict, ServiceUnavailable, Unknown
from transcode.task import Task


def made() -> Task:
    return task.made(
        "a", START, input_bucket="in", input_key="k.mp4", output_bucket="out", transcode_types=("thumbnail",)
    )


@dataclass
class Books:
    store: MemoryTasks
    callbacks: ListCallbacks = field(default_factory=ListCallbacks)
    clock: FakeClock = field(default_factory=FakeClock)


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
    moved = ledger.move(Books(store), made(), lambda t: steps.sent(t, START))
    assert store.read("a") == moved
    assert moved.send_count == 1


def test_a_write_that_was_not_applied_is_made_again() -> None:
    store = SilentTasks(deaf=2)
    store.create(made())
    assert ledger.move(Books(store), made(), lambda t: steps.sent(t, START)).send_count == 1


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

    assert ledger.move(Books(store), made(), claim) == tries[0] == store.read("a")


def test_a_store_that_stays_silent_is_an_unknown_outcome() -> None:
    store = SilentTasks(deaf=100)
    store.create(made())
    with pytest.raises(Unknown):
        ledger.move(Books(store), made(), lambda t: steps.sent(t, START))


def test_the_step_decides_anew_when_somebody_was_faster() -> None:
    store = SilentTasks()
    store.create(made())
    rival = lambda: MemoryTasks.save(store, made(), steps.cancel_asked(made(), START))  # noqa: E731
    store.meanwhile.append(rival)
    with pytest.raises(Conflict, match="cancelled"):
        ledger.move(Books(store), made(), lambda t: steps.claimed(t, "me", "w", START))
    assert store.read("a").status == "cancelled"


def processing(store: MemoryTasks) -> Task:
    """A task of a caller who wants to hear of its end."""
    store.create(made().model_copy(update={"callback": "orders"}))
    return ledger.move(Books(store), store.read("a"), lambda t: steps.claimed(t, "me", "w", START))


def end(task: Task) -> Task:
    return steps.failed(task, "me", START, Conflict("it is no film"), ())


def test_an_end_is_announced_before_it_is_written_and_nothing_else_is() -> None:
    store = SilentTasks()
    books, seen = Books(store), list[bool]()
    task = processing(store)
    assert not books.callbacks.sent
    store.meanwhile.append(lambda: seen.append(bool(books.callbacks.sent)))
    ledger.move(books, task, end)
    assert seen == [True]
    assert [(c.task_id, c.generation, c.target) for c in books.callbacks.sent] == [("a", 0, "orders")]


def test_an_end_that_nobody_waits_for_is_not_announced() -> None:
    store = SilentTasks()
    store.create(made())
    books = Books(store)
    ledger.move(books, ledger.move(books, made(), lambda t: steps.claimed(t, "me", "w", START)), end)
    assert not books.callbacks.sent


def test_what_sqs_does_not_take_is_sent_later_and_once() -> None:
    store = SilentTasks()
    books = Books(store, ListCallbacks(outage=ServiceUnavailable("no SQS")))
    assert ledger.move(books, processing(store), end).over
    with pytest.raises(ServiceUnavailable):
        ledger.send_unsent(books)
    books.callbacks.outage = None
    assert [ledger.send_unsent(books), ledger.send_unsent(books)] == [1, 0]
    assert [(c.task_id, c.generation, c.target) for c in books.callbacks.sent] == [("a", 0, "orders")]


def test_an_end_that_cannot_be_announced_at_all_is_not_written() -> None:
    store = SilentTasks()
    task = processing(store)

    def away(*_: object) -> dict[str, object]:
        raise ServiceUnavailable("no DynamoDB")

    store.merge_aside = away  # type: ignore[method-assign]
    with pytest.raises(ServiceUnavailable):
        ledger.move(Books(store, ListCallbacks(outage=ServiceUnavailable("no SQS"))), task, end)
    assert not store.read("a").over
