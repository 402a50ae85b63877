"""Background services as `make start-all`, `status` and `stop-all` drive them."""

import os
import subprocess
import sys
from pathlib import Path

import psutil

from tests.farm import Farm, until


def transcode(farm: Farm, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *words], cwd=folder, env=farm.environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_services_start_once_show_themselves_and_stop(tmp_path: Path) -> None:
    with Farm(tmp_path) as farm:
        try:
            assert transcode(farm, tmp_path, "start", "api", "bridge", "worker").returncode == 0
            again = transcode(farm, tmp_path, "start", "api")
            assert "runs already" in again.stdout
            farm.ready()
            shown = transcode(farm, tmp_path, "status").stdout
            assert shown.count("runs (pid") == 3
            assert "0 waiting" in shown
            pids = [int((tmp_path / ".run" / f"{n}.pid").read_text().split()[0]) for n in ("api", "bridge", "worker")]
        finally:
            stopped = transcode(farm, tmp_path, "stop", "api", "bridge", "worker")
        assert stopped.stdout.count(": stopped") == 3, stopped.stdout
        until(lambda: not any(psutil.pid_exists(pid) for pid in pids), "the processes are gone")
        assert "does not run" in transcode(farm, tmp_path, "status").stdout


def test_a_stale_pid_file_stops_nobody_and_hinders_nothing(tmp_path: Path) -> None:
    with Farm(tmp_path) as farm:
        (tmp_path / ".run").mkdir()
        # Our own pid with another start time: what is left after a crash and a reboot.
        (tmp_path / ".run" / "bridge.pid").write_text(f"{os.getpid()} 12345.0")
        try:
            assert "runs (pid" in transcode(farm, tmp_path, "start", "bridge").stdout
        finally:
            transcode(farm, tmp_path, "stop", "bridge")


def test_a_service_that_cannot_run_says_so_at_once(tmp_path: Path) -> None:
    with Farm(tmp_path, API_HOST="0.0.0.0") as farm:
        done = transcode(farm, tmp_path, "start", "api")
        assert done.returncode == 1
        assert "API_KEYS" in done.stdout


def test_an_unknown_service_is_refused(tmp_path: Path) -> None:
    with Farm(tmp_path) as farm:
        done = transcode(farm, tmp_path, "stop", "everything")
        assert (done.returncode, "these are" in done.stderr) == (1, True)
