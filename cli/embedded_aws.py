"""An AWS of our own on a loopback port: moto's server as a child process, for the demo and the tests.

It keeps everything in memory and is small: a few hundred messages, a couple of thousand records, objects
of 50 MB. It accepts any credentials. Only S3, SQS, SNS and DynamoDB are loaded, each when it is first asked
for. The child ends when its parent does, however that ends.

    with EmbeddedAws() as aws:
        os.environ.update(aws.environment)
"""

import contextlib
import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

# What every client of it uses. moto accepts any; it derives its account, 123456789012, from no key.
REGION = "us-east-1"
ACCESS_KEY = SECRET_KEY = "embedded"  # noqa: S105  moto checks no password
# Seconds for the child to import moto and bind (measured: about 1.5 on two slow cores), and to end.
_START, _STOP = 60.0, 5.0
# A service as it stands in the header that names the operation.
_DYNAMODB = "DynamoDB"

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class EmbeddedAws:
    """The child process. `start` and `stop` may be called in any order and twice."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None
        self.endpoint = ""

    def start(self) -> str:
        """Start it and return its address, `http://127.0.0.1:PORT`.

        Raises:
            RuntimeError: it did not start; its last words are on our stderr.
        """
        if self._child is None:
            # A session of its own: Ctrl-C reaches us, and we decide when it ends.
            self._child = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            self.endpoint = self._read_address(self._child)
        return self.endpoint

    def _read_address(self, child: "subprocess.Popen[str]") -> str:
        assert child.stdout is not None  # noqa: S101  a pipe was asked for
        watchdog = threading.Timer(_START, child.kill)
        watchdog.start()
        try:
            address = child.stdout.readline().strip()
        finally:
            watchdog.cancel()
        if not address:
            self.stop()
            raise RuntimeError(f"The embedded AWS did not start within {_START:.0f} seconds; its output says why.")
        return address

    def stop(self) -> None:
        """End it, and wait until it is gone."""
        child, self._child = self._child, None
        if child is None:
            return
        # Its stdin ends: that is how it learns of our end in every case.
        with contextlib.suppress(OSError):
            child.stdin and child.stdin.close()
        try:
            child.wait(_STOP)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        finally:
            child.stdout and child.stdout.close()

    @property
    def environment(self) -> dict[str, str]:
        """The settings with which any part of the product uses it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


class OneAtATime:
    """DynamoDB requests one after the other: moto's conditional writes are not atomic between threads."""

    def __init__(self, app: WsgiApp) -> None:
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        if not environ.get("HTTP_X_AMZ_TARGET", "").startswith(_DYNAMODB):
            return self._app(environ, start_response)
        with self._lock:
            return self._app(environ, start_response)


def serve() -> None:
    """The child's whole life: bind, say where on stdout, answer until stdin ends."""
    # Ctrl-C is for the parent, which ends us by stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = _server()
    port = server.socket.getsockname()[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{port}", flush=True)
    sys.stdin.read()
    # Threads in a long poll may live for another 20 s; nothing of theirs is worth waiting for.
    os._exit(0)


def _server() -> socketserver.TCPServer:
    # Imported by the child only: moto takes a second.
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class Handler(MotoRequestHandler):
        """Quiet; with connections that stay open, and without Nagle, which costs 40 ms an answer."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log(self, type: str, message: str, *args: Any) -> None:
            """Say nothing: every request would be a line."""

    app = OneAtATime(DomainDispatcherApplication(create_backend_app))
    return make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)


if __name__ == "__main__":
    serve()
