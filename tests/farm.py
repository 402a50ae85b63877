"""A whole farm of real processes: embedded AWS, API, bridge, workers, real ffmpeg. What flow and fault tests watch.

Free of pytest, so that benches use it too. Every process dies with this one.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cli.embedded_aws import EmbeddedAws
from transcode.aws import clients
from transcode.aws.dynamodb import DynamoTasks
from transcode.aws.provision import provision
from transcode.aws.s3 import S3Storage
from transcode.settings import Settings
from transcode.task import Task

# Seconds. Two cores are shared with other tests; nothing here is measured.
_PATIENCE = 120.0


def until(found: Callable[[], Any], what: str, seconds: float = _PATIENCE) -> Any:
    """Wait for a true answer, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = found()
        if answer:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Farm:
    """Use as a context; `start` brings its processes up one by one."""

    def __init__(self, folder: Path, *, endpoint: str = "", callback_queue: str = "", **changes: str) -> None:
        self._folder, self._changes, self._endpoint = folder, changes, endpoint
        self._callback_queue = callback_queue
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self._aws = EmbeddedAws()
        self.port = free_port()

    def __enter__(self) -> Self:
        aws = self._aws.start()
        self.environment = self._environment(self._endpoint or aws)
        # What the test itself sees goes past any proxy.
        names = {k.lower(): v for k, v in (self.environment | {"AWS_ENDPOINT_URL": aws}).items() if k.isupper()}
        fields = {k: v for k, v in names.items() if k in Settings.model_fields}
        self.settings = Settings(**fields)
        provision(self.settings)
        self.store, self.storage = DynamoTasks(self.settings), S3Storage(self.settings)
        self.sqs = clients.sqs(self.settings)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for name in list(self.children):
            self.stop(name)
        self._aws.stop()

    def _environment(self, endpoint: str) -> dict[str, str]:
        queue = f"{endpoint}/123456789012"
        callbacks = {"CALLBACK_QUEUE_URL": f"{queue}/{self._callback_queue}"} if self._callback_queue else {}
        return {
            "PATH": os.environ["PATH"], "HOME": str(self._folder), "PYTHONPATH": str(Path(__file__).parents[1]),
            **self._aws.environment, "AWS_ENDPOINT_URL": endpoint,
            # A word of its own, so that a test can look for it where it must not be.
            "AWS_SECRET_ACCESS_KEY": "verySecretWord0123456789",
            "INPUT_BUCKET": "flow-input", "OUTPUT_BUCKET": "flow-output", "DYNAMODB_TABLE": "flow-tasks",
            "SQS_QUEUE_URL": f"{queue}/flow-tasks", "EVENT_QUEUE_URL": f"{queue}/flow-events",
            "DEFAULT_TRANSCODE_TYPES": "mp4_smooth,thumbnail", "TEMP_DIR": str(self._folder / "scratch"),
            "API_PORT": str(self.port), "POLL_INTERVAL": "5s", "MAX_CONCURRENT_TASKS": "1",
            **callbacks, **self._changes,
        }  # fmt: skip

    def start(self, name: str, command: str = "", **changes: str) -> subprocess.Popen[bytes]:
        """Start a process of the product (`api`, `bridge`, `worker`), kept under `name`."""
        with self.log_path(name).open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "cli.main", command or name],
                cwd=self._folder, env=self.environment | changes, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.children[name] = child
        return child

    def stop(self, name: str, how: int = signal.SIGTERM) -> int:
        """End a process; its exit code. One that does not end is killed."""
        child = self.children.pop(name)
        child.send_signal(how)
        try:
            return child.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            return child.wait()

    def log_path(self, name: str) -> Path:
        """The log file of a process."""
        return self._folder / f"{name}.log"

    def log(self, name: str) -> list[dict[str, Any]]:
        """The log lines of a process, parsed."""
        lines = self.log_path(name).read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def upload(self, path: Path, key: str, bucket: str = "flow-input") -> None:
        """Put a file into the input bucket, as a user's tool does."""
        upload_id, tags = self.storage.send_parts(bucket, key, path, "video/mp4", lambda _: None)
        self.storage.complete(bucket, key, upload_id, tags)

    def tasks(self, key: str = "") -> list[dict[str, Any]]:
        """The tasks that the API lists, of one input key where given."""
        found: list[dict[str, Any]] = self.get("/api/tasks?limit=100")["tasks"]
        return [t for t in found if not key or t["input_key"] == key]

    def over(self, task_id: str, seconds: float = _PATIENCE) -> Task:
        """Wait for the end of a task."""

        def look() -> Task | None:
            task = self.store.read(task_id)
            return task if task.over else None

        task: Task = until(look, f"task {task_id} over", seconds)
        return task

    def get(self, path: str) -> Any:
        """A GET of the API."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, body: object) -> tuple[int, Any]:
        """A POST of the API: status and answer, errors too."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def ready(self) -> None:
        """Wait until the API answers."""

        def answers() -> bool:
            try:
                return bool(self.get("/api/health"))
            except OSError:
                return False

        until(answers, "the API answers")
