"""An AWS that keeps nothing and answers the calls of a submission after the same short wait each, as AWS does.

    python -m bench.even_aws MILLISECONDS

moto needs all of a core for an answer, so against it everything else looks cheap. Here the wait is like that
of AWS within a region, and costs no processor: what remains is what is ours. Every object exists, no record does, and
no queue ends: one whose name ends in `-events` is full of notifications, one in `-1000` has a thousand tasks, always.
"""

import asyncio
import base64
import hashlib
import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from workers.names import RUN

# Messages per receive; SQS gives ten at most.
BATCH = 10
# What is always the same; all other calls are answered with nothing, which is what a write says.
_FIXED: dict[str, Any] = {
    "UpdateItem": {"Attributes": {}},
    "Query": {"Items": [], "Count": 0, "ScannedCount": 0},
    "BatchGetItem": {"Responses": {}, "UnprocessedKeys": {}},
}


def notification(key: str) -> str:
    """What S3 tells of a new object of the farm's input bucket."""
    found = {"key": key, "size": 700, "eTag": "0123", "sequencer": "0055AED6DCD90281E5"}
    record = {
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "eventTime": "2025-01-15T09:00:00.000Z", "s3": {"bucket": {"name": "flow-input"}, "object": found},
    }  # fmt: skip
    return json.dumps({"Records": [record]})


def fresh() -> str:
    """A notification of an object that nobody has heard of."""
    return notification(f"{uuid.uuid4()}.mp4")


def task_message() -> str:
    """A message as Celery writes it."""
    body = base64.b64encode(b'[["a task"], {}, {}]').decode()
    told = {"delivery_tag": str(uuid.uuid4()), "body_encoding": "base64", "delivery_info": {"routing_key": "tasks"}}
    envelope = {
        "body": body, "content-encoding": "utf-8", "content-type": "application/json",
        "headers": {"lang": "py", "task": RUN, "id": str(uuid.uuid4())}, "properties": told,
    }  # fmt: skip
    return base64.b64encode(json.dumps(envelope).encode()).decode()


def _taken(asked: dict[str, Any]) -> dict[str, Any]:
    text = asked["MessageBody"].encode()
    return {"MessageId": str(uuid.uuid4()), "MD5OfMessageBody": hashlib.md5(text).hexdigest()}  # noqa: S324


def _handed_out(asked: dict[str, Any]) -> dict[str, Any]:
    make = fresh if asked["QueueUrl"].endswith("-events") else task_message
    ids = [str(uuid.uuid4()) for _ in range(min(BATCH, asked.get("MaxNumberOfMessages", 1)))]
    system = {"ApproximateReceiveCount": "1"}
    return {"Messages": [{"MessageId": i, "ReceiptHandle": i, "Body": make(), "Attributes": system} for i in ids]}


def _counted(asked: dict[str, Any]) -> dict[str, Any]:
    waiting = asked["QueueUrl"].rpartition("-")[2]
    counts = {"": waiting if waiting.isdecimal() else "0", "NotVisible": "0", "Delayed": "0"}
    return {"Attributes": {f"ApproximateNumberOfMessages{which}": count for which, count in counts.items()}}


def _deleted(asked: dict[str, Any]) -> dict[str, Any]:
    return {"Successful": [{"Id": one["Id"]} for one in asked["Entries"]], "Failed": []}


_MADE: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "SendMessage": _taken,
    "ReceiveMessage": _handed_out,
    "GetQueueAttributes": _counted,
    "DeleteMessageBatch": _deleted,
}


def _answer(method: str, headers: dict[str, str], body: bytes) -> tuple[str, bytes]:
    """Further headers, and the body."""
    if method == "HEAD":
        return 'ETag: "0123"\r\nLast-Modified: Wed, 15 Jan 2025 09:00:00 GMT\r\nContent-Length: 700', b""
    action = headers.get("x-amz-target", "").rpartition(".")[2]
    found = _MADE[action](json.loads(body)) if action in _MADE else _FIXED.get(action, {})
    told = json.dumps(found).encode()
    return f"Content-Type: application/x-amz-json-1.0\r\nContent-Length: {len(told)}", told


class Desk:
    """Where the answers are given."""

    def __init__(self, wait: float) -> None:
        self._wait = wait

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes over one connection, until it ends."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").strip().split("\r\n")
                headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                await asyncio.sleep(self._wait)
                more, told = _answer(first.split()[0], headers, body)
                writer.write(f"HTTP/1.1 200 OK\r\n{more}\r\n\r\n".encode() + told)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@contextmanager
def even_aws(wait: int) -> Iterator[str]:
    """The address of one that answers after so many milliseconds."""
    command = [sys.executable, "-m", "bench.even_aws", str(wait)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout  # noqa: S101 - a pipe was asked for
        try:
            yield child.stdout.readline().strip()
        finally:
            child.terminate()


async def _main(wait: float) -> None:
    server = await asyncio.start_server(Desk(wait).serve, "127.0.0.1", 0)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    # It ends with who started it: then its stdin does.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main(float(sys.argv[1]) / 1000))
