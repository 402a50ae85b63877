"""The parts of the benches that could be wrong without anybody seeing it in a number."""

import importlib
import subprocess
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from bench import cost, meter
from bench.__main__ import BENCHES
from bench.throttle import Throttle
from bench.verdict import Ratio


@pytest.mark.parametrize("name", BENCHES)
def test_every_bench_has_the_form(name: str) -> None:
    assert callable(importlib.import_module(f"bench.{name}").measure)


@pytest.mark.parametrize(
    ("ratio", "met", "wanted"),
    [
        (Ratio("a", 0.75, at_most=0.75), True, "≤ 0.75"),
        (Ratio("a", 0.76, at_most=0.75), False, "≤ 0.75"),
        (Ratio("a", 0.84, at_least=0.85), False, "≥ 0.85"),
        (Ratio("a", 99.0), True, ""),
    ],
)
def test_a_ratio_is_met_or_not(ratio: Ratio, met: bool, wanted: str) -> None:
    assert (ratio.met, ratio.wanted) == (met, wanted)


def test_processor_time_of_what_has_ended_counts() -> None:
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    program = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\nprint(flush=True)\ninput()"
    line = [sys.executable, "-c", program]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        # The system tells whole hundredths of a second, of each of four counts.
        assert meter.of_trees([child.pid]) >= 0.46
        child.communicate(b"\n")


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response_only(200)
        self.end_headers()
        self.wfile.write(b"x" * 100_000)

    def log_message(self, *_: object) -> None:
        pass


def test_a_throttle_lets_so_many_bytes_through_each_second() -> None:
    server = HTTPServer(("127.0.0.1", 0), Answering)
    Thread(target=server.serve_forever, daemon=True).start()
    with Throttle() as throttle:
        throttle.lead(f"http://127.0.0.1:{server.server_port}", 100_000, float("inf"))
        began = time.monotonic()
        with urllib.request.urlopen(throttle.endpoint, timeout=30) as answer:
            assert len(answer.read()) == 100_000
        assert time.monotonic() - began > 0.9
    server.shutdown()
    server.server_close()


def test_requests_are_paid_by_their_kind() -> None:
    found = [cost.kind(one) for one in ("s3 UploadPart", "s3 HeadObject", "dynamodb Query", "sqs SendMessage")]
    assert found == ["s3 puts", "s3 gets", "dynamodb reads", "sqs"]


def test_money_follows_from_the_numbers() -> None:
    task = {"cpu s": 60.0, "film s": 60.0, "MB out": 1.0, "sqs": 1.0, "dynamodb writes": 1.0, "dynamodb reads": 1.0,
            "s3 puts": 1.0, "s3 gets": 1.0}  # fmt: skip
    prices = {
        "busy": 0.5,
        "cpu": {"instance": "c", "per_hour": 3.0, "vcpus": 2, "speed": 1.0},
        "gpu": {"instance": "g", "per_hour": 6.0, "realtime": 10.0},
        "requests": {"sqs": 1.0, "dynamodb_write_unit": 1.0, "dynamodb_read": 1.0, "s3_put": 1.0, "s3_get": 1.0,
                     "units_per_write": 6.0, "sqs_a_second": 1.0, "write_units_a_second": 2.0, "part_bytes": 1e6},
    }  # fmt: skip
    one, ten, card, _ = cost.money(task, prices)
    # 1,000 minutes of processor time on two, half the time: 16.7 hours.
    assert (one["machine hours"], one["machines $"]) == (16.7, 50.0)
    assert (card["machine hours"], card["machines $"]) == (3.3, 20.0)
    # A minute: 10 requests, and 3 for each of 30 seconds of work. Ten: 10, 9 parts more, 3 for each of 300 seconds.
    assert (one["requests $"], ten["requests $"]) == (0.1, round(0.1 * (10 + 9 + 900) / 1000, 3))
    # A minute on the card is 6 seconds of work.
    assert card["requests $"] == round((10 + 18) / 1000, 3)
