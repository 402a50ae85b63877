"""NVML and admission against the simulated cards, in processes of their own: the loader looks for libraries once."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.farm import until
from tests.gpu.conftest import GpuSim

SHOW = """
import json
from dataclasses import asdict
from transcode import logs
from transcode.ffmpeg import nvml
logs.configure()
def show(value):
    print(json.dumps(value, default=asdict), flush=True)
"""
GATE = """
from pathlib import Path
from transcode.errors import DeviceBusy
from transcode.ffmpeg.admission import Gate
def tried(folder, memory, patience):
    gate = Gate(Path(folder), nvml.cards()[0], None, patience=patience)
    try:
        with gate.admitted(1, memory, lambda: None):
            return "in"
    except DeviceBusy as busy:
        return str(busy)
"""
MIB = 1024**2


def shown(sim: GpuSim, script: str, **environment: str) -> list[Any]:
    """What the script showed, a value a line."""
    done = sim.python(SHOW + script, **environment)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def encoding(sim: GpuSim, **environment: str) -> Iterator[None]:
    """An ffmpeg that encodes on the first card, ten pictures a second, until the end of the context."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None or "h264_nvenc" not in subprocess.getoutput(f"{ffmpeg} -v error -encoders"):
        pytest.skip("no ffmpeg with h264_nvenc is on the PATH")
    line = [ffmpeg, "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=1280x720:r=30", "-vf",
            "format=nv12,hwupload_cuda", "-c:v", "h264_nvenc", "-f", "null", "-"]  # fmt: skip
    child = subprocess.Popen(line, env=os.environ | sim.environment(fps=10) | environment, stderr=subprocess.PIPE)
    try:
        until(lambda: sim.events("enc_init") or child.poll() is not None, "an encode that began")
        assert child.poll() is None, child.stderr and child.stderr.read().decode()
        yield
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()


def test_every_card_is_found_with_its_facts(gpusim: GpuSim) -> None:
    several = gpusim.environment(count=2, name="Tesla T4,NVIDIA L4", mem_mb="15360,23034", driver="570.86.15")
    assert shown(gpusim, "show(nvml.cards())", **several) == [
        [
            {"index": 0, "uuid": gpusim.uuid(0), "name": "Tesla T4", "driver": "570.86.15", "memory": 15360 * MIB},
            {"index": 1, "uuid": gpusim.uuid(1), "name": "NVIDIA L4", "driver": "570.86.15", "memory": 23034 * MIB},
        ]
    ]


def test_a_driver_that_is_not_loaded_means_no_cards_and_one_warning(gpusim: GpuSim) -> None:
    done = gpusim.python(
        SHOW + "show([nvml.cards(), nvml.cards(), nvml.load('GPU-x'), nvml.trouble()])", GPUSIM_COUNT="0"
    )
    first, again, load, trouble = json.loads(done.stdout)
    assert (first, again, load) == ([], [], None)
    assert "modprobe nvidia" in trouble
    warnings = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in warnings if line["event"] == "NVIDIA driver is not used"] == ["warning"]


def test_a_process_is_pinned_by_a_full_uuid_only(gpusim: GpuSim) -> None:
    script = """
import os
for value in {values!r}:
    os.environ["CUDA_VISIBLE_DEVICES"] = value
    card = nvml.pinned()
    show(card and card.index)
"""
    one, two = gpusim.uuid(0), gpusim.uuid(1)
    values = [two, one, "", "0", one[:12], f"{one},{two}", gpusim.uuid(7)]
    found = shown(gpusim, script.format(values=values), GPUSIM_COUNT="2")
    assert found == [1, 0, None, None, None, None, None]


def test_the_load_of_a_card_is_that_of_its_runs(gpusim: GpuSim) -> None:
    with encoding(gpusim):
        (busy,) = shown(gpusim, f"show(nvml.load({gpusim.uuid()!r}))", GPUSIM_TEMP="61")
    assert busy.pop("memory_used") > 0
    assert busy == {
        "encoder": 20, "decoder": 0, "gpu": 10, "memory_total": 15360 * MIB, "temperature": 61, "sessions": 1,
    }  # fmt: skip
    (idle,) = shown(gpusim, f"show(nvml.load({gpusim.uuid()!r}))")
    assert (idle["encoder"], idle["memory_used"], idle["sessions"]) == (0, 0, 0)


def test_a_card_that_is_not_there_has_no_load(gpusim: GpuSim) -> None:
    assert shown(gpusim, f"show(nvml.load({gpusim.uuid(5)!r}))") == [None]


def test_a_forked_child_asks_for_itself(gpusim: GpuSim) -> None:
    script = """
import os
before = nvml.cards()
child = os.fork()
if child == 0:
    show(nvml.cards() == before and nvml.load(before[0].uuid) is not None)
    os._exit(0)
os.waitpid(child, 0)
show(nvml.cards() == before)
"""
    assert shown(gpusim, script) == [True, True]


def test_memory_that_a_stranger_holds_is_not_given_away(gpusim: GpuSim, tmp_path: Path) -> None:
    small, whole = {"GPUSIM_MEM_MB": "40"}, 40 * MIB

    def asked(*memory: int) -> list[str]:
        calls = [f"show(tried({str(tmp_path / 'card')!r}, {bytes_}, 3600))" for bytes_ in memory]
        return shown(gpusim, "\n".join([GATE, *calls]), **small)

    with encoding(gpusim, **small):
        (load,) = shown(gpusim, f"show(nvml.load({gpusim.uuid()!r}))", **small)
        free = load["memory_total"] - load["memory_used"]
        assert 0 < free < whole
        # Nobody was admitted, so waiting would be for nothing: an hour's patience is not used.
        little, much = asked(int(free / 1.3) - 1, int(whole / 1.3) - 1)
    assert little == "in"
    assert f"has {free // MIB} of 40 MiB of memory to spare, and this run needs 40 MiB" in much
    assert asked(int(whole / 1.3) - 1) == ["in"]
