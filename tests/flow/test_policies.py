"""The policies of the roles against the calls that a whole farm makes: nothing is missing, and nothing is too much.

What is granted but not seen here is named in `UNSEEN`, each with the reason why a healthy farm does not call it.
"""

import http.cookiejar
import json
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.clips import make
from tests.farm import until
from tests.flow.calls import PLACE, WatchedFarm, allowed, uses
from transcode.aws import clients, iam
from transcode.aws.provision import provision
from transcode.aws.provisioning.shapes import Wishes
from workers.mailbox import control_prefix

PREFIX = control_prefix("flow-tasks")
# Role, statement, action: why no healthy farm is seen to use it, and where it is tested.
UNSEEN = {
    ("worker", "Records", "dynamodb:PutItem"): "notifications left in the task queue after a move to two queues",
    ("worker", "Outputs", "s3:AbortMultipartUpload"): "a lost attempt's parts: tests/faults",
    ("bridge", "Outputs", "s3:AbortMultipartUpload"): "the parts of a killed worker: tests/faults",
    ("bridge", "Outputs", "s3:GetObject"): "completing what a killed worker had sent: tests/faults",
    ("bridge", "Outputs", "s3:PutObject"): "completing what a killed worker had sent: tests/faults",
    ("bridge", "SeeBuckets", "s3:ListBucket"): "looking first whether the output stands there: tests/faults",
}


class Receiver(BaseHTTPRequestHandler):
    """Takes callbacks, after it has refused the first."""

    refused = threading.Event()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204 if self.refused.is_set() else 503)
        self.end_headers()
        self.refused.set()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Admin:
    """A browser without a screen."""

    def __init__(self, farm: WatchedFarm) -> None:
        self._root = f"http://127.0.0.1:{farm.port}/admin"
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(jar)

    def get(self, path: str) -> str:
        with self._opener.open(self._root + path, timeout=60) as answer:
            return str(answer.read().decode())

    def post(self, path: str, **form: str) -> str:
        token = re.search(r'name="token" value="([^"]+)"', self.get("/add"))
        assert token
        body = urllib.parse.urlencode({"token": token[1], **form}).encode()
        with self._opener.open(self._root + path, body, timeout=60) as answer:
            return str(answer.read().decode())


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedFarm]:
    """A farm that has been through a day's work."""
    folder = tmp_path_factory.mktemp("policies")
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        changes = {
            "CALLBACK_TARGETS": f"orders=http://127.0.0.1:{receiver.server_port}/hook",
            "CALLBACK_SECRETS": "orders=0123456789abcdef", "DEFAULT_CALLBACK": "orders",
            "POLL_INTERVAL": "1s", "LEASE": "8s",
        }  # fmt: skip
        with WatchedFarm(folder, **changes) as farm:
            _a_subscription_of_the_dead(farm)
            _without_workers(farm, make(folder / "clip.mp4"))
            _with_workers(farm, folder)
            yield farm
        receiver.shutdown()


def _a_subscription_of_the_dead(farm: WatchedFarm) -> None:
    provision(farm.settings, wishes=Wishes(control_prefix=PREFIX))
    sns = clients.sns(farm.settings)
    (topic,) = sns.list_topics()["Topics"]
    url = farm.sqs.create_queue(QueueName=f"{PREFIX}gone-pidbox")["QueueUrl"]
    arn = farm.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic["TopicArn"], Protocol="sqs", Endpoint=arn)
    farm.sqs.delete_queue(QueueUrl=url)


def _add(farm: WatchedFarm, **body: Any) -> Any:
    wanted = {"input_bucket": "flow-input", "input_key": "films/clip.mp4", "transcode_types": ["thumbnail"], **body}
    return farm.post("/api/queue/add", wanted)[1]


def _without_workers(farm: WatchedFarm, clip: Path) -> None:
    """What people do at the API; messages lie in the queues and nobody takes them."""
    farm.upload(clip, "films/clip.mp4")
    farm.start("api")
    farm.ready()
    for path in ("health", "queue/status", "stats", "workers", "tasks?status=pending", "tasks?date=2025-01-15"):
        farm.get(f"/api/{path}")
    assert farm.post("/api/queue/add", {"input_bucket": "flow-input", "input_key": "none.mp4"})[0] >= 400
    for priority in ("normal", "urgent"):
        _add(farm, priority=priority)
    cancelled = _add(farm)["task_id"]
    assert farm.post(f"/api/tasks/{cancelled}/cancel", {})[0] == 200
    assert farm.post("/api/queue/purge", {"confirm": True})[0] == 202
    with urllib.request.urlopen(f"http://127.0.0.1:{farm.port}/metrics", timeout=30) as answer:
        assert answer.status == 200
    assert "cancelled" in _celery(farm, "control", "revoke", _add(farm)["task_id"])
    assert "Purged" in _celery(farm, "purge", "-f")
    _dead_letters(farm)
    _upload_from_the_browser(farm, clip)


def _dead_letters(farm: WatchedFarm) -> None:
    """One that nobody can read, thrown away by a person; one of an urgent task, for the bridge."""
    dead = farm.sqs.get_queue_url(QueueName="flow-tasks-dlq")["QueueUrl"]
    farm.sqs.send_message(QueueUrl=dead, MessageBody="no message of ours")
    admin = Admin(farm)
    found = until(lambda: re.search(r'name="letter" value="([^"]+)"', admin.get("/queue")), "the letter is shown")
    assert "deleted" in admin.post("/queue/dead/delete", letter=found[1])
    _add(farm, priority="urgent")
    urgent = farm.settings.urgent_queue_url
    (message,) = farm.sqs.receive_message(QueueUrl=urgent, WaitTimeSeconds=5)["Messages"]
    farm.sqs.delete_message(QueueUrl=urgent, ReceiptHandle=message["ReceiptHandle"])
    farm.sqs.send_message(QueueUrl=dead, MessageBody=message["Body"])
    farm.sqs.send_message(QueueUrl=dead, MessageBody="no message of ours")


def _upload_from_the_browser(farm: WatchedFarm, clip: Path) -> None:
    size = str(clip.stat().st_size)
    form = json.loads(
        Admin(farm).post("/add/upload", bucket="flow-input", name="mine.mp4", prefix="people/", size=size)
    )
    boundary = uuid.uuid4().hex
    parts = [f'Content-Disposition: form-data; name="{k}"\r\n\r\n{v}'.encode() for k, v in form["fields"].items()]
    head = b'Content-Disposition: form-data; name="file"; filename="mine.mp4"\r\nContent-Type: video/mp4\r\n\r\n'
    parts.append(head + clip.read_bytes())
    body = b"".join(b"--" + boundary.encode() + b"\r\n" + part + b"\r\n" for part in parts)
    request = urllib.request.Request(
        form["address"], body + b"--" + boundary.encode() + b"--\r\n",
        {"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status in (200, 201, 204)


def _with_workers(farm: WatchedFarm, folder: Path) -> None:
    farm.start("bridge")
    farm.start("worker")
    ours = until(
        lambda: [t for t in farm.tasks() if t["input_key"].startswith("people/mine-")], "the upload has a task"
    )
    farm.over(ours[0]["task_id"])
    # From here on uploads have versions, and a task reads the one that it was made for.
    clients.s3(farm.settings).put_bucket_versioning(
        Bucket="flow-input", VersioningConfiguration={"Status": "Enabled"}
    )  # fmt: skip
    farm.upload(make(folder / "second.mp4"), "films/second.mp4")
    until(lambda: farm.tasks("films/second.mp4"), "it has a task")
    done = farm.tasks("films/second.mp4")[0]["task_id"]
    assert farm.over(done).status == "completed"
    output = farm.get(f"/api/tasks/{done}")["outputs"]["thumbnail"]
    with urllib.request.urlopen(output["url"], timeout=30) as answer:
        assert answer.read(2) == b"\xff\xd8"
    films = {"input_bucket": "flow-input", "input_prefix": "films/", "transcode_types": ["thumbnail"]}
    assert farm.post("/api/queue/add", films)[0] == 200
    assert "pong" in _celery(farm, "inspect", "ping")
    _hand_back(farm, folder)


def _celery(farm: WatchedFarm, *words: str) -> str:
    """What somebody types who has the operator's policy."""
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "workers.app", *words], cwd=farm.log_path("api").parent,
        env=farm.environment | farm.seen_by("operator"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def _hand_back(farm: WatchedFarm, folder: Path) -> None:
    """A worker that must go gives its task back; its mailbox goes with it."""
    farm.upload(make(folder / "long.mp4", size="1280x720", seconds=60), "films/long.mp4")
    until(lambda: [t for t in farm.tasks("films/long.mp4") if t["status"] == "processing"], "it is being made", 240)
    assert farm.stop("worker") == 0
    assert farm.tasks("films/long.mp4")[0]["status"] == "pending"


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedFarm]:
    """One without an event queue: uploads come in the task queue, to the worker."""
    folder = tmp_path_factory.mktemp("single")
    with WatchedFarm(folder, EVENT_QUEUE_URL="", POLL_INTERVAL="1s") as farm:
        for name in ("api", "worker"):
            farm.start(name)
        farm.ready()
        farm.upload(make(folder / "clip.mp4"), "clip.mp4")
        until(lambda: farm.tasks("clip.mp4"), "it has a task")
        assert farm.over(farm.tasks("clip.mp4")[0]["task_id"]).status == "completed"
        yield farm


def policy(farm: WatchedFarm, role: str) -> Any:
    return iam.policies(iam.Estate.of(farm.settings, control_prefix=PREFIX))[role]


@pytest.mark.parametrize("role", iam.ROLES)
def test_every_call_is_allowed(farm: WatchedFarm, role: str) -> None:
    seen = farm.witnesses[role].seen
    assert len(seen) > 5
    assert sorted(asked for asked in seen if not allowed(policy(farm, role), asked)) == []


@pytest.mark.parametrize("role", iam.ROLES)
def test_nothing_is_allowed_that_no_call_needs(farm: WatchedFarm, role: str) -> None:
    seen = set(farm.witnesses[role].seen)
    idle = {
        (role, statement["Sid"], action) for statement in policy(farm, role)["Statement"]
        for action in statement["Action"] if not any(uses(seen, (action, arn)) for arn in statement["Resource"])
    }  # fmt: skip
    assert sorted(idle - UNSEEN.keys()) == []


def test_without_an_event_queue_the_worker_may_make_records(single: WatchedFarm) -> None:
    seen = single.witnesses["worker"].seen
    assert sorted(asked for asked in seen if not allowed(policy(single, "worker"), asked)) == []
    assert ("dynamodb:PutItem", PLACE.table("flow-tasks")) in seen


def test_what_is_unseen_is_granted(farm: WatchedFarm) -> None:
    grants = {
        (role, statement["Sid"], action) for role in iam.ROLES
        for statement in policy(farm, role)["Statement"] for action in statement["Action"]
    }  # fmt: skip
    assert set(UNSEEN) - grants == set()


def test_the_topic_of_remote_control_is_the_one_that_was_made(farm: WatchedFarm) -> None:
    names = [one["TopicArn"].rsplit(":", 1)[1] for one in clients.sns(farm.settings).list_topics()["Topics"]]
    assert names == [Wishes(control_prefix=PREFIX).topic]
