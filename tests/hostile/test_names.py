"""Names that are traps for shells, for ffmpeg and for paths: keys of uploads, and the worker's own folder."""

from pathlib import Path

import pytest

from tests.fakes import FakeClock, FolderStorage, ListCallbacks, ListQueue, MemoryTasks
from tests.flow.odd_clips import X264, ffmpeg
from tests.hostile.conftest import Farm
from tests.unit.conftest import Letter
from transcode import presets, submit
from transcode.attempt import Tools
from transcode.ffmpeg.binaries import at_hand
from transcode.ffmpeg.encoder import FfmpegEncoder
from transcode.presets import load
from transcode.run import run
from transcode.settings import Settings
from transcode.states import Status
from transcode.submit import Desk

NAMES = [
    "a film.mp4", "视频-фильм-ü.mp4", "it's \"so\".mp4", "-i.mp4", "--help.mp4", "100%d %s.mp4", "%03d.mp4",
    "concat:a.mp4|b.mp4", "subfile,,start,0,,:x.mp4", "a'b\\'c.mp4", "[f=mp4]x|y.mp4", "$(touch evil).mp4", "`id`.mp4",
    "http:x.mp4", "*.mp4", "~.mp4", "\u202e4pm.exe.mp4", "e\u0301.mp4",
]  # fmt: skip
# As keys these are names like any other; as paths they would lead elsewhere.
PATHS = [
    "../../evil.mp4",
    "/etc/evil.mp4",
    "a/../../../evil.mp4",
    "a//b.mp4",
    "%2e%2e/evil.mp4",
    "./x.mp4",
    "{type}.mp4",
]
LONGEST = "x" * 1000 + ".mp4"


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    ffmpeg(tmp_path, f"-frames:v 3 {X264} clip.mp4", "testsrc2=s=64x64:r=5:d=1")
    return (tmp_path / "clip.mp4").read_bytes()


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """A worker with the real ffmpeg, over stores that stand still."""
    monkeypatch.chdir(tmp_path)
    settings = Settings(
        aws_region="eu-west-1", input_bucket="in-bucket", output_bucket="out-bucket", dynamodb_table="tasks",
        sqs_queue_url="https://sqs.eu-west-1.amazonaws.com/1/tasks", temp_dir=tmp_path / "scratch",
    )  # fmt: skip
    clock = FakeClock()
    storage = FolderStorage(tmp_path / "s3", clock)
    desk = Desk(MemoryTasks(clock), storage, ListQueue(), ListCallbacks(), presets.load(), settings, clock)
    return Tools(desk, FfmpegEncoder(at_hand()), "cpu@test", tmp_path / "scratch", lambda: False)


@pytest.mark.parametrize("key", [*NAMES, *PATHS, LONGEST])
def test_a_key_is_a_name_and_never_a_path(key: str, clip: bytes, tools: Tools, tmp_path: Path) -> None:
    storage = tools.desk.storage
    assert isinstance(storage, FolderStorage)
    storage.put("in-bucket", key, clip)
    before = {path for path in tmp_path.rglob("*") if "s3" not in path.parts}
    task = submit.add(tools.desk, "in-bucket", key, ("mp4_smooth",))
    run(task.task_id, Letter(), tools)
    done = tools.desk.store.read(task.task_id)
    assert (done.status, done.error_message) == (Status.COMPLETED, "")
    assert done.output_files == {"mp4_smooth": f"{key}/mp4_smooth.mp4"}
    assert ("out-bucket", f"{key}/mp4_smooth.mp4") in storage.objects
    left = {path for path in tmp_path.rglob("*") if "s3" not in path.parts} - before
    assert left <= {tools.scratch}
    assert not list(tmp_path.parent.rglob("evil*"))


@pytest.mark.parametrize("name", [*NAMES, "two\nlines"])
def test_the_worker_may_keep_its_files_in_a_folder_of_any_name(name: str, clip: bytes, farm: Farm) -> None:
    folder = farm.folder / name
    folder.mkdir()
    (folder / "input").write_bytes(clip)
    types = tuple(load().pick(["mp4_smooth", "lcd_h265", "thumbnail"]))
    made = Farm(folder, farm.server).render(folder / "input", types)
    assert len(made) == 3
