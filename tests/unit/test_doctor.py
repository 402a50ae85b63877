"""`transcode doctor` on a machine without a GPU, in a process of its own; then what it concludes from what it found."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli import checkup, doctor
from cli.checkup import CardFacts, Driver, Programs, Scratch
from cli.doctor import Findings
from transcode.ffmpeg.lanes import Gpu, Nvenc
from transcode.ffmpeg.nvml import Card, Load
from transcode.ffmpeg.trials import Examined
from workers.roster import Stage, Standing

ROOT = Path(__file__).parents[2]
GOOD = {
    "AWS_REGION": "eu-west-1", "INPUT_BUCKET": "in-bucket", "OUTPUT_BUCKET": "out-bucket", "DYNAMODB_TABLE": "tasks",
    "SQS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/1/tasks",
}  # fmt: skip


def examined(folder: Path, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    # The packaged ffmpeg is not tried here: the walls are, and they need a while on a busy machine.
    plain = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SANDBOX": "none", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "cli.main", "doctor", *words], cwd=folder,
        env=plain | {"TEMP_DIR": str(folder / "scratch")} | changes, capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip


def test_a_fresh_machine_is_told_that_it_can_do_the_work(tmp_path: Path) -> None:
    done = examined(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines if line[:1].strip()] >= ["Python", "ffmpeg", "ffprobe", "sandbox"]
    assert any(line.startswith("settings    none yet") for line in lines)
    assert lines[-1].startswith("This machine can do the work, on ")
    assert not list(tmp_path.iterdir()), "it leaves nothing behind"


def test_a_bad_setting_is_to_be_mended_and_the_machine_is_looked_at_all_the_same(tmp_path: Path) -> None:
    done = examined(tmp_path, "--json", **GOOD, MAX_CONCURRENT_TASKS="many")
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"], found["dependencies"]) == (1, False, {})
    assert "MAX_CONCURRENT_TASKS is wrong (given: 'many')" in found["mend"][0]
    assert found["programs"]["version"].startswith("ffmpeg version")
    assert found["scratch"]["free"] > 0
    assert "Traceback" not in done.stderr


def test_an_aws_that_does_not_answer_is_to_be_mended(tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    done = examined(tmp_path, "--json", **GOOD, **keys)
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert set(found["dependencies"]) == {"queue", "table", "buckets"}
    assert found["mend"] == list(found["dependencies"].values())
    assert "AWS did not answer" in found["dependencies"]["table"]


def test_an_ffmpeg_that_does_not_run_is_to_be_mended(tmp_path: Path) -> None:
    done = examined(tmp_path, FFMPEG_PATH="/nowhere/ffmpeg")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("To be mended: FFMPEG_PATH is wrong (given: '/nowhere/ffmpeg')")


CARD = Card(0, "GPU-1", "Tesla T4", "580.95.05", 15360 * 1024**2)
T4 = Examined(Gpu({"hevc": Nvenc(), "h264": Nvenc()}, frozenset({"hevc", "h264"}), sessions=3))
IDLE = Load(0, 0, None, 1024**2, 15360 * 1024**2, 41, 0)
FACTS = CardFacts(CARD, IDLE, T4)
FINE = Findings(
    "3.11", Programs("/usr/bin/ffmpeg", "ffmpeg version 5.1.9", "/usr/bin/ffprobe", sandbox="bwrap"), Driver(), (),
    Scratch("/scratch", 50 * 10**9), configured=True, settings="", dependencies={"queue": "ok"},
)  # fmt: skip


def standing(stage: Stage, why: str = "") -> Standing:
    return Standing("GPU-1", 0, "Tesla T4", "gpu0", stage, "2025-01-15T09:00:00.000000Z", why)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (FINE, "This machine can do the work, on the CPU."),
        (replace(FINE, cards=(FACTS,)), "This machine can do the work, on 1 GPU."),
        (replace(FINE, cards=(FACTS, FACTS)), "This machine can do the work, on 2 GPUs."),
        (replace(FINE, cards=(replace(FACTS, examined=None),)), "This machine can do the work, on the CPU."),
        (replace(FINE, cards=(replace(FACTS, standing=standing(Stage.WORKS)),)), "can do the work, on 1 GPU."),
        (replace(FINE, driver=Driver("No driver.", 0)), "This machine can do the work, on the CPU."),
        (replace(FINE, driver=Driver("No driver.", 2)), "To be mended: This machine has an NVIDIA card"),
        (
            replace(FINE, cards=(replace(FACTS, examined=Examined(Gpu(), notes=("Driver too old.",))),)),
            "To be mended: GPU 0 (Tesla T4) does nothing here: Driver too old.",
        ),
        (
            replace(FINE, cards=(replace(FACTS, standing=standing(Stage.ASIDE, "It hung.")),)),
            "To be mended: GPU 0 (Tesla T4) is put aside: It hung.",
        ),
        (replace(FINE, scratch=Scratch("/scratch", 5 * 1024**2)), "To be mended: The scratch disk has 5 MiB left"),
        (replace(FINE, dependencies={"queue": "ok", "table": "Gone."}), "To be mended: Gone."),
        (replace(FINE, settings="A is wrong.\nB is missing."), "To be mended: A is wrong. B is missing."),
    ],
)  # fmt: skip
def test_the_verdict_follows_from_what_was_found(found: Findings, verdict: str) -> None:
    assert verdict in found.verdict
    assert (found.mend == ()) == verdict.startswith(("This", "can"))
    assert list(doctor.shown(found))[-1] == found.verdict


def test_a_card_is_shown_with_all_that_is_known_of_it() -> None:
    limited = replace(T4, notes=("hevc is not encoded.",))
    facts = replace(FACTS, examined=limited, suspicions=("It hung.",), standing=standing(Stage.WORKS))
    lines = [line for line in doctor.shown(replace(FINE, cards=(facts,))) if "GPU" in line or line.startswith("  ")]
    assert lines == [
        "GPU 0       Tesla T4, 15360 MiB, GPU-1",
        "  load      encoder 0 %, decoder 0 %, encodes 0, temperature 41 °C, memory 1 of 15360 MiB",
        "  does      nvenc+nvdec: encodes h264, hevc, at most 3 at once",
        "            decodes h264, hevc",
        "  but       hevc is not encoded.",
        "  suspected It hung.",
        "  node      gpu0, works since 2025-01-15T09:00:00Z",
        "This machine can do the work, on 1 GPU.",
    ]


def test_what_programs_read_can_be_written_as_json() -> None:
    told: dict[str, Any] = json.loads(json.dumps(doctor._plain(replace(FINE, cards=(FACTS,)))))
    assert told["cards"][0]["examined"]["gpu"]["decoders"] == ["h264", "hevc"]
    assert (told["ok"], told["mend"], told["cards"][0]["examined"]["kind"]) == (True, [], "nvenc+nvdec")


def test_cards_on_the_bus_are_counted_by_maker_and_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, vendor, kind in (("a", "0x10de", "0x030200"), ("b", "0x10de", "0x040300"), ("c", "0x8086", "0x030000")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / name / "class").write_text(f"{kind}\n")
    (tmp_path / "d").mkdir()
    monkeypatch.setattr(checkup, "_PCI", tmp_path)
    assert checkup.driver().on_bus == 1


def test_a_folder_that_may_not_be_written_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = checkup.scratch(checkup._what_holds().model_copy(update={"temp_dir": Path("/proc/scratch")}))
    assert found.trouble == "This user may not write to /proc." if os.geteuid() else found.folder == "/proc/scratch"
