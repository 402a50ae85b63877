"""A producer that many threads share, while the queue is down: an outage is told as one, never as a bug of ours."""

import json
import os
import subprocess
import sys
from pathlib import Path

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


def test_an_outage_of_the_queue_is_told_as_one_to_every_thread(
    aws: EmbeddedAws,
    faults: FaultProxy,
    tmp_path: Path,
) -> None:
    names = {
        "SQS_QUEUE_URL": f"{faults.endpoint}/123456789012/senders", "INPUT_BUCKET": "senders-in",
        "OUTPUT_BUCKET": "senders-out", "DYNAMODB_TABLE": "senders",
    }  # fmt: skip
    environment = aws.environment | {"AWS_ENDPOINT_URL": faults.endpoint} | names
    settings = Settings(**{k.lower(): v for k, v in (environment | {"AWS_ENDPOINT_URL": aws.endpoint}).items()})  # type: ignore[arg-type]
    clients.sqs(settings).create_queue(QueueName="senders")
    # They last for the first half of the messages or so; what comes later is sent.
    faults.add(*(Rule(operation, Fault.status(503), times=120) for operation in ("SendMessage", "GetQueueAttributes")))
    done = subprocess.run(
        [sys.executable, "-c", _SENDERS], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=environment | {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout.splitlines()[-1])) <= {"sent", "unavailable"}
