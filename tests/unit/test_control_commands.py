"""What `celery control` commands mean here. Over a real node: `tests/flow/test_remote.py`."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import CeleryCommandException
from celery.worker.control import Panel

from tests.unit.conftest import Farm
from transcode.task import made, new_id
from workers import commands, names, tools

UNKNOWN = "01946a2e-0000-7000-8000-000000000000"
CELERY_ID = "675b6a0e-7b8a-4356-b10e-5291d695f2d7"


def an_app(remote: bool = True, running: dict[str, Any] | None = None) -> Any:
    """As much of a Celery app as is asked: its settings, and what its nodes answer."""
    answer = {"cpu@here": running or {}, "cpu@there": {}}
    inspect = lambda **_: SimpleNamespace(query_task=lambda _: answer)  # noqa: E731
    conf = SimpleNamespace(worker_enable_remote_control=remote, task_default_queue="tasks")
    return SimpleNamespace(conf=conf, control=SimpleNamespace(inspect=inspect))


@pytest.fixture
def task_id(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(tools, "desk", lambda: farm.desk)
    now = farm.clock()
    task = made(
        new_id(now), now, input_bucket="in-bucket", input_key="a.mp4", output_bucket="out-bucket",
        transcode_types=("thumbnail",),
    )  # fmt: skip
    assert farm.store.create(task)
    return task.task_id


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("add_consumer", "cancel_consumer"),
        ("autoscale", "pool_grow"),
        ("rate_limit", "MAX_CONCURRENT_TASKS"),
        ("pool_restart", "stop the worker"),
        ("enable_events", "/api/workers"),
        ("disable_events", "no events"),
        ("heartbeat", "/api/workers"),
        ("election", "Nodes do not talk"),
        ("revoke_by_stamped_headers", "revoke"),
    ],
)
def test_what_has_no_effect_here_is_refused_in_words(command: str, word: str) -> None:
    assert command in Panel.data
    with pytest.raises(CeleryCommandException, match=word):
        commands.refuse(an_app(), command, {"queue": "other"})


@pytest.mark.parametrize(
    "command", ["ping", "active", "stats", "pool_grow", "pool_shrink", "cancel_consumer", "shutdown", "revoke"]
)
def test_what_has_an_effect_is_sent(command: str) -> None:
    commands.refuse(an_app(), command, {})
    commands.refuse(an_app(), "add_consumer", {"queue": "tasks"})


def test_switched_off_only_what_needs_no_node_is_left() -> None:
    commands.refuse(an_app(remote=False), "revoke", {})
    with pytest.raises(CeleryCommandException, match="REMOTE_CONTROL=false"):
        commands.refuse(an_app(remote=False), "ping", {})


def test_a_task_is_cancelled_by_its_id(farm: Farm, task_id: str) -> None:
    assert commands.cancel(an_app(), task_id) == [{task_id: {"ok": "The task was cancelled."}}]
    assert farm.store.read(task_id).status == "cancelled"


def test_a_task_is_cancelled_by_the_id_that_a_node_shows(farm: Farm, task_id: str) -> None:
    running = {CELERY_ID: ["active", {"name": names.RUN, "args": [task_id]}]}
    answers = commands.cancel(an_app(running=running), [CELERY_ID, UNKNOWN])
    assert answers[0] == {CELERY_ID: {"ok": "The task was cancelled."}}
    # Another id leads to the same task, which is over by now: the fake nodes answer so to everything.
    assert "error" in answers[1][UNKNOWN]
    assert farm.store.read(task_id).status == "cancelled"


def test_an_ingest_is_no_task(task_id: str) -> None:
    running = {CELERY_ID: ["active", {"name": names.INGEST, "args": [{}]}]}
    with pytest.raises(CeleryCommandException, match="No task has the id"):
        commands.cancel(an_app(running=running), [CELERY_ID])


def test_nothing_cancelled_is_a_refusal(farm: Farm, task_id: str) -> None:
    with pytest.raises(CeleryCommandException, match=f"No task has the id {UNKNOWN}") as refused:
        commands.cancel(an_app(), [UNKNOWN])
    assert refused.value.exit_code == 1
    with pytest.raises(CeleryCommandException, match="The id of a task is wanted"):
        commands.cancel(an_app(), [])
    commands.cancel(an_app(remote=False), [task_id])
    with pytest.raises(CeleryCommandException, match="The task is cancelled"):
        commands.cancel(an_app(), [task_id])
