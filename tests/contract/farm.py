"""A farm for the tests of the transport: a queue, a fault proxy, real workers and the real command line."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from cli.embedded_aws import EmbeddedAws
from tests.faults.proxy import Fault, FaultProxy, Rule
from workers.mailbox import control_prefix

ROOT = Path(__file__).parents[2]
CELERY = [sys.executable, "-m", "celery", "-A", "tests.contract.tiny_app"]
# Seconds until something that must happen has not happened: far more than it takes on a busy machine.
PATIENCE = 40.0
# Seconds a received message stays invisible: longer than any test, so that what comes back was given back.
VISIBILITY = 120
MAX_RECEIVES = 2


def until(look: Callable[[], Any], what: str) -> Any:
    """Wait for `look` to find something."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.05)
    pytest.fail(f"{what} did not happen within {PATIENCE:.0f} s")


@dataclass
class Farm:
    """A queue with its dead-letter queue, a proxy, and whatever processes a test starts."""

    server: EmbeddedAws
    proxy: FaultProxy
    folder: Path
    name: str = field(default_factory=lambda: f"tiny{uuid.uuid4().hex[:8]}")
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    urgent: str = ""

    def __post_init__(self) -> None:
        session = boto3.Session("embedded", "embedded", region_name="us-east-1")
        self.sqs = session.client("sqs", endpoint_url=self.server.endpoint)
        self.sns = session.client("sns", endpoint_url=self.server.endpoint)
        self.s3 = session.client("s3", endpoint_url=self.server.endpoint)
        self.dead = self.sqs.create_queue(QueueName=f"dead-{self.name}")["QueueUrl"]
        arn = self.attributes(self.dead, "QueueArn")["QueueArn"]
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES})
        attributes = {"RedrivePolicy": redrive, "VisibilityTimeout": str(VISIBILITY)}
        self.url = self.sqs.create_queue(QueueName=self.name, Attributes=attributes)["QueueUrl"]
        self.log = self.folder / f"{self.name}.said"
        self.log.touch()
        self._sender: subprocess.Popen[str] | None = None

    def environment(self, endpoint: str, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        urgent = {"URGENT_QUEUE_URL": f"{endpoint}/123456789012/urgent-{self.name}"} if self.urgent else {}
        return kept | self.server.environment | urgent | {
            "AWS_ENDPOINT_URL": endpoint, "SQS_QUEUE_URL": f"{endpoint}/123456789012/{self.name}",
            "INPUT_BUCKET": "tiny-in", "OUTPUT_BUCKET": "tiny-out", "DYNAMODB_TABLE": "tiny",
            "POLL_INTERVAL": "1s", "MAX_CONCURRENT_TASKS": "2", "TINY_LOG": str(self.log),
        } | more  # fmt: skip

    def have_urgent(self) -> str:
        """Make an urgent queue beside the other; its name. To be called before anything is started."""
        attributes = {"VisibilityTimeout": str(VISIBILITY)}
        self.urgent = self.sqs.create_queue(QueueName=f"urgent-{self.name}", Attributes=attributes)["QueueUrl"]
        return f"urgent-{self.name}"

    def worker(self, name: str = "w1", **more: str) -> "Worker":
        output = self.folder / f"{self.name}.{name}.log"
        command = [*CELERY, "worker", "-n", f"{name}@tiny", "-l", "INFO", "-Q", self.name]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        with output.open("w") as out:
            child = subprocess.Popen(
                command, cwd=ROOT, env=self.environment(self.proxy.endpoint, **more), stdout=out,
                stderr=subprocess.STDOUT, text=True, start_new_session=True,
            )  # fmt: skip
        self.processes.append(child)
        worker = Worker(child, output)
        until(lambda: "ready." in worker.output or not worker.alive, "the worker's start")
        assert worker.alive, worker.output
        return worker

    def ask(self, what: str, *arguments: Any, **options: Any) -> str:
        """Send a task, past the proxy; the sender stays for the next one."""
        if self._sender is None:
            self._sender = subprocess.Popen(
                [sys.executable, "-m", "tests.contract.tiny_app"], cwd=ROOT, text=True, start_new_session=True,
                env=self.environment(self.server.endpoint), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
            self.processes.append(self._sender)
        assert self._sender.stdin is not None
        assert self._sender.stdout is not None
        self._sender.stdin.write(json.dumps([what, arguments, options]) + "\n")
        self._sender.stdin.flush()
        return self._sender.stdout.readline().strip()

    def put(self, body: str) -> None:
        """Send a message that no Celery client wrote."""
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    def inspect(self, what: str, *options: str) -> str:
        """What the one worker answers; the caller waits for no other."""
        found = self.celery("inspect", "-d", "w1@tiny", *options, what)
        assert found.returncode == 0, found.stdout + found.stderr
        return found.stdout

    def celery(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        env = self.environment(self.proxy.endpoint, **more)
        command = [*CELERY, *arguments]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)

    def said(self) -> list[str]:
        return self.log.read_text().splitlines()

    def attributes(self, url: str, *names: str) -> dict[str, str]:
        found: dict[str, str] = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names))["Attributes"]
        return found

    def counts(self) -> tuple[int, int]:
        """How many messages wait, and how many are held; of both queues where there are two."""
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        found = [self.attributes(url, *names) for url in (self.url, self.urgent) if url]
        return sum(int(f[names[0]]) for f in found), sum(int(f[names[1]]) for f in found)

    def dead_letters(self) -> int:
        return int(self.attributes(self.dead, "ApproximateNumberOfMessages")["ApproximateNumberOfMessages"])

    def show_again_after(self, seconds: int) -> None:
        """How long a message that is received from now on stays invisible."""
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"VisibilityTimeout": str(seconds)})

    def control_queues(self) -> list[str]:
        return list(self.sqs.list_queues(QueueNamePrefix=control_prefix(self.name)).get("QueueUrls", []))

    def subscriptions(self) -> list[str]:
        found = self.sns.list_subscriptions()["Subscriptions"]
        return [s["Endpoint"] for s in found if f":{control_prefix(self.name)}" in s["Endpoint"]]

    def works(self) -> None:
        """A task sent now runs."""
        word = uuid.uuid4().hex
        self.ask("tiny.note", word)
        until(lambda: f"note {word}" in self.said(), "a task that was sent")

    def polls(self, fault: Fault, times: int, queue: str = "") -> Rule:
        """Let polls of the task queue, or of another one, go wrong, those of the control queues not."""
        rule = Rule("ReceiveMessage", fault, times, about=f'/{queue or self.name}"')
        self.proxy.add(rule)
        return rule

    def close(self) -> None:
        for child in self.processes:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe:
                    pipe.close()


@dataclass
class Worker:
    child: subprocess.Popen[str]
    path: Path

    @property
    def output(self) -> str:
        return self.path.read_text()

    @property
    def alive(self) -> bool:
        return self.child.poll() is None

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.child.send_signal(how)
        until(lambda: not self.alive, f"the end of the worker by {how.name}")
        return self.child.wait()
