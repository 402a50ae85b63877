"""Slow ones with a farm of their own: AWS that forgets everything, and the real ffmpeg killed."""

import signal
from pathlib import Path

import psutil
import pytest

from tests.clips import make
from tests.farm import until
from tests.faults.scene import Scene
from tests.soak.farm import SoakFarm
from transcode.errors import EncoderCrashed

pytestmark = pytest.mark.slow


def test_every_process_lives_on_when_aws_forgets_everything(tmp_path: Path) -> None:
    with SoakFarm(tmp_path, seed=0) as farm:
        scene = Scene(farm)
        scene.revive()
        scene.completed(scene.task(scene.upload("good")), attempts=1)
        before = {name: child.pid for name, child in farm.children.items()}
        farm.forget()
        scene.completed(scene.task(scene.upload("good")), attempts=1)
        assert all(child.poll() is None for child in farm.children.values())
        assert {name: child.pid for name, child in farm.children.items()} == before


def test_the_real_ffmpeg_killed_is_tried_again_and_nothing_of_it_stays(tmp_path: Path) -> None:
    clip = make(tmp_path / "clip.mp4", size="1280x720", seconds=60.0)
    with SoakFarm(tmp_path, seed=0) as farm:
        scene = Scene(farm)
        scene.revive(("api", "bridge1"))
        farm.start("w1", SOAK_PROGRAM="")
        farm.upload(clip, "real.mp4")
        task = scene.task("real.mp4")
        encoder = until(lambda: encoding(farm), "ffmpeg encodes the films")
        encoder.send_signal(signal.SIGKILL)
        scene.completed(task, attempts=2)
        stories = until(lambda: scene.stories(task)[1:] and scene.stories(task), "both attempts are told of")
        assert stories[0]["code"] == EncoderCrashed.code
        assert "SIGKILL" in stories[0]["error"]
        until(lambda: not farm.scratch(), "its scratch is gone")
        assert farm.stop("w1") == 0
        assert not encoding(farm)


def encoding(farm: SoakFarm) -> psutil.Process | None:
    """The ffmpeg that encodes the films."""
    return next((p for p in farm.encoders() if "libx264" in p.cmdline()), None)
