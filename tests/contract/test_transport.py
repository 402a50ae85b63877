"""The SQS transport with a real worker and the real command line, against moto behind a fault proxy.

What it must do: poll whatever happens, hold exactly as many messages as it runs, lose none, leave nothing
behind. The last test shows that the transport of kombu 5.7.0 does not; when it fails, read `workers/polling`
again: upstream may have cured something.
"""

import base64
import json
import pickle
import signal
import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.embedded_aws import EmbeddedAws
from tests.aws_server import aws  # noqa: F401  a fixture
from tests.contract.farm import MAX_RECEIVES, VISIBILITY, Farm, Worker, until
from tests.faults.proxy import Fault, FaultProxy, Rule
from workers.held import Held
from workers.mailbox import control_prefix
from workers.transport import Channel, last_answered_poll

SNS_REFUSES = (
    "<ErrorResponse><Error><Type>Sender</Type><Code>AuthorizationError</Code><Message>no</Message></Error>"
    "<RequestId>1</RequestId></ErrorResponse>"
)


@pytest.fixture
def farm(aws: EmbeddedAws, tmp_path: Path) -> Iterator[Farm]:  # noqa: F811
    with FaultProxy(aws.endpoint) as proxy:
        farm = Farm(aws, proxy, tmp_path)
        try:
            yield farm
        finally:
            farm.close()


@pytest.fixture(scope="module")
def running(aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Farm, Worker]]:  # noqa: F811
    """A farm with one worker that the tests of this module share: it has to survive them all."""
    with FaultProxy(aws.endpoint) as proxy:
        farm = Farm(aws, proxy, tmp_path_factory.mktemp("running"))
        try:
            yield farm, farm.worker()
        finally:
            farm.close()


@pytest.fixture
def shared(running: tuple[Farm, Worker]) -> Iterator[tuple[Farm, Worker]]:
    farm, worker = running
    assert worker.alive, worker.output
    yield farm, worker
    farm.proxy.clear()
    farm.show_again_after(VISIBILITY)


HTML = "<html><body>Please sign in to the network.</body></html>"


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        pytest.param(Fault.status(500), 2, id="500"),
        pytest.param(Fault.status(503, text=""), 2, id="503"),
        pytest.param(Fault.status(403, "ExpiredToken"), 2, id="403-expired"),
        pytest.param(Fault.status(403, "AccessDenied"), 2, id="403-denied"),
        pytest.param(Fault.status(429, "TooManyRequests"), 2, id="429"),
        pytest.param(Fault.status(400, "RequestThrottled"), 2, id="400"),
        pytest.param(Fault.status(200, text=HTML), 2, id="html"),
        pytest.param(Fault.drop(), 2, id="dropped"),
        pytest.param(Fault.hang(), 1, id="unanswered"),
    ],
)
def test_polling_survives(shared: tuple[Farm, Worker], fault: Fault, times: int) -> None:
    farm, worker = shared
    before = worker.output.count("Poll failed")
    rule = farm.polls(fault, times)
    until(lambda: not rule.left, "a poll that goes wrong")
    until(lambda: worker.output.count("Poll failed") > before, "a line in the log")
    farm.works()
    assert worker.alive


def test_a_failed_poll_is_logged_with_its_reason(shared: tuple[Farm, Worker]) -> None:
    farm, worker = shared
    rule = farm.polls(Fault.status(403, "SignatureDoesNotMatch"), 1)
    until(lambda: not rule.left, "a poll that goes wrong")
    until(lambda: "SignatureDoesNotMatch" in worker.output, "a line in the log")


def test_exactly_as_many_messages_are_held_as_run(shared: tuple[Farm, Worker], tmp_path: Path) -> None:
    farm, _ = shared
    gate = tmp_path / "gate"
    before = len(farm.said())
    for n in range(5):
        farm.ask("tiny.hold", f"hold{n}", str(gate))
    until(lambda: len(farm.said()) == before + 2, "the start of two tasks")
    # Thirty looks, three seconds: three polls long, had the worker polled.
    for _ in range(30):
        assert farm.counts() == (3, 2)
        time.sleep(0.1)
    gate.touch()
    until(lambda: len(farm.said()) == before + 10, "the end of all five")
    until(lambda: farm.counts() == (0, 0), "the deletion of all messages")


def test_a_reconnect_neither_repeats_running_tasks_nor_takes_more(shared: tuple[Farm, Worker], tmp_path: Path) -> None:
    farm, worker = shared
    gate = tmp_path / "gate"
    for n in range(3):
        farm.ask("tiny.hold", f"across{n}", str(gate))
    until(lambda: sum("start across" in line for line in farm.said()) == 2, "the start of two tasks")
    lost = worker.output.count("Connection to broker lost")
    worker.child.send_signal(signal.SIGUSR2)
    until(lambda: worker.output.count("Connection to broker lost") > lost, "the reconnect")
    until(lambda: worker.output.count("Connected to sqs") > 1, "the new connection")
    for _ in range(20):
        assert farm.counts() == (1, 2)
        time.sleep(0.1)
    gate.touch()
    until(lambda: sum("end across" in line for line in farm.said()) == 3, "the end of all three")
    until(lambda: farm.counts() == (0, 0), "the deletion of all messages")
    starts = sorted(line for line in farm.said() if "start across" in line)
    assert starts == ["start across0", "start across1", "start across2"]
    farm.works()


def test_a_finished_task_whose_message_cannot_be_deleted_runs_again(shared: tuple[Farm, Worker]) -> None:
    farm, worker = shared
    farm.show_again_after(1)
    farm.proxy.add(Rule("DeleteMessage", Fault.status(403, "AccessDenied"), 1, about=f'/{farm.name}"'))
    farm.ask("tiny.note", "twice")
    until(lambda: farm.said().count("note twice") == 2, "the second run")
    until(lambda: farm.counts() == (0, 0), "the deletion of the message")
    assert "it will come again" in worker.output


def test_a_task_that_raises_leaves_its_message_for_the_dead_letter_queue(shared: tuple[Farm, Worker]) -> None:
    farm, _ = shared
    before = farm.dead_letters()
    farm.show_again_after(1)
    farm.ask("tiny.fail", "broken")
    until(lambda: farm.dead_letters() == before + 1, "the dead letter")
    assert farm.said().count("fail broken") == MAX_RECEIVES


def envelope(body: Any = None, content_type: str = "application/json", **headers: Any) -> str:
    """A message as a Celery client writes it."""
    body = [["word"], {}, {}] if body is None else body
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"lang": "py", "task": "tiny.note", "id": uuid.uuid4().hex, "retries": 0} | headers
    properties = {"body_encoding": "base64", "delivery_info": {"exchange": "", "routing_key": "x"}}
    message = {"body": base64.b64encode(raw).decode(), "headers": given, "properties": properties}
    return json.dumps(message | {"content-type": content_type, "content-encoding": "utf-8"})


GARBAGE = [
    "hello",
    "{broken",
    "[" * 20_000,
    "[1, 2, 3]",
    '{"a": 1}',
    '{"properties": {}}',
    '{"Records": []}',
    '{"Records": {"not": "a list"}}',
    json.dumps({"TopicArn": "arn:aws:sns:x", "Message": "no notification"}),
    base64.b64encode(pickle.dumps({"a": print})).decode(),
    base64.b64encode("Grüße".encode()).decode(),
    envelope(pickle.dumps([[], {}, {}]), "application/x-python-serialize"),
    envelope(b"{broken"),
    envelope({"args": []}),
    envelope([{"no": "list"}, {}, {}]),
    envelope(task="tiny.unknown"),
    envelope(task=7),
    envelope(id=None),
    envelope(eta=12),
    envelope(eta="tomorrow"),
    envelope(eta="2125-01-15T00:00:00+00:00"),
    envelope(timelimit=["a", "b"]),
    envelope(timelimit=[-1, None]),
    envelope(retries="many"),
    json.dumps({"headers": {"task": "tiny.note", "id": "x"}, "properties": 5, "body": None}),
]


def test_what_no_celery_client_wrote_goes_to_the_dead_letter_queue(shared: tuple[Farm, Worker]) -> None:
    farm, worker = shared
    before = farm.dead_letters()
    farm.show_again_after(1)
    for body in GARBAGE:
        farm.put(body)
    until(lambda: farm.dead_letters() == before + len(GARBAGE), "the last dead letter")
    assert worker.alive
    # Celery would have held it in memory meanwhile.
    assert "delays are SQS's here" in worker.output
    assert farm.counts() == (0, 0)
    farm.works()


def test_garbage_is_never_deleted_where_there_is_no_dead_letter_queue(farm: Farm) -> None:
    farm.sqs.set_queue_attributes(QueueUrl=farm.url, Attributes={"RedrivePolicy": ""})
    worker = farm.worker()
    farm.put("hello")
    farm.put(envelope(task="tiny.unknown"))
    until(lambda: "Message rejected" in worker.output and "tiny.unknown" in worker.output, "two rejections")
    farm.works()
    until(lambda: farm.counts() == (0, 2), "the deletion of the one good message")
    assert worker.end() == 0
    assert sum(farm.counts()) == 2


def test_an_s3_notification_in_the_task_queue_becomes_a_call(shared: tuple[Farm, Worker]) -> None:
    farm, _ = shared
    arn = farm.attributes(farm.url, "QueueArn")["QueueArn"]
    farm.s3.create_bucket(Bucket=farm.name)
    wanted = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    farm.s3.put_bucket_notification_configuration(Bucket=farm.name, NotificationConfiguration=wanted)
    farm.s3.put_object(Bucket=farm.name, Key="holiday ü/a+b.mp4", Body=b"x")
    said = until(lambda: [s for s in farm.said() if farm.name in s and s.startswith("ingest ")], "the call")
    assert json.loads(said[0].removeprefix("ingest "))["Records"][0]["s3"]["object"]["size"] == 1
    # The test event that S3 sent first is deleted too.
    until(lambda: farm.counts() == (0, 0), "the deletion of all messages")
    assert len([s for s in farm.said() if s.startswith("ingest ") and "TestEvent" in s]) == 0


SNS_WRAPPED = {"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:1:uploads"}
RECORD = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "in"}, "object": {"key": "a.mp4", "size": 1}}}
OBJECT_CREATED = {"source": "aws.s3", "detail-type": "Object Created", "time": "2025-01-15T00:00:00Z"}


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(SNS_WRAPPED | {"Message": json.dumps({"Records": [RECORD]})}, id="sns"),
        pytest.param(
            OBJECT_CREATED | {"detail": {"bucket": {"name": "in"}, "object": {"key": "a.mp4"}}}, id="eventbridge"
        ),
    ],
)
def test_a_wrapped_notification_becomes_a_call_too(shared: tuple[Farm, Worker], event: dict[str, Any]) -> None:
    farm, _ = shared
    farm.put(json.dumps(event))
    until(lambda: f"ingest {json.dumps(event, sort_keys=True)}" in farm.said(), "the call with the raw event")


def test_inspect_answers_and_shows_no_secret(shared: tuple[Farm, Worker]) -> None:
    farm, _ = shared
    assert "pong" in farm.inspect("ping")
    shown = farm.inspect("stats") + farm.inspect("conf")
    assert farm.name in shown
    assert "embedded" not in shown
    # Only the worker's own mailbox is there: the callers' reply queues are gone.
    assert len(farm.control_queues()) == len(farm.subscriptions()) == 1


def test_inspect_answers_again_after_faults_of_the_mailbox(shared: tuple[Farm, Worker]) -> None:
    farm, _ = shared
    mailbox = farm.control_queues()[0].rsplit("/", 1)[1]
    rules = [Rule("ReceiveMessage", f, 1, about=mailbox) for f in (Fault.status(403), Fault.drop())]
    farm.proxy.add(*rules)
    until(lambda: not any(rule.left for rule in rules), "two polls that go wrong")
    assert "pong" in farm.inspect("ping", "-t", "5")


def test_the_age_of_the_last_answered_poll_grows_while_polls_fail(shared: tuple[Farm, Worker]) -> None:
    farm, _ = shared
    rule = farm.polls(Fault.status(503), 10_000)
    until(lambda: rule.used >= 5, "polls that go wrong")
    # Five failures are four pauses at least: 0.1, 0.2, 0.4 and 0.8 s.
    assert json.loads(farm.inspect("polled", "-j"))["w1@tiny"]["age"] > 1.5


class _Hub:
    """Keeps what is to be done later, and whether it was called off."""

    def __init__(self) -> None:
        self.later: list[SimpleNamespace] = []

    def call_later(self, seconds: float, act: Any, *given: Any) -> SimpleNamespace:
        look = SimpleNamespace(seconds=seconds, act=partial(act, *given), called_off=False)
        look.cancel = lambda: setattr(look, "called_off", True)
        self.later.append(look)
        return look


@pytest.fixture
def full() -> Iterator[Channel]:
    """The channel of a worker whose only slot is taken."""
    channel = object.__new__(Channel)
    channel._active_queues, channel.hub, channel._postponed = ["full"], _Hub(), {}
    channel.connection = SimpleNamespace(client=SimpleNamespace(transport_options={}))
    Held.messages["tag"] = SimpleNamespace(delivery_info={"routing_key": "full"})
    channel._qos = Held(channel, prefetch_count=1)
    try:
        yield channel
    finally:
        channel._qos._on_collect.cancel()
        Held.messages.clear()
        Held.done.clear()


def test_a_worker_with_full_hands_counts_as_answered(full: Channel) -> None:
    before = time.monotonic()
    assert last_answered_poll("full") is None
    full._schedule_queue("full")
    assert (last_answered_poll("full") or 0) >= before


@pytest.mark.parametrize("end", [lambda qos: qos.ack("tag"), lambda qos: qos.reject("tag")], ids=["ack", "reject"])
def test_a_freed_slot_is_filled_at_once(full: Channel, monkeypatch: pytest.MonkeyPatch, end: Any) -> None:
    asked: list[str] = []
    monkeypatch.setattr(full, "_get_bulk_async", lambda queue, **_: asked.append(queue), raising=False)
    full._schedule_queue("full")
    full.hub.later[0].act()
    assert not asked
    end(full.qos)
    assert asked == ["full"]
    # Or it would be asked twice from then on.
    assert [look.called_off for look in full.hub.later] == [True, True]


def test_purge_says_how_many_and_a_second_one_is_a_sentence(farm: Farm) -> None:
    for n in range(3):
        farm.ask("tiny.note", f"purged{n}")
    farm.ask("tiny.note", "delayed", delay_seconds=60)
    elsewhere = {"EVENT_QUEUE_URL": f"{farm.proxy.endpoint}/123456789012/events"}
    assert "4 messages" in farm.celery("purge", "-f", **elsewhere).stdout
    assert farm.counts() == (0, 0)
    assert "before_purge" in farm.said()
    farm.proxy.add(Rule("PurgeQueue", Fault.status(403, "AWS.SimpleQueueService.PurgeQueueInProgress")))
    again = farm.celery("purge", "-f", **elsewhere)
    assert "SQS allows one purge a minute" in again.stderr + again.stdout
    assert "Traceback" not in again.stderr
    assert again.returncode == 75


def test_a_purge_that_cannot_cancel_deletes_nothing(farm: Farm) -> None:
    farm.ask("tiny.note", "kept")
    elsewhere = {"EVENT_QUEUE_URL": f"{farm.proxy.endpoint}/123456789012/events", "TINY_PURGE": "down"}
    done = farm.celery("purge", "-f", **elsewhere)
    assert (done.returncode, farm.counts()) == (75, (1, 0))
    assert "does not answer" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_purge_leaves_a_queue_alone_where_notifications_share_it(farm: Farm) -> None:
    farm.put("a notification that nobody has recorded yet")
    assert farm.celery("purge", "-f").returncode == 0
    assert farm.counts() == (1, 0)


# Celery's cold stop waits, about once in ten times, for a pool process that it has not told to end (its
# ResultHandler._flush_outqueue): seen with this test's task, which never ends by itself. Ours do.
@pytest.mark.parametrize(
    "how", [signal.SIGTERM, pytest.param(signal.SIGQUIT, marks=pytest.mark.slow)], ids=lambda how: how.name
)
def test_a_stopped_worker_leaves_nothing_behind(farm: Farm, tmp_path: Path, how: signal.Signals) -> None:
    worker = farm.worker()
    gate = tmp_path / "gate"
    for n in range(3):
        farm.ask("tiny.hold", f"hold{n}", str(gate))
    until(lambda: len(farm.said()) == 2, "the start of two tasks")
    if how is signal.SIGTERM:
        gate.touch()
    assert worker.end(how) == 0
    # Warm: two are finished, the third waits. Cold: all three wait, at once, although visibility is minutes.
    assert farm.counts() == ((1, 0) if how is signal.SIGTERM else (3, 0))
    assert farm.control_queues() == farm.subscriptions() == []


def test_reap_removes_what_the_dead_left_and_spares_the_living(farm: Farm) -> None:
    prefix = control_prefix(farm.name)
    made = {
        name: farm.sqs.create_queue(QueueName=f"{prefix}{name}")["QueueUrl"]
        for name in ("dead-pidbox", "alive-pidbox", "other")
    }
    in_an_hour = str(int(time.time()) + 3600)
    farm.sqs.tag_queue(QueueUrl=made["alive-pidbox"], Tags={"seen": in_an_hour})
    assert json.loads(farm.ask("reap", -1)) == [f"{prefix}dead-pidbox"]
    assert sorted(farm.control_queues()) == sorted([made["alive-pidbox"], made["other"]])


def test_a_worker_that_may_not_use_sns_says_so_once_and_works(farm: Farm) -> None:
    farm.proxy.add(Rule("CreateTopic", Fault.status(403, text=SNS_REFUSES), times=None))
    worker = farm.worker()
    farm.works()
    worker.child.send_signal(signal.SIGUSR2)
    until(lambda: "Connection to broker lost" in worker.output, "the reconnect")
    farm.works()
    assert worker.output.count("Remote control is off") == 1
    assert farm.control_queues() == []
    assert worker.end() == 0
    assert farm.proxy.calls["CreateTopic"] == 1


def test_a_worker_starts_while_aws_is_down(farm: Farm) -> None:
    farm.proxy.add(Rule("*", Fault.status(503, text="<html>"), times=12))
    farm.worker()
    farm.works()


@pytest.mark.parametrize(
    ("fetched", "failures", "busy", "pause"),
    [
        (3, 0, False, 0),
        (0, 0, True, 0),
        (0, 0, False, 40),
        (None, 0, False, 0),
        (-1, 1, False, 1),
        (-1, 3, False, 4),
        (-1, 99, True, 30),
    ],
)
def test_only_failures_and_idle_workers_pause(fetched: int | None, failures: int, busy: bool, pause: float) -> None:
    channel = object.__new__(Channel)
    channel._failures, channel._retry_pause, channel._idle_pause = {"q": failures}, 1, 40
    channel.queue_urls, channel._qos = {"q": "http://x/1/q"}, SimpleNamespace(holds_any=busy)
    assert channel._pause("q", fetched) == pause


def test_two_farms_never_share_a_control_prefix() -> None:
    queues = ["transcode", "transcode-tasks-of-the-staging-farm", "transcode-tasks-of-the-production-farm"]
    prefixes = {control_prefix(name) for name in queues}
    assert len(prefixes) == 3
    assert max(len(prefix) for prefix in prefixes) <= 24


def test_an_error_behind_a_poll_ends_the_worker_instead_of_the_polling() -> None:
    channel = object.__new__(Channel)
    channel._polling, channel._failures, channel.queue_urls = {"q"}, {}, {}
    soon: list[tuple[Any, ...]] = []
    channel.hub = SimpleNamespace(call_soon=lambda *call: soon.append(call))

    def broken(_: Any) -> None:
        raise LookupError("a fault of Celery")

    channel.connection = SimpleNamespace(_callbacks={"q": broken}, _noack_queues=set())
    message = {"Body": envelope(), "MessageId": "1", "ReceiptHandle": "2"}
    channel._on_messages_ready("http://x/1/q", "q", {"Messages": [message]})
    ((call, error),) = soon
    with pytest.raises(LookupError):
        call(error)


def test_stock_kombu_still_needs_this_transport(farm: Farm) -> None:
    worker = farm.worker(TINY_TRANSPORT="stock")
    until(lambda: farm.proxy.calls["ReceiveMessage"] > 1, "a poll that goes well")
    rule = farm.polls(Fault.status(503), 1)
    until(lambda: not rule.left, "a poll that goes wrong")
    polls = farm.proxy.calls["ReceiveMessage"]
    farm.ask("tiny.note", "never")
    # Four polls long: it is dead, or alive and deaf.
    time.sleep(4)
    assert farm.proxy.calls["ReceiveMessage"] == polls
    assert "note never" not in farm.said()
    assert "has no attribute 'get'" in worker.output
