"""What the API and the bridge add to the calls of AWS that they cannot do without, in milliseconds and per second.

Both are the real processes, against boto3 making the calls itself, in turn with them and against the same server: once
moto's, once one that keeps nothing and answers after 5 ms. What has to be told to AWS:

- for `POST /api/queue/add` three calls: HeadObject (is there such an object, and which version of it?), PutItem,
  SendMessage. `two` is without the look at the object.
- for an event of S3 PutItem and SendMessage, and a tenth of ReceiveMessage and of DeleteMessageBatch.
"""

import http.client
import json
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import local

import psutil

from bench import machine, meter
from bench.bare import BUCKET, Bare
from bench.even_aws import BATCH, even_aws, fresh
from bench.verdict import Found, Ratio
from tests.farm import Farm, until
from transcode.aws import clients
from transcode.settings import Settings

# What is wanted: at most this many times the time of the calls that it needs, at least this share of their rate.
LATENCY, RATE = 1.5, 0.7
# Milliseconds that AWS takes for such a call within a region, about.
WAIT = 5
KEY = "holiday/beach.mp4"
# Requests at the same time, and in one turn, where throughput is measured; and turns.
AT_ONCE, TURN, TURNS = 8, 40, 5
# Events in a turn: as many as moto's queue holds without becoming slow.
EVENTS = 100
# Seconds that a turn of the bridge may take.
PATIENCE = 120.0
# Seconds after which a connection is made anew: gunicorn closes idle ones after 5.
IDLE = 3.0


class Api:
    """The API, over a connection of each thread's own that stays open."""

    def __init__(self, port: int) -> None:
        self._port, self._own = port, local()
        self._body = json.dumps({"input_bucket": BUCKET, "input_key": KEY})

    def add(self) -> None:
        """One request."""
        line = self._line()
        line.request("POST", "/api/queue/add", self._body, {"Content-Type": "application/json"})
        answer = line.getresponse()
        told = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"The API answered {answer.status}: {told[:300]!r}")

    def _line(self) -> http.client.HTTPConnection:
        now = time.monotonic()
        if now - getattr(self._own, "used", 0.0) > IDLE:
            self._own.line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        self._own.used = now
        line: http.client.HTTPConnection = self._own.line
        return line


def seconds(act: Callable[[], None]) -> float:
    """How long it took."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def latencies(ways: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """One after the other, in turn, so that whatever slows the machine slows all."""
    for act in list(ways.values()) * 10:
        act()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, act in ways.items():
            found[name].append(seconds(act))
    return found


def throughputs(ways: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Submissions a second with several at once: the median of some turns."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    with ThreadPoolExecutor(AT_ONCE) as pool:

        def turn(act: Callable[[], None]) -> None:
            for done in [pool.submit(act) for _ in range(TURN)]:
                done.result()

        for _ in range(TURNS):
            for name, act in ways.items():
                found[name].append(TURN / seconds(lambda act=act: turn(act)))  # type: ignore[misc]
    return {name: statistics.median(some) for name, some in found.items()}


def measure_api(farm: Farm, seen: Settings, rounds: int, where: str) -> Found:
    """The API against the bare calls, at the AWS that it sees."""
    film = farm.log_path("film").with_suffix(".mp4")
    film.write_bytes(b"a video" * 100)
    farm.upload(film, KEY)
    pid = farm.start("api").pid
    farm.ready()
    bare, api = Bare(seen), Api(farm.port)
    ways = {"two": bare.two, "three": lambda: bare.three(KEY), "add": api.add}
    found, rate = latencies(ways, rounds), throughputs(ways)
    before = meter.of_trees([pid])
    for _ in range(rounds):
        api.add()
    cost = (meter.of_trees([pid]) - before) / rounds
    rows = [
        {"aws": where, "what": name, **machine.spread(some), "per_second": round(rate[name], 1)}
        for name, some in found.items()
    ]
    ratio = statistics.median(found["add"]) / statistics.median(found["three"])
    wanted = Ratio(f"latency of add, of its three calls, {where}", ratio, at_most=LATENCY)
    return Found([wanted], {"api": rows}, {"api_processor_ms": round(cost * 1000, 2)})


class Bridge:
    """The bridge's process, which runs only while it is measured: otherwise it would take the bare calls' processor."""

    def __init__(self, farm: Farm) -> None:
        self.process = psutil.Process(farm.start("bridge").pid)
        self._log = farm.log_path("bridge")
        until(lambda: b"Bridge started" in self._log.read_bytes(), "the bridge runs")
        self.process.send_signal(signal.SIGSTOP)

    def made(self) -> int:
        """Events so far that became a task, by its log."""
        return self._log.read_bytes().count(b"Task created")

    def make(self, count: int) -> None:
        """Let it run until it has made so many more tasks."""
        before, deadline = self.made(), time.monotonic() + PATIENCE
        self.process.send_signal(signal.SIGCONT)
        while self.made() - before < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"The bridge did not make {count} tasks in {PATIENCE:.0f} s.")
            # The tasks of a turn take a second.
            time.sleep(0.01)
        self.process.send_signal(signal.SIGSTOP)


def fill(seen: Settings, name: str) -> None:
    """Put the events of a turn into this queue; an AWS that keeps nothing has them anyway."""
    url = seen.event_queue_url.replace("flow-events", name)
    for _ in range(0, EVENTS, BATCH):
        some = [{"Id": str(n), "MessageBody": fresh()} for n in range(BATCH)]
        clients.sqs(seen).send_message_batch(QueueUrl=url, Entries=some)  # type: ignore[arg-type]


def measure_bridge(farm: Farm, seen: Settings, rounds: int, where: str) -> Found:
    """The bridge against the bare calls, each with a queue of its own."""
    own = farm.sqs.create_queue(QueueName="bare-events")["QueueUrl"]
    bare, bridge = Bare(seen.model_copy(update={"event_queue_url": own})), Bridge(farm)
    ways: dict[str, Callable[[], None]] = {
        "bare calls, one by one": lambda: bare.events(EVENTS, 1),
        "bare calls, ten at once": lambda: bare.events(EVENTS, 10),
        "bridge": lambda: bridge.make(EVENTS),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    before = meter.of_trees([bridge.process.pid])
    for _ in range(max(3, rounds * 2 // EVENTS)):
        for name in ("bare-events", "bare-events", "flow-events"):
            fill(seen, name)
        for name, act in ways.items():
            rates[name].append(EVENTS / seconds(act))
    cost = (meter.of_trees([bridge.process.pid]) - before) / bridge.made()
    bridge.process.send_signal(signal.SIGCONT)
    middle = {name: statistics.median(some) for name, some in rates.items()}
    rows = [{"aws": where, "what": name, "per_second": round(rate, 1)} for name, rate in middle.items()]
    against = {name: middle["bridge"] / rate for name, rate in middle.items() if name != "bridge"}
    ratios = [Ratio(f"events a second / {name}, {where}", ratio) for name, ratio in against.items()]
    ratios[0] = replace(ratios[0], at_least=RATE)
    return Found(ratios, {"bridge": rows}, {"bridge_processor_ms": round(cost * 1000, 2)})


def at(endpoint: str, rounds: int) -> Iterator[tuple[str, Found]]:
    """What there is to say of this AWS; empty: of moto's."""
    where = f"AWS of {WAIT} ms" if endpoint else "moto"
    for part in (measure_api, measure_bridge):
        with tempfile.TemporaryDirectory() as folder, Farm(Path(folder), endpoint=endpoint, RATE_LIMIT="none") as farm:
            seen = farm.settings.model_copy(update={"aws_endpoint_url": farm.environment["AWS_ENDPOINT_URL"]})
            yield where, part(farm, seen, rounds, where)


def measure(rounds: int) -> Found:
    """API and bridge, at both; so many requests in each way, and twice as many events, 300 at least."""
    with even_aws(WAIT) as endpoint:
        parts = [*at(endpoint, rounds), *at("", rounds)]
    found = [part for _, part in parts]
    tables = {name: [row for part in found for row in part.tables.get(name, [])] for name in ("api", "bridge")}
    details = [{"aws": where} | part.details for where, part in parts]
    return Found([ratio for part in found for ratio in part.ratios], tables, {"processor": details})
