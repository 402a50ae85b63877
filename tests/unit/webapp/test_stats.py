"""GET /api/stats: the farm at a glance, at a cost that does not grow."""

from collections import Counter
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.fakes import START, MemoryTasks
from tests.unit.webapp.conftest import Bench
from transcode import roll, steps, submit
from transcode.clock import timestamp
from transcode.errors import ServiceUnavailable
from transcode.roll import Card, Load, Worker
from transcode.task import FARM


def tell(bench: Bench, node: str, seen: float = START, **fields: Any) -> None:
    worker = Worker(
        node=node, host="h", pid=1, started_at=timestamp(START - 999), seen_at=timestamp(seen), concurrency=2,
        kind="cpu", ffmpeg="ffmpeg version 9", sandbox="none", **fields,
    )  # fmt: skip
    bench.store.merge_aside(FARM, roll.page(node), {node: roll.told(worker)})


def count(bench: Bench, of_day: str, slot: str, times: int) -> None:
    for _ in range(times):
        bench.store.add_aside(FARM, f"ended-{of_day}", slot)


def stats(client: FlaskClient) -> dict[str, Any]:
    response = client.get("/api/stats")
    assert response.status_code == 200
    found: dict[str, Any] = response.get_json()
    return found


def test_an_idle_farm_has_a_number_for_everything(client: FlaskClient) -> None:
    found = stats(client)
    assert found["timestamp"] == "2025-01-15T10:00:00.000000Z"
    assert found["queue"] == {"waiting": 3, "in_flight": 2, "delayed": 1, "dead_letter": 4}
    assert found["running"] == {"count": 0, "more": False}
    assert found["today"] == {"completed": 0, "failed": 0, "cancelled": 0}
    assert found["workers"] == {"running": 0, "silent": 0, "ended": 0, "capacity": 0}
    assert found["cards"] == []


def test_the_last_24_hours_reach_into_yesterday(client: FlaskClient, bench: Bench) -> None:
    count(bench, "2025-01-14", "10-completed", 7)  # a day ago: just out of sight
    count(bench, "2025-01-14", "11-completed", 1)
    count(bench, "2025-01-14", "23-failed", 2)
    count(bench, "2025-01-15", "00-completed", 3)
    count(bench, "2025-01-15", "10-completed", 4)
    count(bench, "2025-01-15", "10-cancelled", 5)
    found = stats(client)
    hours = {hour.pop("hour"): Counter(hour) for hour in found["hours"]}
    assert next(iter(hours)) == "2025-01-14T11:00:00Z"
    assert list(hours)[-1] == "2025-01-15T10:00:00Z"
    assert len(hours) == 24
    assert {name: +hour for name, hour in hours.items() if +hour} == {
        "2025-01-14T11:00:00Z": {"completed": 1}, "2025-01-14T23:00:00Z": {"failed": 2},
        "2025-01-15T00:00:00Z": {"completed": 3}, "2025-01-15T10:00:00Z": {"completed": 4, "cancelled": 5},
    }  # fmt: skip
    assert found["today"] == {"completed": 7, "failed": 0, "cancelled": 5}


def test_what_is_processing_is_counted_up_to_a_bound(client: FlaskClient, bench: Bench) -> None:
    def start() -> None:
        task = submit.add(bench.deps().desk, "videos", "holiday/beach.mp4")
        bench.store.save(task, steps.claimed(task, "me", "w1", bench.clock()))

    start()
    assert stats(client)["running"] == {"count": 1, "more": False}
    for _ in range(100):
        start()
    assert stats(client)["running"] == {"count": 100, "more": True}


def test_workers_are_counted_by_state_and_cards_shown(client: FlaskClient, bench: Bench) -> None:
    card = Card(name="NVIDIA L4", uuid="GPU-1", driver="570.1", memory=24 * 10**9)
    load = Load(encoder=80, gpu=20, memory_used=10**9, memory_total=24 * 10**9)
    tell(bench, "gpu0@h", card=card, load=load, tasks=("t1", "t2"))
    tell(bench, "cpu@h")
    tell(bench, "gpu1@h", seen=START - 600, card=card)
    tell(bench, "gpu2@h", ended=True, card=card)
    found = stats(client)
    assert found["workers"] == {"running": 2, "silent": 1, "ended": 1, "capacity": 4}
    (shown,) = found["cards"]
    assert (shown["node"], shown["card"]["name"], shown["load"]["encoder"], shown["tasks"]) == (
        "gpu0@h", "NVIDIA L4", 80, 2,
    )  # fmt: skip


def test_it_costs_the_same_however_much_there_is(bench: Bench) -> None:
    asked: Counter[str] = Counter()

    class Counting(MemoryTasks):
        def __getattribute__(self, name: str) -> Any:
            if name in ("read", "page", "read_aside", "read_asides"):
                asked[name] += 1
            return super().__getattribute__(name)

    store = Counting(bench.clock)
    client = bench.app(store=store).test_client()
    for _ in range(2):
        asked.clear()
        stats(client)
        assert asked == {"page": 1, "read_aside": 2, "read_asides": 1}
        for _ in range(50):
            submit.add(bench.deps(store=store).desk, "videos", "holiday/beach.mp4")


@pytest.mark.parametrize("what", ["counts", "store"])
def test_a_dependency_that_is_down_is_told_so(bench: Bench, what: str) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise ServiceUnavailable("AWS did not answer.")

    class Down(MemoryTasks):
        page = fail

    broken: dict[str, Any] = {"counts": fail} if what == "counts" else {"store": Down()}
    response = bench.app(**broken).test_client().get("/api/stats")
    assert (response.status_code, response.get_json()["code"]) == (503, "service_unavailable")
