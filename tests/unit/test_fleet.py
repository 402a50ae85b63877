"""The fleet: real child processes, made-up cards, a trial that is a plain function, a clock that a test moves."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.farm import until
from transcode.ffmpeg.health import Health
from transcode.ffmpeg.nvml import Card
from transcode.settings import Settings
from workers import roster
from workers.child import SETTLED
from workers.fleet import LOOK_EVERY, Fleet, visible
from workers.post import FIRST_PAUSE, FORGIVEN, HOPE, LONGEST_PAUSE, Post
from workers.roster import Stage


def card(index: int, number: int | None = None) -> Card:
    uuid = f"GPU-67707573-696d-4000-8000-{index if number is None else number:012}"
    return Card(index, uuid, "Tesla T4", "580.95.05", 16 << 30)


TWO = (card(0), card(1))
A, B = TWO[0].uuid, TWO[1].uuid


@dataclass
class Machine:
    """What a fleet finds: cards, what their trials say, what a node does (a line of shell)."""

    found: Settings
    cards: tuple[Card, ...] = TWO
    faults: dict[str, str] = field(default_factory=dict)
    trials: list[str] = field(default_factory=list)
    line: str = "exec sleep 600"
    lines: dict[str, str] = field(default_factory=dict)
    now: float = 0.0
    fleet: Fleet | None = None

    def trial(self, card: Card) -> str:
        self.trials.append(card.uuid)
        return self.faults.get(card.uuid, "")

    def start(self, trial: Callable[[Card], str] | None = None) -> Fleet:
        self.fleet = Fleet(
            self.found, self.cards, trial or self.trial, look=lambda: self.cards,
            command=lambda name: ["sh", "-c", self.lines.get(name, self.line)], clock=lambda: 1736931600.0 + self.now,
        )  # fmt: skip
        return self.fleet

    @property
    def running(self) -> Fleet:
        assert self.fleet is not None
        return self.fleet

    def until(self, found: Callable[[], object], what: str) -> None:
        """Tick, at a time that stands still, until something is so."""
        until(lambda: self.running.tick(self.now) or found(), what)

    def at(self, now: float) -> None:
        """Tick a few times at a later time, which shows that nothing happens then."""
        self.now = now
        for _ in range(3):
            self.running.tick(now)

    def nodes(self) -> set[str]:
        """The nodes that run."""
        return {child.name for child in self.running.children if child.running}

    def have(self, *names: str) -> None:
        self.until(lambda: self.nodes() == set(names), f"the nodes are {names}")

    def post(self, uuid: str) -> Post:
        return self.running.posts[uuid]

    def stage(self, uuid: str) -> Stage:
        return self.post(uuid).stage

    def health(self, uuid: str) -> Health:
        return Health(self.found.temp_dir / "cards" / uuid)

    def sicken(self, uuid: str) -> None:
        self.health(uuid).suspect("CUDA_ERROR_LAUNCH_FAILED.")
        self.health(uuid).suspect("It hung.")

    def pid(self, name: str) -> int:
        found = [child for child in self.running.children if child.name == name]
        assert found[0]._process is not None
        return found[0]._process.pid


@pytest.fixture
def machine(settings: Settings) -> Iterator[Machine]:
    machine = Machine(settings)
    yield machine
    if machine.fleet is not None:
        machine.fleet.stop(machine.now, signal.SIGKILL)
        machine.until(lambda: machine.running.over, "all nodes are gone")


def test_each_card_has_a_node_that_sees_nothing_else(machine: Machine, tmp_path: Path) -> None:
    machine.line = f"echo $CUDA_VISIBLE_DEVICES $CUDA_DEVICE_ORDER > {tmp_path}/$$.seen; exec sleep 600"
    machine.start()
    machine.have("gpu0", "gpu1")
    until(lambda: len([p for p in tmp_path.glob("*.seen") if p.read_text()]) == 2, "both have told")
    seen = {path.stem: path.read_text().split() for path in tmp_path.glob("*.seen")}
    assert seen == {
        str(machine.pid("gpu0")): [A, "PCI_BUS_ID"], str(machine.pid("gpu1")): [B, "PCI_BUS_ID"],
    }  # fmt: skip
    assert sorted(machine.trials) == [A, B]


def test_a_card_that_fails_its_first_trial_is_tried_again_and_taken_when_it_passes(machine: Machine) -> None:
    machine.faults[B] = "hevc_nvenc did not encode one picture."
    machine.start()
    machine.until(lambda: machine.stage(B) is Stage.ASIDE, "the second card is put aside")
    machine.have("gpu0")
    assert machine.post(B).standing.why == machine.faults[B]
    machine.at(FIRST_PAUSE - 0.1)
    assert machine.trials.count(B) == 1
    del machine.faults[B]
    machine.now = FIRST_PAUSE
    machine.have("gpu0", "gpu1")
    assert machine.trials.count(B) == 2


def test_the_pauses_between_trials_grow_to_ten_minutes(machine: Machine) -> None:
    machine.faults[B] = "dead"
    machine.start()
    machine.until(lambda: machine.stage(B) is Stage.ASIDE, "it is put aside")
    for number, pause in enumerate((30, 60, 120, 240, 480, 600, 600), start=1):
        machine.at(machine.now + pause - 0.1)
        assert machine.trials.count(B) == number
        machine.now += 0.1
        machine.until(lambda number=number: machine.trials.count(B) == number + 1, "it is tried")
        machine.until(lambda: machine.post(B)._trial is None, "it has failed again")
    assert machine.nodes() == {"gpu0"}


def test_a_card_whose_faults_repeat_is_put_aside_alone_and_taken_back(machine: Machine) -> None:
    machine.start()
    machine.have("gpu0", "gpu1")
    other = machine.pid("gpu0")
    machine.health(B).suspect("It hung.")
    machine.at(1.0)
    assert machine.stage(B) is Stage.WORKS
    machine.sicken(B)
    machine.have("gpu0")
    assert (machine.stage(B), machine.stage(A)) == (Stage.ASIDE, Stage.WORKS)
    assert "It hung." in machine.post(B).standing.why
    machine.now += FIRST_PAUSE
    machine.have("gpu0", "gpu1")
    assert machine.health(B).suspicions() == ()
    assert machine.pid("gpu0") == other


def test_no_trial_begins_while_the_node_still_hands_its_tasks_back(machine: Machine, tmp_path: Path) -> None:
    waits = f"touch {tmp_path}/ready; while [ ! -e {tmp_path}/go ]; do sleep 0.1; done"
    machine.lines["gpu1"] = f"trap 'touch {tmp_path}/told' TERM; {waits}"
    machine.start()
    machine.have("gpu0", "gpu1")
    machine.until((tmp_path / "ready").exists, "it listens to the signal")
    machine.sicken(B)
    machine.until((tmp_path / "told").exists, "its node was told")
    machine.at(FIRST_PAUSE)
    assert machine.trials.count(B) == 1
    (tmp_path / "go").touch()
    machine.until(lambda: machine.trials.count(B) == 2, "then it is tried")


def test_a_card_that_passes_trials_and_fails_at_work_is_trusted_ever_more_rarely(machine: Machine) -> None:
    machine.cards = TWO[:1]
    machine.start()
    pauses = []
    for rest in (1.0, 1.0, FORGIVEN + 1.0):
        machine.until(lambda: machine.stage(A) is Stage.WORKS and machine.post(A).child.running, "it works")
        machine.now += rest
        machine.sicken(A)
        machine.until(lambda: machine.stage(A) is Stage.ASIDE and not machine.post(A).child.running, "it is put aside")
        pauses.append(machine.post(A)._due - machine.now)
        machine.now += pauses[-1]
    assert pauses == [FIRST_PAUSE, 2 * FIRST_PAUSE, FIRST_PAUSE]
    assert max(pauses) < LONGEST_PAUSE


def test_a_trial_that_breaks_counts_against_the_card(machine: Machine) -> None:
    def broken(_: Card) -> str:
        raise OSError("no such device")

    machine.start(broken)
    machine.until(lambda: {machine.stage(A), machine.stage(B)} == {Stage.ASIDE}, "both are put aside")
    assert machine.post(A).standing.why == "It could not be tried: no such device"


def test_the_cpu_works_only_while_no_card_does(machine: Machine) -> None:
    machine.start()
    machine.have("gpu0", "gpu1")
    machine.sicken(A)
    machine.have("gpu1")
    machine.faults[A] = machine.faults[B] = "dead"
    machine.sicken(B)
    machine.have("cpu")
    del machine.faults[B]
    machine.now += FIRST_PAUSE
    machine.have("gpu1")


def test_the_cpu_waits_for_the_first_trials(machine: Machine) -> None:
    gate = threading.Event()

    def slow(card: Card) -> str:
        gate.wait(60)
        return "dead"

    machine.start(slow)
    machine.at(1.0)
    assert machine.nodes() == set()
    gate.set()
    machine.have("cpu")


def test_the_cpu_does_not_wait_for_a_trial_that_hangs(machine: Machine) -> None:
    gate = threading.Event()
    machine.start(lambda _: "" if gate.wait(60) else "hung")
    machine.at(0.0)
    machine.at(HOPE - 0.1)
    assert machine.nodes() == set()
    machine.now = HOPE
    machine.have("cpu")
    gate.set()
    machine.have("gpu0", "gpu1")


def test_a_card_that_vanished_loses_its_node_and_one_that_comes_gets_one(machine: Machine) -> None:
    machine.start()
    machine.have("gpu0", "gpu1")
    machine.cards = TWO[:1]
    machine.now = LOOK_EVERY
    machine.until(lambda: machine.running._missing, "it is missed")
    # Once may be a question without an answer.
    assert machine.nodes() == {"gpu0", "gpu1"}
    machine.now = 2 * LOOK_EVERY
    machine.have("gpu0")
    machine.until(lambda: B not in machine.running.posts, "its post is given up")
    machine.cards = TWO
    machine.now = 3 * LOOK_EVERY
    machine.have("gpu0", "gpu1")
    assert machine.trials.count(B) == 2


def test_a_search_that_breaks_says_nothing_of_the_cards(machine: Machine) -> None:
    machine.start()
    machine.have("gpu0", "gpu1")

    def broken() -> tuple[Card, ...]:
        raise OSError("NVML hung")

    machine.running._find = broken
    for now in (LOOK_EVERY, 2 * LOOK_EVERY, 3 * LOOK_EVERY):
        machine.now = now
        machine.until(lambda now=now: machine.running._looked == now and not machine.running._search, "it has looked")
    assert machine.nodes() == {"gpu0", "gpu1"}


def test_no_two_nodes_share_a_name_when_indices_move(machine: Machine) -> None:
    machine.start()
    machine.have("gpu0", "gpu1")
    # The first card went, the second moved up, a new one came.
    machine.cards = (card(0, 1), card(1, 7))
    machine.now = LOOK_EVERY
    machine.have("gpu0", "gpu1", "gpu2")


def test_a_node_that_keeps_dying_never_stops_the_others(machine: Machine) -> None:
    machine.lines["gpu1"] = "exit 3"
    machine.start()
    machine.have("gpu0", "gpu1")
    pid = machine.pid("gpu0")
    for _ in range(4):
        machine.until(lambda: not machine.post(B).child.running, "it has died")
        starts = machine.post(B).child.starts
        machine.now += 60.0
        machine.until(lambda starts=starts: machine.post(B).child.starts > starts, "it is started again")
    assert machine.pid("gpu0") == pid
    assert not machine.running.over


def test_a_killed_node_comes_back(machine: Machine) -> None:
    machine.start()
    machine.have("gpu0", "gpu1")
    pid = machine.pid("gpu1")
    os.kill(pid, signal.SIGKILL)
    machine.until(lambda: not machine.post(B).child.running, "its end is seen")
    machine.now += 1.0
    machine.have("gpu0", "gpu1")
    assert machine.pid("gpu1") != pid


def test_bad_settings_end_everything_with_their_own_status(machine: Machine) -> None:
    machine.lines["gpu1"] = "exit 2"
    machine.start()
    machine.until(lambda: machine.running.over, "the fleet ends")
    assert machine.running.status == 2


def test_settings_that_turn_bad_later_stop_nobody_who_works(machine: Machine) -> None:
    machine.faults[B] = "dead"
    machine.start()
    machine.have("gpu0")
    machine.until(lambda: machine.stage(B) is Stage.ASIDE, "the second card is put aside")
    machine.lines["gpu1"] = "exit 2"
    del machine.faults[B]
    machine.now = max(FIRST_PAUSE, SETTLED)
    machine.until(lambda: machine.post(B).child.status == 2, "the second node refuses")
    machine.at(machine.now)
    assert machine.nodes() == {"gpu0"}


def test_a_signal_reaches_every_node_and_nothing_is_started_any_more(machine: Machine, tmp_path: Path) -> None:
    machine.line = f"trap 'touch {tmp_path}/$$.told; exit 0' TERM; touch {tmp_path}/$$.up; while :; do sleep 0.1; done"
    machine.faults[B] = "dead"
    machine.cards = (*TWO, card(2))
    machine.start()
    machine.have("gpu0", "gpu2")
    machine.until(lambda: len(list(tmp_path.glob("*.up"))) == 2, "both listen")
    machine.running.stop(machine.now)
    del machine.faults[B]
    machine.now += 2 * FIRST_PAUSE
    machine.until(lambda: machine.running.over, "all have ended")
    assert len(list(tmp_path.glob("*.told"))) == 2
    assert machine.running.status == 0
    assert machine.trials.count(B) == 1


def test_a_node_that_ends_badly_while_the_worker_stops_is_told_of(machine: Machine, tmp_path: Path) -> None:
    machine.lines["gpu1"] = f"trap 'exit 7' TERM; touch {tmp_path}/up; while :; do sleep 0.1; done"
    machine.start()
    machine.have("gpu0", "gpu1")
    machine.until((tmp_path / "up").exists, "it listens")
    machine.running.stop(machine.now)
    machine.until(lambda: machine.running.over, "all have ended")
    assert machine.running.status == 1


@pytest.mark.parametrize(("mode", "killed"), [("handback", True), ("drain", False)])
def test_only_a_node_that_hands_back_has_to_hurry(machine: Machine, tmp_path: Path, mode: str, killed: bool) -> None:
    machine.found = machine.found.model_copy(update={"shutdown_mode": mode})
    machine.lines["gpu1"] = f"trap '' TERM; touch {tmp_path}/deaf; while :; do sleep 0.1; done"
    machine.start()
    machine.have("gpu0", "gpu1")
    machine.until((tmp_path / "deaf").exists, "it is deaf")
    machine.sicken(B)
    machine.until(lambda: machine.stage(B) is Stage.ASIDE, "it is put aside")
    machine.at(120.0)
    assert machine.nodes() == {"gpu0", "gpu1"}
    machine.now = 121.0
    if killed:
        machine.until(lambda: machine.post(B).child.status == -signal.SIGKILL, "it is killed")
    else:
        machine.at(86400.0)
        assert machine.nodes() == {"gpu0", "gpu1"}


def test_how_the_cards_stand_is_told_to_all_who_ask(machine: Machine) -> None:
    machine.start()
    machine.have("gpu0", "gpu1")
    machine.now = 5.0
    machine.sicken(B)
    machine.until(lambda: machine.stage(B) is Stage.ASIDE, "it is put aside")
    machine.at(6.0)
    told = roster.read(machine.found.temp_dir)
    assert told is not None
    assert (told.pid, told.cpu) == (os.getpid(), False)
    works, aside = told.cards
    assert (works.uuid, works.node, works.stage, works.why) == (A, "gpu0", Stage.WORKS, "")
    assert (aside.node, aside.stage, aside.since) == ("gpu1", Stage.ASIDE, "2025-01-15T09:00:05.000000Z")
    assert "It hung." in aside.why


def test_a_fault_that_was_noted_before_the_worker_started_is_settled_by_the_first_trial(machine: Machine) -> None:
    machine.sicken(A)
    machine.start()
    machine.have("gpu0", "gpu1")
    assert not machine.health(A).sick


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        (None, (A, B)),
        ("", ()),
        ("1", (B,)),
        ("1,0", (B, A)),
        (f" {A} , 1 ", (A, B)),
        (B, (B,)),
        # CUDA stops reading at the first that it does not know.
        ("0,5,1", (A,)),
        ("-1", ()),
        ("0,0", (A,)),
        ("NoDevFiles", ()),
        ("GPU-67707573", (A,)),
        ("GPU-99", ()),
    ],
)
def test_only_the_cards_that_the_environment_names_are_used(wanted: str | None, seen: tuple[str, ...]) -> None:
    assert tuple(found.uuid for found in visible(TWO, wanted)) == seen


_PROGRAM = """
import sys
from tests.unit.test_fleet import TWO
from transcode import logs
from transcode.settings import Settings
from workers.fleet import Fleet, keep

logs.configure()
found = Settings(aws_region="r", input_bucket="in-bucket", output_bucket="out-bucket", dynamodb_table="tasks",
                 sqs_queue_url="https://sqs.r.amazonaws.com/1/tasks", temp_dir=sys.argv[1])
sys.exit(keep(Fleet(found, TWO, lambda _: "", look=lambda: TWO, command=lambda _: ["sleep", "600"])))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_ends_the_process_with_all_its_nodes_and_status_0(tmp_path: Path, number: signal.Signals) -> None:
    root = Path(__file__).parents[2]
    log = (tmp_path / "log").open("wb")
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path / "scratch")]
    with log, subprocess.Popen(command, cwd=root, stderr=log) as fleet:
        look = psutil.Process(fleet.pid).children
        try:
            nodes = until(lambda: len(look()) == 2 and look(), "both nodes run")
            assert roster.read(tmp_path / "scratch") is not None
            fleet.send_signal(number)
            assert fleet.wait(60) == 0
            assert not any(node.is_running() for node in nodes)
            assert roster.read(tmp_path / "scratch") is None
        finally:
            fleet.kill()
    events = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert events[-3:] == ["Worker stops", "Node stopped", "Node stopped"]
