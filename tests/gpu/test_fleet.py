"""The real worker on two simulated cards: its nodes, what they run at once, what breaks, comes back and ends."""

import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.clips import make
from tests.farm import until
from tests.gpu.cards import PATIENCE, Cards, cards, gone
from transcode.states import Status
from transcode.task import Task
from workers import roster
from workers.roster import Stage

__all__ = ["cards"]
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clips") / "clip.mp4", size="256x144", seconds=2.0, rate=25)


def uploaded(cards: Cards, clip: Path, name: str, count: int) -> list[Task]:
    """The tasks of so many uploads, ended."""
    for number in range(count):
        cards.farm.upload(clip, f"{name}/{number}.mp4")

    def ended() -> list[Task] | None:
        found = [t for t in cards.tasks() if t.input_key.startswith(f"{name}/")]
        return found if len(found) == count and all(t.over for t in found) else None

    found: list[Task] = until(ended, f"{count} tasks of {name} are over", PATIENCE)
    return found


def at_once(cards: Cards, since: float) -> tuple[int, Counter[str]]:
    """The most decode sessions that were open at the same time: on all cards, and on each."""
    steps = [(e["t"], 1 if e["ev"] == "dec_open" else -1, e["uuid"]) for e in cards.sim.events()
             if e["ev"] in ("dec_open", "dec_close") and e["t"] >= since]  # fmt: skip
    most, now, of_card, most_of = 0, 0, Counter[str](), Counter[str]()
    for _, step, uuid in sorted(steps):
        now += step
        of_card[uuid] += step
        most, most_of[uuid] = max(most, now), max(most_of[uuid], of_card[uuid])
    return most, most_of


def test_each_card_has_a_node_that_answers(cards: Cards) -> None:
    cards.have("gpu0", "gpu1")
    assert cards.stages() == [Stage.WORKS, Stage.WORKS]
    assert {event["uuid"] for event in cards.sim.events("enc_open")} == {cards.sim.uuid(0), cards.sim.uuid(1)}


def test_four_tasks_run_at_once_on_two_cards_and_never_five(cards: Cards, clip: Path) -> None:
    cards.have("gpu0", "gpu1")
    # Slow cards, so that tasks overlap for certain.
    cards.sim.control(fps=15)
    since = time.time()
    tasks = uploaded(cards, clip, "many", 10)
    cards.sim.control()
    assert {t.status for t in tasks} == {Status.COMPLETED}
    assert {o.lane for t in tasks for o in t.outputs.values() if o.codec != "mjpeg"} == {"nvdec+nvenc"}
    most, of_card = at_once(cards, since)
    assert most == 4
    assert of_card == {cards.sim.uuid(0): 2, cards.sim.uuid(1): 2}


def test_what_a_breaking_card_drops_is_done_by_the_other(cards: Cards, clip: Path) -> None:
    cards.have("gpu0", "gpu1")
    cards.sim.control(fps=15, fail_at="1000000,20")
    since = time.time()
    tasks = uploaded(cards, clip, "broken", 6)
    broke = [e["t"] for e in cards.sim.events("fail") if e["t"] >= since]
    assert broke
    assert {e["uuid"] for e in cards.sim.events("fail") if e["t"] >= since} == {cards.sim.uuid(1)}
    assert {(t.status, t.attempts) for t in tasks} == {(Status.COMPLETED, 1)}
    assert {t.worker.split("@")[0] for t in tasks} == {"gpu0"}
    assert cards.told("GPU put aside", node="gpu1")
    cards.sim.control()
    until(lambda: cards.stages() == [Stage.WORKS, Stage.WORKS], "the card is taken back", PATIENCE)


@pytest.mark.slow
def test_a_killed_node_comes_back_and_the_other_one_does_not_notice(cards: Cards) -> None:
    cards.have("gpu0", "gpu1")
    other, victim = cards.nodes()["gpu0"], cards.nodes()["gpu1"]
    pool = until(victim.children, "its pool runs")
    victim.kill()
    until(lambda: gone(victim, *pool), "it is gone with its pool")
    cards.have("gpu0", "gpu1")
    assert cards.nodes()["gpu0"] == other
    assert cards.told("Node ended by itself, it is started again", node="gpu1")


@pytest.mark.slow
def test_a_sick_card_is_put_aside_alone_and_taken_back(cards: Cards) -> None:
    cards.have("gpu0", "gpu1")
    other, sick = cards.nodes()["gpu0"], cards.nodes()["gpu1"]
    cards.sicken(1)
    until(lambda: cards.told("GPU put aside", node="gpu1"), "it is put aside")
    until(lambda: gone(sick), "its node has ended")
    until(lambda: cards.told("Node stopped", node="gpu1", how="exit status 0"), "it has ended properly")
    cards.have("gpu0", "gpu1")
    assert cards.told("GPU taken back", node="gpu1")
    assert cards.nodes()["gpu0"] == other


@pytest.mark.slow
def test_the_cpu_stands_in_while_no_card_works(cards: Cards) -> None:
    cards.have("gpu0", "gpu1")
    cards.sim.control(nvenc=0, nvdec="none")
    cards.sicken(0)
    cards.sicken(1)
    cards.have("cpu")
    assert cards.stages() == [Stage.ASIDE, Stage.ASIDE]
    cards.sim.control()
    cards.have("gpu0", "gpu1")
    assert cards.stages() == [Stage.WORKS, Stage.WORKS]


def test_sigterm_ends_everything_and_leaves_nothing(cards: Cards) -> None:
    cards.have("gpu0", "gpu1")
    everybody = cards.fleet.children(recursive=True)
    assert len(everybody) >= 4
    fleet = cards.farm.children.pop("worker")
    fleet.send_signal(signal.SIGTERM)
    try:
        assert fleet.wait(PATIENCE) == 0
    finally:
        fleet.kill()
    assert gone(*everybody)
    assert roster.read(cards.farm.settings.temp_dir) is None


@pytest.mark.slow
def test_a_killed_fleet_takes_its_nodes_along(cards: Cards) -> None:
    cards.start()
    until(lambda: set(cards.nodes()) == {"gpu0", "gpu1"}, "both nodes run", PATIENCE)
    until(lambda: len(cards.fleet.children(recursive=True)) >= 4, "both have a pool", PATIENCE)
    everybody = cards.fleet.children(recursive=True)
    cards.farm.stop("worker", signal.SIGKILL)
    until(lambda: gone(*everybody), "all are gone", PATIENCE)
