"""The embedded AWS: it ends with its parent, and DynamoDB requests go one at a time."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cli.embedded_aws import EmbeddedAws, OneAtATime

ROOT = Path(__file__).parents[2]
PARENT = (
    "import time; from cli.embedded_aws import EmbeddedAws; print(EmbeddedAws().start(), flush=True); time.sleep(60)"
)


def answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint}/moto-api/", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def test_it_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    try:
        endpoint = parent.stdout.readline().strip()
        assert answers(endpoint)
        os.kill(parent.pid, signal.SIGKILL)
        end = time.monotonic() + 20
        while answers(endpoint) and time.monotonic() < end:
            time.sleep(0.05)
        assert not answers(endpoint)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_it_ends_when_it_is_stopped_and_starts_again_empty() -> None:
    server = EmbeddedAws()
    try:
        first = server.start()
        assert server.start() == first
        server.stop()
        server.stop()
        assert not answers(first)
        assert answers(server.start())
    finally:
        server.stop()


def test_requests_to_dynamodb_go_one_at_a_time_and_others_do_not() -> None:
    inside: list[int] = []
    most: dict[str, int] = {}

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        target = environ["HTTP_X_AMZ_TARGET"]
        inside.append(1)
        most[target] = max(most.get(target, 0), len(inside))
        time.sleep(0.02)
        inside.pop()
        return [target.encode()]

    locked = OneAtATime(app)
    for target in ("DynamoDB_20120810.PutItem", "AmazonSQS.ReceiveMessage"):
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda _, t=target: locked({"HTTP_X_AMZ_TARGET": t}, print), range(16)))
    assert most["DynamoDB_20120810.PutItem"] == 1
    assert most["AmazonSQS.ReceiveMessage"] > 1


def test_a_child_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(RuntimeError, match="did not start"):
        EmbeddedAws().start()
