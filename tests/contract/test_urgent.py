"""The urgent queue against moto: it overtakes, holds nothing back, and counts to the same slots."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.embedded_aws import EmbeddedAws
from tests.aws_server import aws  # noqa: F401  a fixture
from tests.contract.farm import Farm, Worker, until
from tests.faults.proxy import Fault, FaultProxy
from workers.urgent import Turns


@pytest.fixture(scope="module")
def both(aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Farm, Worker]]:  # noqa: F811
    """A farm with two queues and its worker, which has two slots."""
    with FaultProxy(aws.endpoint) as proxy:
        farm = Farm(aws, proxy, tmp_path_factory.mktemp("urgent"))
        farm.have_urgent()
        try:
            yield farm, farm.worker()
        finally:
            farm.close()


def starts(farm: Farm) -> list[str]:
    return [line.split()[1] for line in farm.said() if line.startswith(("start", "note"))]


def test_an_urgent_task_overtakes_the_backlog(both: tuple[Farm, Worker], tmp_path: Path) -> None:
    farm, _ = both
    first, then = tmp_path / "first", tmp_path / "then"
    for n in range(2):
        farm.ask("tiny.hold", f"busy{n}", str(first))
    until(lambda: len(starts(farm)) == 2, "the start of two tasks")
    for n in range(4):
        farm.ask("tiny.hold", f"waits{n}", str(then))
    farm.ask("tiny.note", "urgent", queue=f"urgent-{farm.name}")
    first.touch()
    until(lambda: len(starts(farm)) >= 3, "the next task")
    assert starts(farm)[2] == "urgent"
    then.touch()
    until(lambda: farm.counts() == (0, 0), "the deletion of all messages, each from its own queue")
    assert sorted(starts(farm)[3:]) == ["waits0", "waits1", "waits2", "waits3"]


def test_both_queues_together_fill_the_slots_and_no_more(both: tuple[Farm, Worker], tmp_path: Path) -> None:
    farm, _ = both
    gate, before = tmp_path / "gate", len(starts(farm))
    for n in range(3):
        farm.ask("tiny.hold", f"some{n}", str(gate))
        farm.ask("tiny.hold", f"dear{n}", str(gate), queue=f"urgent-{farm.name}")
    until(lambda: len(starts(farm)) == before + 2, "the start of two tasks")
    for _ in range(20):
        assert farm.counts() == (4, 2)
    gate.touch()
    until(lambda: farm.counts() == (0, 0), "the end of all six")
    assert len(starts(farm)) == before + 6


def test_an_urgent_queue_that_cannot_be_polled_holds_nobody_up(both: tuple[Farm, Worker]) -> None:
    farm, worker = both
    rule = farm.polls(Fault.status(503), 2, f"urgent-{farm.name}")
    until(lambda: not rule.left, "polls that go wrong")
    farm.works()
    farm.ask("tiny.note", "after-all", queue=f"urgent-{farm.name}")
    until(lambda: "note after-all" in farm.said(), "an urgent task")
    assert worker.alive


def test_a_group_arrives_for_fair_queues(both: tuple[Farm, Worker]) -> None:
    farm, worker = both
    worker.child.terminate()
    worker.child.wait(30)
    farm.ask("tiny.note", "grouped", MessageGroupId="bucket-a")
    (message,) = farm.sqs.receive_message(QueueUrl=farm.url, AttributeNames=["All"])["Messages"]
    assert message["Attributes"]["MessageGroupId"] == "bucket-a"


class TestTurns:
    def turns(self) -> Turns:
        return Turns("u", "o", wait=20)

    def test_idle_queues_are_asked_in_turn_and_briefly(self) -> None:
        turns = self.turns()
        seen = []
        for _ in range(4):
            seen.append(turns.next())
            turns.saw(seen[-1][0], 0)
        assert seen == [("u", 5), ("o", 5), ("u", 5), ("o", 5)]

    def test_under_a_backlog_the_urgent_one_is_only_looked_into(self) -> None:
        turns = self.turns()
        turns.next()
        turns.saw(turns.next()[0], 2)
        assert turns.next() == ("u", 0)
        assert turns.next() == ("o", 5)

    def test_the_urgent_one_is_asked_again_as_long_as_it_yields(self) -> None:
        turns = self.turns()
        for _ in range(3):
            address, _ = turns.next()
            assert address == "u"
            turns.saw(address, 1)
        turns.saw(turns.next()[0], 0)
        assert turns.next()[0] == "o"
