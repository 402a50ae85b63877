"""The counters of ended tasks, and what puts them right."""

from weakref import ref

import pytest

from tests.unit.conftest import Farm, Letter
from transcode import counts, submit
from transcode.errors import InputNotMedia, ServiceUnavailable
from transcode.ports import Page, Query
from transcode.reconcile import Reconciler
from transcode.run import run
from transcode.states import Status
from transcode.task import Task

DAY = "2025-01-15"


@pytest.fixture
def task(farm: Farm) -> Task:
    farm.storage.put("in-bucket", "film.mp4", b"film")
    return submit.add(farm.desk, "in-bucket", "film.mp4")


def totals(farm: Farm, of: str = DAY) -> dict[str, int]:
    return {status: sum(hours) for status, hours in counts.of_day(farm.store, of).items()}


def test_every_end_is_counted_in_its_hour(farm: Farm, task: Task, letter: Letter) -> None:
    run(task.task_id, letter, farm.tools)
    farm.clock.advance(3600)
    submit.cancel(farm.desk, submit.add(farm.desk, "in-bucket", "film.mp4").task_id)
    farm.encoder.refusal = InputNotMedia("no film")
    run(submit.add(farm.desk, "in-bucket", "film.mp4").task_id, letter, farm.tools)
    found = counts.of_day(farm.store, DAY)
    assert (found[Status.COMPLETED][10], found[Status.CANCELLED][11], found[Status.FAILED][11]) == (1, 1, 1)
    assert totals(farm) == {"completed": 1, "cancelled": 1, "failed": 1}


def test_a_counter_that_cannot_be_reached_hinders_no_task(farm: Farm, task: Task, letter: Letter) -> None:
    def away(*_: str) -> None:
        raise ServiceUnavailable("no DynamoDB")

    farm.store.add_aside = away  # type: ignore[method-assign]
    run(task.task_id, letter, farm.tools)
    assert farm.store.read(task.task_id).status is Status.COMPLETED
    assert totals(farm)["completed"] == 0
    counts.recount(farm.store, DAY)
    assert totals(farm)["completed"] == 1


def test_a_task_counts_on_the_day_of_its_end(farm: Farm, task: Task, letter: Letter) -> None:
    farm.clock.advance(86400)
    run(task.task_id, letter, farm.tools)
    assert (totals(farm)["completed"], totals(farm, "2025-01-16")["completed"]) == (0, 1)
    counts.recount(farm.store, "2025-01-16")
    assert totals(farm, "2025-01-16")["completed"] == 1


def test_a_recount_holds_a_page_of_tasks_and_not_the_day(farm: Farm, task: Task, letter: Letter) -> None:
    run(task.task_id, letter, farm.tools)
    ended, most = farm.store.read(task.task_id), 0
    given: list[ref[Task]] = []

    def page(query: Query) -> Page:
        nonlocal most
        if query.status is not Status.COMPLETED or query.date != DAY:
            return Page((), "")
        tasks = tuple(ended.model_copy(update={"ver": n}) for n in range(query.limit))
        given.extend(ref(one) for one in tasks)
        most = max(most, sum(one() is not None for one in given))
        return Page(tasks, str(int(query.cursor or 0) + 1) if query.cursor != "9" else "")

    farm.store.page = page  # type: ignore[method-assign]
    counts.recount(farm.store, DAY)
    assert totals(farm)["completed"] == 1000
    # The page that comes, and the one that goes.
    assert most <= 200


def test_the_reconciler_recounts_once_an_hour(farm: Farm, task: Task, letter: Letter) -> None:
    run(task.task_id, letter, farm.tools)
    farm.store.add_aside("farm", f"ended-{DAY}", "10-completed")
    reconciler = Reconciler(farm.desk)
    reconciler.sweep()
    assert totals(farm)["completed"] == 1
    farm.store.add_aside("farm", f"ended-{DAY}", "10-completed")
    reconciler.sweep()
    assert totals(farm)["completed"] == 2
    farm.clock.advance(3600)
    reconciler.sweep()
    assert totals(farm)["completed"] == 1
