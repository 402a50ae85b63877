"""What each role asks of AWS, in the words of IAM: a proxy per role writes the calls of a farm down."""

import fnmatch
import json
import subprocess
import threading
from collections import Counter
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.farm import Farm
from tests.faults.proxy import Answer, Call
from tests.soak.history import History
from tests.soak.proxy import SoakProxy
from transcode.aws.place import Place

PLACE = Place("aws", "us-east-1", "123456789012")
# Action and ARN.
Wanted = tuple[str, str]
_URLS = ("SQS_QUEUE_URL", "URGENT_QUEUE_URL", "EVENT_QUEUE_URL", "CALLBACK_QUEUE_URL")


def wanted(call: Call, code: int) -> list[Wanted]:
    """What IAM must allow for a call; `code` is what came back, as a missing object asks for one thing more."""
    target = call.headers.get("x-amz-target", "")
    if target.startswith("DynamoDB"):
        return _dynamodb(call.operation, json.loads(call.body))
    if target.startswith("AmazonSQS"):
        asked = json.loads(call.body)
        name = asked.get("QueueName") or asked.get("QueueUrl", "").rsplit("/", 1)[-1]
        return [(f"sqs:{call.operation.removesuffix('Batch')}", PLACE.queue(name) if name else "*")]
    if call.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return _sns(parse_qs(call.body.decode()))
    return _s3(call, code)


def _dynamodb(operation: str, asked: dict[str, Any]) -> list[Wanted]:
    tables = asked.get("RequestItems") or [asked["TableName"]]
    arns = [PLACE.table(name) for name in tables]
    return [(f"dynamodb:{operation}", f"{a}/index/{asked['IndexName']}" if "IndexName" in asked else a) for a in arns]


def _sns(asked: dict[str, list[str]]) -> list[Wanted]:
    action = asked["Action"][0]
    arn = asked["TopicArn"][0] if "TopicArn" in asked else PLACE.topic(asked.get("Name", ["-"])[0])
    tagged = [("sns:TagResource", arn)] if any(name.startswith("Tags.") for name in asked) else []
    return [(f"sns:{action}", "*" if action == "Unsubscribe" else arn), *tagged]


def _s3(call: Call, code: int) -> list[Wanted]:
    parts = urlsplit(call.path)
    bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
    query = parse_qs(parts.query, keep_blank_values=True)
    if call.method == "POST" and "multipart/form-data" in call.headers.get("content-type", ""):
        return [("s3:PutObject", PLACE.bucket(f"{bucket}/a-form"))]
    if not key:
        return [("s3:ListBucket", PLACE.bucket(bucket))]
    thing = PLACE.bucket(f"{bucket}/{key}")
    if call.method in ("GET", "HEAD"):
        seen = [("s3:ListBucket", PLACE.bucket(bucket))] if code == 404 else []
        return [(f"s3:GetObject{'Version' if 'versionId' in query else ''}", thing), *seen]
    return [({"DELETE": "s3:AbortMultipartUpload"}.get(call.method, "s3:PutObject"), thing)]


class Witness(SoakProxy):
    """A calm proxy that writes down what passes it."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream, 0, History())
        self.seen: Counter[Wanted] = Counter()
        self._guard = threading.Lock()

    def _ask(self, call: Call) -> Answer:
        answer = super()._ask(call)
        with self._guard:
            self.seen.update(wanted(call, answer.code))
        return answer

    def _note(self, call: Call) -> None:
        """The soak's history is not kept here."""


class WatchedFarm(Farm):
    """A farm in which each role has a proxy of its own."""

    def __init__(self, folder: Path, **changes: str) -> None:
        super().__init__(folder, **changes)
        self.witnesses: dict[str, Witness] = {}

    def __enter__(self) -> Self:
        super().__enter__()
        self.witnesses = {role: Witness(self._aws.endpoint) for role in ("api", "bridge", "worker", "operator")}
        for witness in self.witnesses.values():
            witness.start()
        return self

    def __exit__(self, *why: Any) -> None:
        super().__exit__(*why)
        for witness in self.witnesses.values():
            witness.stop()

    def _environment(self, endpoint: str) -> dict[str, str]:
        queue = f"{endpoint}/123456789012"
        more = {"URGENT_QUEUE_URL": f"{queue}/flow-urgent", "CALLBACK_QUEUE_URL": f"{queue}/flow-callbacks"}
        return super()._environment(endpoint) | more

    def seen_by(self, role: str) -> dict[str, str]:
        """The environment in which all ways to AWS lead over the role's proxy."""
        endpoint = self.witnesses[role].endpoint
        urls = {name: self.environment[name].replace(self._aws.endpoint, endpoint) for name in _URLS}
        return {"AWS_ENDPOINT_URL": endpoint, **urls}

    def start(self, name: str, command: str = "", **changes: str) -> "subprocess.Popen[bytes]":
        """As the base, over the proxy of its role."""
        return super().start(name, command, **self.seen_by(command or name), **changes)


def allowed(policy: dict[str, Any], asked: Wanted) -> bool:
    """Whether a policy allows it, as IAM compares."""
    return any(
        asked[0] in statement["Action"] and any(fnmatch.fnmatchcase(asked[1], arn) for arn in statement["Resource"])
        for statement in policy["Statement"]
    )


def granted(policy: dict[str, Any]) -> set[Wanted]:
    """Every action of a policy with every resource that it is allowed for."""
    return {
        (action, arn) for statement in policy["Statement"] for action in statement["Action"]
        for arn in statement["Resource"]
    }  # fmt: skip


def uses(asked: set[Wanted], grant: Wanted) -> bool:
    """Whether some call needs what was granted."""
    return any(action == grant[0] and fnmatch.fnmatchcase(arn, grant[1]) for action, arn in asked)
