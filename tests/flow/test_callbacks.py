"""Callbacks through the whole farm: a receiver that fails first, a bridge that is killed, ends of every kind."""

import base64
import hmac
import json
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.farm import Farm, until
from transcode import ledger

SECRET = "0123456789abcdef"


class Receiver(ThreadingHTTPServer):
    """It answers 503 while `down`; what it takes is in `told`, by task."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.down, self.refused, self.told = False, 0, dict[str, Any]()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signed = b".".join((self.headers["webhook-id"].encode(), self.headers["webhook-timestamp"].encode(), body))
        mark = base64.b64encode(hmac.digest(SECRET.encode(), signed, "sha256")).decode()
        assert self.headers["webhook-signature"] == f"v1,{mark}"
        self.server.refused += self.server.down
        if not self.server.down:
            told = json.loads(body)
            self.server.told[told["data"]["task_id"]] = told
        self.send_response(503 if self.server.down else 204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Farm]:
    """A farm whose tasks all end in a callback."""
    changes = {
        "CALLBACK_TARGETS": f"orders=http://127.0.0.1:{receiver.server_port}/hook",
        "CALLBACK_SECRETS": f"orders={SECRET}", "DEFAULT_CALLBACK": "orders",
        # Short, for the sake of the test.
        "POLL_INTERVAL": "1s", "LEASE": "8s",
    }  # fmt: skip
    with Farm(tmp_path_factory.mktemp("callbacks"), callback_queue="flow-callbacks", **changes) as farm:
        for name in ("api", "bridge", "worker"):
            farm.start(name)
        farm.ready()
        yield farm


def delivery(farm: Farm, task_id: str) -> dict[str, Any]:
    found: dict[str, Any] = farm.get(f"/api/tasks/{task_id}")["callback_delivery"] or {}
    return found


def test_a_completed_upload_and_a_failed_one_are_told(
    called: Farm, receiver: Receiver, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "letter.mp4").write_text("Dear reader, this is no film. " * 100)
    called.upload(clip, "film.mp4")
    called.upload(tmp_path / "letter.mp4", "letter.mp4")
    until(lambda: len(receiver.told) == 2, "both ends are told")
    told = {one["data"]["input_key"]: one for one in receiver.told.values()}
    assert told["film.mp4"]["type"] == "task.completed"
    assert set(told["film.mp4"]["data"]["output_files"]) == {"mp4_smooth", "thumbnail"}
    assert (told["letter.mp4"]["type"], told["letter.mp4"]["data"]["error_code"]) == ("task.failed", "input_not_media")
    done = told["film.mp4"]["data"]["task_id"]
    until(lambda: delivery(called, done).get("state") == "delivered", "the task shows it")


def test_what_could_not_be_delivered_is_delivered_after_a_restart(called: Farm, receiver: Receiver, clip: Path) -> None:
    receiver.down = True
    called.upload(clip, "later.mp4")
    until(lambda: receiver.refused, "the first try is refused")
    made = called.tasks("later.mp4")[0]["task_id"]
    until(lambda: delivery(called, made).get("attempts"), "the try is on the task")
    assert delivery(called, made)["status"] == 503
    called.stop("bridge", signal.SIGKILL)
    receiver.down = False
    called.start("bridge")
    until(lambda: made in receiver.told, "it is told after all")
    until(lambda: delivery(called, made)["state"] == "delivered", "the task shows it")


def test_a_worker_that_cannot_send_leaves_it_to_the_bridge(called: Farm, receiver: Receiver, clip: Path) -> None:
    called.stop("worker")
    called.start("worker", CALLBACK_TARGETS="", CALLBACK_SECRETS="", CALLBACK_QUEUE_URL="", DEFAULT_CALLBACK="")
    called.upload(clip, "unsent.mp4")
    until(lambda: called.tasks("unsent.mp4"), "it has a task")
    made = called.tasks("unsent.mp4")[0]["task_id"]
    until(lambda: made in receiver.told, "it is told after all")
    assert ledger.unsent(called.store) == {}
