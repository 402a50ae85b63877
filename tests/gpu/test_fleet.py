"""The real worker on two simulated cards: which nodes there are, what comes back, what is put aside, how all ends."""

import signal

import pytest

from tests.farm import until
from tests.gpu.cards import PATIENCE, Cards, cards, gone
from workers import roster
from workers.roster import Stage

__all__ = ["cards"]
pytestmark = [pytest.mark.xdist_group("gpu fleet"), pytest.mark.timeout(900)]


def test_each_card_has_a_node_that_answers(cards: Cards) -> None:
    cards.have("gpu0", "gpu1")
    assert cards.stages() == [Stage.WORKS, Stage.WORKS]
    assert {event["uuid"] for event in cards.sim.events("enc_open")} == {cards.sim.uuid(0), cards.sim.uuid(1)}


def test_a_killed_node_comes_back_and_the_other_one_does_not_notice(cards: Cards) -> None:
    cards.have("gpu0", "gpu1")
    other, victim = cards.nodes()["gpu0"], cards.nodes()["gpu1"]
    pool = until(victim.children, "its pool runs")
    victim.kill()
    until(lambda: gone(victim, *pool), "it is gone with its pool")
    cards.have("gpu0", "gpu1")
    assert cards.nodes()["gpu0"] == other
    assert cards.told("Node ended by itself, it is started again", node="gpu1")


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


def test_a_killed_fleet_takes_its_nodes_along(cards: Cards) -> None:
    cards.start()
    until(lambda: set(cards.nodes()) == {"gpu0", "gpu1"}, "both nodes run", PATIENCE)
    until(lambda: len(cards.fleet.children(recursive=True)) >= 4, "both have a pool", PATIENCE)
    everybody = cards.fleet.children(recursive=True)
    cards.farm.stop("worker", signal.SIGKILL)
    until(lambda: gone(*everybody), "all are gone", PATIENCE)
