"""What Prometheus reads of real processes: a worker's, with its pool, and a bridge's; and of the API."""

import random
import socket
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.farm import Farm, until
from transcode.states import Status

Numbers = dict[tuple[str, tuple[str, ...]], float]


def numbers(port: int) -> Numbers:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
    except OSError:
        return {}
    return {(s.name, tuple(sorted(s.labels.values()))): s.value for family in families for s in family.samples}


def two_free_ports() -> int:
    """The first of two neighbours that nobody uses: a worker's and a bridge's.

    They lie below those that the system hands out, or another process of the farm could be given one of them.
    """
    while True:
        port = random.randrange(20000, 30000)
        if all(_free(one) for one in (port, port + 1)):
            return port


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_work_of_a_pool_process_is_told_on_the_workers_port(tmp_path: Path, clip: Path) -> None:
    port = two_free_ports()
    with Farm(tmp_path, METRICS_PORT=str(port)) as farm:
        for name in ("api", "bridge", "worker"):
            farm.start(name)
        farm.ready()
        farm.upload(clip, "film.mp4")
        found = until(lambda: farm.tasks("film.mp4"), "a task")
        assert farm.over(found[0]["task_id"]).status is Status.COMPLETED
        ended = ("transcode_attempts_total", ("completed", "completed"))
        of_worker = until(lambda: (n := numbers(port)).get(ended) and n, "the attempt is counted")
        assert of_worker[ended] == 1
        assert of_worker["transcode_phase_seconds_count", ("encode",)] == 1
        assert of_worker["transcode_encode_speed_sum", ()] > 0
        assert of_worker["transcode_renditions_total", ("made", "thumbnail")] == 1
        # Of the pool's process, of the node's main one through boto3, and of its polls through curl.
        for call in ("CompleteMultipartUpload", "DeleteMessage", "ReceiveMessage"):
            service = "sqs" if "Message" in call else "s3"
            assert of_worker["transcode_aws_requests_total", tuple(sorted((service, call)))] >= 1, call
        # And each line of the log says where it was.
        line = next(line for line in farm.log("worker") if line["event"] == "Transcode completed")
        assert (line["task_id"], line["attempt"], line["gpu"]) == (found[0]["task_id"], 1, "none")
        assert line["worker"].startswith("cpu@")
        of_bridge = numbers(port + 1)
        assert of_bridge["transcode_aws_requests_total", ("SendMessage", "sqs")] >= 1
        assert ended not in of_bridge
        of_api = until(lambda: _with_bridge(farm.port), "the API has heard of the bridge")
        assert of_api["transcode_bridge_silent_seconds", ()] == pytest.approx(15, abs=15)
        assert of_api["transcode_aws_requests_total", ("GetQueueAttributes", "sqs")] >= 2
        assert of_api["transcode_oldest_pending_seconds", ()] == 0


def _with_bridge(port: int) -> Numbers:
    found = numbers(port)
    return found if ("transcode_bridge_silent_seconds", ()) in found else {}
