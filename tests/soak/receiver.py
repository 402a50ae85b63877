"""Who is called back in the soak: it takes what it is told, or, while it rages, refuses it, or is slow, or hangs up."""

import json
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = "a secret of the soak"
# Of the requests that come while it rages; the rest is taken.
_REFUSED, _SLOW, _HUNG_UP = 0.25, 0.1, 0.1


class Receiver(ThreadingHTTPServer):
    """`told`: the statuses that were told, by task and generation."""

    daemon_threads = True

    def __init__(self, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.dice, self.raging = random.Random(seed), False
        self.told: dict[tuple[str, int], list[str]] = {}
        self.lock = threading.Lock()

    @property
    def settings(self) -> dict[str, str]:
        """What names it to the farm: all tasks are told to it."""
        return {
            "CALLBACK_TARGETS": f"soak=http://127.0.0.1:{self.server_port}/hook",
            "CALLBACK_SECRETS": f"soak={SECRET}", "DEFAULT_CALLBACK": "soak",
        }  # fmt: skip

    def start(self) -> None:
        """Begin to listen."""
        threading.Thread(target=self.serve_forever, name="receiver", daemon=True).start()

    def stop(self) -> None:
        """Listen no more."""
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["data"]
        fate = self.server.dice.random() if self.server.raging else 1.0
        if fate < _REFUSED:
            self._answer(503)
            return
        if fate < _REFUSED + _SLOW:
            time.sleep(1.0)
        with self.server.lock:
            self.server.told.setdefault((data["task_id"], data["generation"]), []).append(data["status"])
        # Taken, but nobody hears of it: it is told again.
        if fate >= _REFUSED + _SLOW + _HUNG_UP:
            self._answer(204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
