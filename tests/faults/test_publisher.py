"""A producer that many threads share, while the queue is down: an outage is told as one, never as a bug of ours."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.embedded_aws import EmbeddedAws
from tests.faults.proxy import Fault, FaultProxy, Rule
from transcode.aws import clients
from transcode.settings import Settings

# In a process of its own: the Celery app reads its settings once per process.
_SENDERS = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from transcode.errors import ServiceUnavailable
from workers.publisher import Publisher
from workers.tools import read_settings

publisher = Publisher(read_settings())

def send(_):
    try:
        publisher.send("x")
    except ServiceUnavailable:
        return "unavailable"
    except Exception as error:
        return repr(error)
    return "sent"

with ThreadPoolExecutor(4) as pool:
    print(json.dumps(sorted(set(pool.map(send, range(48))))))
"""


# The same, but kombu dies in an unforeseen way with every second message.
_STUMBLERS = """
import threading
from kombu.transport.SQS import Channel

put, count, lock = Channel._put, [0], threading.Lock()

def stumble(*args, **named):
    with lock:
        count[0] += 1
        odd = count[0] % 2
    if odd:
        raise KeyError("stumbled")
    return put(*args, **named)

Channel._put = stumble
"""


@dataclass
class Senders:
    """Runs senders in a process of their own against one queue."""

    environment: dict[str, str]
    folder: Path

    def run(self, program: str) -> set[str]:
        """How the sends ended."""
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=self.folder, capture_output=True, text=True, check=False, timeout=120,
            env=self.environment | {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture
def senders(aws: EmbeddedAws, faults: FaultProxy, tmp_path: Path) -> Senders:
    names = {
        "SQS_QUEUE_URL": f"{faults.endpoint}/123456789012/senders", "INPUT_BUCKET": "senders-in",
        "OUTPUT_BUCKET": "senders-out", "DYNAMODB_TABLE": "senders",
    }  # fmt: skip
    environment = aws.environment | {"AWS_ENDPOINT_URL": faults.endpoint} | names
    settings = Settings(**{k.lower(): v for k, v in (environment | {"AWS_ENDPOINT_URL": aws.endpoint}).items()})  # type: ignore[arg-type]
    clients.sqs(settings).create_queue(QueueName="senders")
    return Senders(environment, tmp_path)


def test_an_outage_of_the_queue_is_told_as_one_to_every_thread(senders: Senders, faults: FaultProxy) -> None:
    # They last for the first half of the messages or so; what comes later is sent.
    faults.add(*(Rule(operation, Fault.status(503), times=120) for operation in ("SendMessage", "GetQueueAttributes")))
    assert senders.run(_SENDERS) <= {"sent", "unavailable"}


def test_after_an_unforeseen_failure_sending_goes_on(senders: Senders) -> None:
    assert senders.run(_STUMBLERS + _SENDERS) == {"sent", "unavailable"}
