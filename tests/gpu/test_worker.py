"""Uploads on a machine with two simulated cards: which job ran where, how many at once, and a card that breaks."""

import time
from collections import Counter
from pathlib import Path

import pytest

from tests.clips import make
from tests.farm import until
from tests.gpu.cards import PATIENCE, Cards, cards
from transcode.states import Status
from transcode.task import Task
from workers.roster import Stage

__all__ = ["cards"]
pytestmark = [pytest.mark.xdist_group("gpu fleet"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def farm(cards: Cards) -> Cards:
    """Two cards that work, and a bridge that tells them of uploads."""
    cards.farm.start("bridge")
    until(lambda: cards.stages() == [Stage.WORKS, Stage.WORKS], "both cards work", PATIENCE)
    cards.have("gpu0", "gpu1")
    return cards


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clips") / "clip.mp4", size="256x144", seconds=2.0, rate=25)


def uploaded(farm: Cards, clip: Path, name: str, count: int) -> list[Task]:
    """The tasks of so many uploads, ended."""
    for number in range(count):
        farm.farm.upload(clip, f"{name}/{number}.mp4")

    def ended() -> list[Task] | None:
        found = [t for t in farm.tasks() if t.input_key.startswith(f"{name}/")]
        return found if len(found) == count and all(t.over for t in found) else None

    found: list[Task] = until(ended, f"{count} tasks of {name} are over", PATIENCE)
    return found


def at_once(farm: Cards, since: float) -> tuple[int, Counter[str]]:
    """The most decode sessions that were open at the same time: on all cards, and on each."""
    steps = [(e["t"], 1 if e["ev"] == "dec_open" else -1, e["uuid"]) for e in farm.sim.events()
             if e["ev"] in ("dec_open", "dec_close") and e["t"] >= since]  # fmt: skip
    most, now, of_card, most_of = 0, 0, Counter[str](), Counter[str]()
    for _, step, uuid in sorted(steps):
        now += step
        of_card[uuid] += step
        most, most_of[uuid] = max(most, now), max(most_of[uuid], of_card[uuid])
    return most, most_of


def test_four_tasks_run_at_once_on_two_cards_and_never_five(farm: Cards, clip: Path) -> None:
    # Slow cards, so that tasks overlap for certain.
    farm.sim.control(fps=15)
    since = time.time()
    tasks = uploaded(farm, clip, "many", 10)
    farm.sim.control()
    assert {t.status for t in tasks} == {Status.COMPLETED}
    assert {o.lane for t in tasks for o in t.outputs.values() if o.codec != "mjpeg"} == {"nvdec+nvenc"}
    most, of_card = at_once(farm, since)
    assert most == 4
    assert of_card == {farm.sim.uuid(0): 2, farm.sim.uuid(1): 2}


def test_what_a_breaking_card_drops_is_done_by_the_other(farm: Cards, clip: Path) -> None:
    farm.sim.control(fps=15, fail_at="1000000,20")
    since = time.time()
    tasks = uploaded(farm, clip, "broken", 6)
    broke = [e["t"] for e in farm.sim.events("fail") if e["t"] >= since]
    assert broke
    assert {e["uuid"] for e in farm.sim.events("fail") if e["t"] >= since} == {farm.sim.uuid(1)}
    assert {(t.status, t.attempts) for t in tasks} == {(Status.COMPLETED, 1)}
    assert {t.worker.split("@")[0] for t in tasks} == {"gpu0"}
    assert farm.told("GPU put aside", node="gpu1")
    farm.sim.control()
    until(lambda: farm.stages() == [Stage.WORKS, Stage.WORKS], "the card is taken back", PATIENCE)
