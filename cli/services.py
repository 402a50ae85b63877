"""Background services of one machine, for `make start-*`, `stop-*`, `status`: pid files and log files in `.run/`.

Servers in production are kept by systemd; this is for a first machine. A pid file names the process by pid
and start time, so that a stale one, or a pid that the system has given to another program, fools nobody.
"""

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from transcode import settings
from transcode.errors import TranscodeError

FOLDER = Path(".run")
SERVICES = ("api", "bridge", "worker")
# Seconds in which a service that cannot run says so and ends.
_SETTLE = 3.0
# Seconds a service gets to hand its work back before it is killed.
_PATIENCE = 30.0


def _pid_file(name: str) -> Path:
    return FOLDER / f"{name}.pid"


def running(name: str) -> psutil.Process | None:
    """The service's process, None when it does not run."""
    try:
        pid, started = _pid_file(name).read_text().split()
        process = psutil.Process(int(pid))
        alive = process.create_time() == float(started) and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, psutil.Error):
        return None
    return process if alive else None


def start(names: list[str]) -> int:
    """Start services that do not run; the exit code says whether all of them do now."""
    settings.load()
    FOLDER.mkdir(exist_ok=True)
    for name in _known(names):
        found = running(name)
        if found:
            print(f"{name}: runs already (pid {found.pid})")
        else:
            _spawn(name)
    time.sleep(_SETTLE)
    return max(_report(name) for name in names)


def _known(names: list[str]) -> list[str]:
    for name in names:
        if name not in SERVICES:
            raise TranscodeError(f"{name!r} is no service; these are: {', '.join(SERVICES)}.")
    return names


def _spawn(name: str) -> None:
    with (FOLDER / f"{name}.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "cli.main", name],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    _pid_file(name).write_text(f"{child.pid} {psutil.Process(child.pid).create_time()}")


def _report(name: str) -> int:
    found = running(name)
    if found:
        print(f"{name}: runs (pid {found.pid}), log {FOLDER / name}.log")
        return 0
    last = (FOLDER / f"{name}.log").read_text(errors="replace").splitlines()[-5:]
    print(f"{name}: ended at once. Its last words:", *last, sep="\n  ")
    return 1


def stop(names: list[str]) -> int:
    """Stop services; running tasks are handed back first."""
    found = {name: running(name) for name in _known(names)}
    for running_one in filter(None, found.values()):
        running_one.terminate()
    for name, ended in found.items():
        print(f"{name}: {_wait(ended) if ended else 'does not run'}")
        _pid_file(name).unlink(missing_ok=True)
    return 0


def _wait(process: psutil.Process) -> str:
    try:
        process.wait(_PATIENCE)
    except psutil.TimeoutExpired:
        for one in (*process.children(recursive=True), process):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        return "killed, it did not stop by itself"
    return "stopped"
