"""An AWS of our own for the contract suites: moto's server on a free loopback port, emptied before each test."""

import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.client import BaseClient
from botocore.exceptions import IncompleteReadError, ReadTimeoutError
from botocore.httpsession import URLLib3Session
from moto.server import ThreadedMotoServer

from transcode.aws.provision import Provisioned, provision
from transcode.aws.tables import make_table
from transcode.settings import Settings

INPUT, OUTPUT, TABLE = "uploads-of-ours", "renditions-of-ours", "tasks-of-ours"


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def account(endpoint: str) -> Settings:
    """Settings that lead to an empty AWS."""
    request = urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")
    urllib.request.urlopen(request, timeout=10).close()
    given: dict[str, Any] = {
        "aws_region": "eu-central-1",
        "input_bucket": INPUT,
        "output_bucket": OUTPUT,
        "dynamodb_table": TABLE,
        "sqs_queue_url": f"{endpoint}/123456789012/transcode-tasks",
        "event_queue_url": f"{endpoint}/123456789012/transcode-events",
        "aws_access_key_id": "AKIDEXAMPLE",
        "aws_secret_access_key": "not-a-secret",
        "aws_endpoint_url": endpoint,
    }
    return Settings(_env_file=None, **given)


@pytest.fixture
def provisioned(account: Settings) -> Provisioned:
    """What `provision` made there."""
    return provision(account)


@pytest.fixture
def table(account: Settings) -> Settings:
    """Settings that lead to an AWS with nothing but our table."""
    make_table(account)
    return account


class Line:
    """The line between a client and AWS, which can be made to fail once or more."""

    def __init__(self, client: Any) -> None:
        self._events = client.meta.events
        self._service = client.meta.service_model.service_name
        self.calls: list[str] = []
        self._events.register(f"before-call.{self._service}", lambda model, **_: self.calls.append(model.name))

    def lose_answers(self, operation: str, times: int = 1, *, retried: bool = True) -> None:
        """Let the request arrive and be carried out, and its answer get lost.

        botocore tries again by itself when it was `retried`: a read time-out, else an error it gives up at.
        """
        left = [times]

        def send(request: Any, **_: Any) -> None:
            if left[0] > 0:
                left[0] -= 1
                URLLib3Session().send(request)
                if retried:
                    raise ReadTimeoutError(endpoint_url=request.url)
                raise IncompleteReadError(actual_bytes=0, expected_bytes=1)

        self._events.register(f"before-send.{self._service}.{operation}", send)

    def answer(self, operation: str, status: int, body: bytes = b"", **headers: str) -> None:
        """Have every such call answered with `status`, without reaching AWS. In `headers`, `_` stands for `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | {"content-length": str(len(body))}

        def send(request: AWSRequest, **_: Any) -> AWSResponse:
            return AWSResponse(request.url, status, sent, _Body(body))

        self._events.register(f"before-send.{self._service}.{operation}", send)


class _Body:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._data

    def read(self, *_: Any, **__: Any) -> bytes:
        return self._data


@pytest.fixture
def made_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of every call of AWS from now on, in order."""
    found: list[str] = []
    make: Any = BaseClient._make_api_call

    def noted(client: Any, operation: str, arguments: Any) -> Any:
        found.append(operation)
        return make(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", noted)
    return found


@pytest.fixture
def line() -> Callable[[Any], Line]:
    """Makes the line of a client."""
    return Line
