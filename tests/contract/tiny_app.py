"""A Celery app with the product's configuration and transport, and tasks that only say that they ran.

`celery -A tests.contract.tiny_app worker` runs it; `python -m tests.contract.tiny_app` sends: a line of
JSON on stdin, `["task", [arguments], {"options": ...}]`, is one call, answered by a line.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from celery import Celery, signals
from celery.worker.control import inspect_command
from kombu.asynchronous import get_event_loop

from transcode.errors import ServiceUnavailable
from transcode.settings import load
from workers import control, names, transport

STOCK = os.environ.get("TINY_TRANSPORT") == "stock"
# Seconds a task waits for its gate at most.
PATIENCE = 60.0
# So that a test need not wait for what a farm can: one unanswered poll, one repetition.
SHORT = {"poll_timeout": 3, "retry_pause": 0.1, "before_purge": "tests.contract.tiny_app:note_purge"}

app = Celery("tiny")
app.config_from_object("celeryconfig")
if STOCK:
    queue = load()
    app.conf.broker_transport_options = {
        "region": queue.aws_region,
        "wait_time_seconds": 1,
        "polling_interval": 0,
        "predefined_queues": {queue.queue_name: {"url": queue.sqs_queue_url}},
    }
    app.conf.worker_enable_remote_control = False
else:
    transport.register()
    control.install(app)
    app.conf.broker_transport_options = app.conf.broker_transport_options | SHORT


def note_purge() -> None:
    """Stands for the product's own step before a purge, which needs a table; TINY_PURGE makes it fail."""
    if os.environ.get("TINY_PURGE") == "down":
        raise ServiceUnavailable("The table tiny does not answer.")
    say("before_purge")


def say(*words: str) -> None:
    """Append a line to the file that the test reads; one write, so lines of several processes never mix."""
    path = os.environ["TINY_LOG"]
    out = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(out, (" ".join(words) + "\n").encode())
    finally:
        os.close(out)


@app.task(name="tiny.note")
def note(word: str) -> None:
    say("note", word)


@app.task(name="tiny.hold")
def hold(word: str, gate: str) -> None:
    """Run until the file `gate` is there."""
    say("start", word)
    end = time.monotonic() + PATIENCE
    while not Path(gate).exists() and time.monotonic() < end:
        time.sleep(0.05)
    say("end", word)


@app.task(name="tiny.fail")
def fail(word: str) -> None:
    say("fail", word)
    raise ValueError(word)


@app.task(name=names.INGEST)
def ingest(event: dict[str, Any]) -> None:
    say("ingest", json.dumps(event, sort_keys=True))


@inspect_command()  # type: ignore[untyped-decorator]
def polled(state: Any) -> dict[str, float | None]:
    """Seconds since the last answered poll of the task queue."""
    last = transport.last_answered_poll(load().queue_name)
    return {"age": None if last is None else time.monotonic() - last}


@signals.worker_ready.connect
def break_on_demand(**_: Any) -> None:
    """SIGUSR2: the event loop meets a broken connection."""

    def broken() -> None:
        raise ConnectionResetError("by the test")

    signal.signal(signal.SIGUSR2, lambda *_: get_event_loop().call_soon(broken))


def serve() -> None:
    """Send what stdin asks for."""
    for line in sys.stdin:
        name, arguments, options = json.loads(line)
        reaping = name == "reap"
        answer = control.reap(app, *arguments) if reaping else app.send_task(name, args=arguments, **options).id
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
