"""`/api/workers` over the fakes."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from tests.fakes import START
from tests.unit.test_roll import FULL, a_worker
from tests.unit.webapp.conftest import KEY, Bench
from transcode import roll
from transcode.roll import Worker
from transcode.task import FARM


@pytest.fixture
def tell(bench: Bench) -> Callable[[Worker], object]:
    return lambda worker: bench.store.merge_aside(FARM, roll.page(worker.node), {worker.node: roll.told(worker)})


def test_nobody_has_told_anything_yet(client: FlaskClient) -> None:
    response = client.get("/api/workers")
    assert (response.status_code, response.get_json()) == (200, {"workers": [], "count": 0})


def test_a_node_is_shown_with_all_that_it_told(client: FlaskClient, tell: Callable[[Worker], object]) -> None:
    tell(FULL)
    (found,) = client.get("/api/workers").get_json()["workers"]
    stamp = "2025-01-15T10:00:00.000000Z"
    assert found == {
        "node": "gpu0@here", "state": "running", "host": "here", "pid": 7, "started_at": stamp, "seen_at": stamp,
        "version": "0.1.0", "concurrency": 2, "kind": "nvenc+nvdec", "ffmpeg": "ffmpeg version 9", "sandbox": "bwrap",
        "card": {"name": "Tesla T4", "uuid": "GPU-1", "driver": "580.95.05", "memory": 15 * 1024**3},
        "load": {
            "encoder": 40, "decoder": None, "gpu": 10, "memory_used": 1, "memory_total": 2, "temperature": 61,
            "sessions": 2,
        },
        "tasks": ["a", "b"], "poll_age": 1.5,
        "aside": [{"uuid": "GPU-2", "name": "Tesla T4", "node": "gpu1", "since": stamp, "why": "它坏了"}],
    }  # fmt: skip


def test_the_states_are_those_of_this_moment(
    bench: Bench, client: FlaskClient, tell: Callable[[Worker], object]
) -> None:
    tell(a_worker("gpu0@a", START + 60))
    tell(a_worker("gpu1@a", START))
    tell(a_worker("gpu2@a", START, ended=True))
    bench.clock.advance(120)
    found = client.get("/api/workers").get_json()
    assert found["count"] == 3
    assert [(w["node"], w["state"]) for w in found["workers"]] == [
        ("gpu0@a", "running"), ("gpu1@a", "silent"), ("gpu2@a", "ended"),
    ]  # fmt: skip
    assert found["workers"][1]["version"] is None


def test_a_key_is_wanted_where_keys_are_set(make_bench: Callable[..., Bench]) -> None:
    client = make_bench(api_keys=(KEY,)).app().test_client()
    assert client.get("/api/workers").status_code == 401
    assert client.get("/api/workers", headers={"X-API-Key": KEY}).status_code == 200
