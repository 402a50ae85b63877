"""The doctor and the heartbeat on a machine with simulated cards."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpu.conftest import ROOT, GpuSim
from transcode.ffmpeg.health import Health
from workers.roster import Roster, Stage, Standing

TELL = """
import json
from tests.fakes import MemoryTasks
from tests.unit.test_roll import a_worker
from transcode import roll
from transcode.settings import Settings
from transcode.task import FARM
from workers.heartbeat import Heartbeat
store = MemoryTasks()
card = roll.Card(name="Tesla T4", uuid={uuid!r}, driver="580.95.05", memory=1)
settings = Settings(
    aws_region="x", input_bucket="in-bucket", output_bucket="out-bucket", dynamodb_table="tasks",
    sqs_queue_url="https://sqs.x.amazonaws.com/1/tasks", temp_dir={folder!r},
)
told = Heartbeat(store, a_worker("gpu0@here", card=card), settings)
told.tell()
print(json.dumps(store.read_aside(FARM, roll.page("gpu0@here"))["gpu0@here"]["load"]))
"""


def test_a_node_tells_how_busy_its_card_is(gpusim: GpuSim, tmp_path: Path) -> None:
    done = gpusim.python(TELL.format(uuid=gpusim.uuid(), folder=str(tmp_path)), GPUSIM_TEMP="61")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "encoder": 0, "decoder": 0, "gpu": 0, "memory_used": 0, "memory_total": 15360 * 1024**2, "temperature": 61,
        "sessions": 0,
    }  # fmt: skip


def test_the_doctor_tries_each_card_and_tells_what_it_found(gpusim: GpuSim, tmp_path: Path) -> None:
    ffmpeg, ffprobe = shutil.which("ffmpeg"), shutil.which("ffprobe")
    if ffmpeg is None or ffprobe is None:
        pytest.skip("no ffmpeg on the PATH; the simulated driver is too old for the packaged one")
    told = gpusim.environment(count=2, name="Tesla T4,NVIDIA L4", nvdec="h264", sessions=3)
    script = tmp_path / "ffmpeg"
    # ffmpeg gets no variables but its own.
    script.write_text("#!/bin/sh\n" + "".join(f"export {k}='{v}'\n" for k, v in told.items()) + f'exec {ffmpeg} "$@"\n')
    script.chmod(0o755)
    scratch = tmp_path / "scratch"
    health = Health(scratch / "cards" / gpusim.uuid(0))
    health.suspect("It hung.")
    stamp = "2025-01-15T09:00:00.000000Z"
    Roster("here", os.getpid(), False, (Standing(gpusim.uuid(0), 0, "Tesla T4", "gpu0", Stage.WORKS, stamp),)).write(
        scratch
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "cli.main", "doctor", "--json"], cwd=tmp_path, capture_output=True,
        # The second card is not the worker's, so that this takes half the time.
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SANDBOX": "none", "TEMP_DIR": str(scratch),
             "FFMPEG_PATH": str(script), "FFPROBE_PATH": ffprobe, "CUDA_VISIBLE_DEVICES": gpusim.uuid(0), **told},
        text=True, timeout=280, check=False,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"], found["driver"]["trouble"]) == (0, True, ""), done.stderr
    t4, l4 = found["cards"]
    assert (t4["card"]["name"], t4["card"]["uuid"], t4["load"]["sessions"]) == ("Tesla T4", gpusim.uuid(0), 0)
    assert (t4["examined"]["kind"], t4["examined"]["gpu"]["sessions"]) == ("nvenc+nvdec", 3)
    assert (sorted(t4["examined"]["gpu"]["encoders"]), t4["examined"]["gpu"]["decoders"]) == (
        ["h264", "hevc"],
        ["h264"],
    )
    assert (t4["suspicions"], t4["standing"]["stage"]) == (["It hung."], "works")
    assert (l4["examined"], l4["why_not"]) == (None, "CUDA_VISIBLE_DEVICES leaves it out")
    assert not (scratch / "cards" / gpusim.uuid(1)).exists(), "it leaves nothing behind"
