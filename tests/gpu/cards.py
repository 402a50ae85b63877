"""A farm whose worker has two simulated cards, and ffmpeg before whose eyes they are."""

import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.farm import Farm, until
from tests.gpu.conftest import GpuSim
from transcode.ffmpeg.health import Health
from transcode.ports import Query
from transcode.task import Task
from workers import roster
from workers.roster import Stage

HOST = socket.gethostname()
# A node's command line; Celery writes its own over it where setproctitle is installed, and over the environment.
_NODE = re.compile(r"(?:workers\.node |celeryd: )(\w+)")
# Seconds: examining a card is thirty runs of ffmpeg, and two cores are shared.
PATIENCE = 240.0


class Cards:
    """A farm whose only process is a worker on two cards."""

    def __init__(self, farm: Farm, sim: GpuSim) -> None:
        self.farm, self.sim = farm, sim

    def start(self) -> None:
        with self.farm.log_path("worker").open("ab") as log:
            self.farm.children["worker"] = subprocess.Popen(
                [sys.executable, "-m", "tests.gpu.fleet_process"], cwd=self.farm.log_path("worker").parent,
                env=self.farm.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    @property
    def fleet(self) -> psutil.Process:
        return psutil.Process(self.farm.children["worker"].pid)

    def nodes(self) -> dict[str, psutil.Process]:
        """The nodes that run, by name."""
        found = {}
        for child in self.fleet.children():
            with suppress(psutil.Error):
                if name := _NODE.search(" ".join(child.cmdline())):
                    found[name[1]] = child
        return found

    def answering(self) -> set[str]:
        """The nodes that answer, as `celery inspect ping` shows them."""
        done = subprocess.run(
            [sys.executable, "-m", "celery", "-A", "workers.app", "inspect", "-t", "5", "-j", "ping"],
            cwd=self.farm.log_path("worker").parent, env=self.farm.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        found = json.loads(done.stdout) if done.returncode == 0 else {}
        return set(found)

    def have(self, *names: str) -> None:
        """Wait until these nodes answer, and no others."""
        wanted = {f"{name}@{HOST}" for name in names}
        until(lambda: set(self.nodes()) == set(names), f"the nodes are {names}", PATIENCE)
        until(lambda: self.answering() == wanted, f"{names} answer", PATIENCE)

    def tasks(self) -> list[Task]:
        """All tasks, as the table has them."""
        return list(self.farm.store.page(Query(limit=100)).tasks)

    def sicken(self, index: int) -> None:
        health = Health(self.farm.settings.card_folder(self.sim.uuid(index)))
        health.suspect("CUDA_ERROR_LAUNCH_FAILED.")
        health.suspect("It hung.")

    def told(self, event: str, **values: object) -> list[dict[str, object]]:
        """The log lines of an event, with these values."""
        return [line for line in self.farm.log("worker") if line["event"] == event and values.items() <= line.items()]

    def stages(self) -> list[Stage]:
        found = roster.read(self.farm.settings.temp_dir)
        return [card.stage for card in found.cards] if found else []


def gone(*processes: psutil.Process) -> bool:
    """Whether none of these runs; an orphan may stay a zombie where nobody reaps it."""
    try:
        return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)
    except psutil.NoSuchProcess:
        return gone(*(process for process in processes if process.is_running()))


def seeing(script: Path, ffmpeg: str, variables: dict[str, str]) -> Path:
    """A script that is ffmpeg with these variables."""
    told = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    script.write_text(f'#!/bin/sh\n{told}exec {ffmpeg} "$@"\n')
    script.chmod(0o755)
    return script


@pytest.fixture(scope="module")
def cards(gpusim_libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cards]:
    ffmpeg, ffprobe = shutil.which("ffmpeg"), shutil.which("ffprobe")
    if ffmpeg is None or ffprobe is None:
        pytest.skip("no ffmpeg on the PATH; the simulated driver is too old for the packaged one")
    folder = tmp_path_factory.mktemp("fleet")
    sim = GpuSim(gpusim_libraries, folder / "gpusim")
    sim.state.mkdir()
    told = sim.environment(count=2)
    # ffmpeg gets no variables but its own, and inside walls it could not write the simulator's log.
    tools = {"FFMPEG_PATH": str(seeing(folder / "ffmpeg", ffmpeg, told)), "FFPROBE_PATH": ffprobe, "SANDBOX": "none"}
    tools |= {"MAX_CONCURRENT_TASKS": "2", "DEFAULT_TRANSCODE_TYPES": "mp4_smooth,h265_mute"}
    with Farm(folder, **told, **tools) as farm:
        cards = Cards(farm, sim)
        farm.start("bridge")
        cards.start()
        yield cards
