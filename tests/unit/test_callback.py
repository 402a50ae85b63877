"""What becomes of the message of a callback, what a receiver is told, and when it is tried again."""

import base64
import hmac
import json
from dataclasses import replace

import pytest

from tests.unit.conftest import Farm
from transcode import callback, ledger, steps, submit
from transcode.callback import Delivery, Drop, State, Tell, Wait
from transcode.clock import seconds, timestamp
from transcode.errors import InputNotMedia
from transcode.ports import Callback
from transcode.targets import Target
from transcode.task import ASIDE, Task

DAY = 86400.0
TARGET = Target("orders", "https://orders.example.com/hook", (b"an old secret....", b"a new secret....."))


@pytest.fixture
def task(farm: Farm) -> Task:
    """A task that is being worked on; its end is to be told to `orders`."""
    farm.storage.put("in-bucket", "视频.mp4", b"film")
    made = submit.add(farm.desk, "in-bucket", "视频.mp4")
    made = made.model_copy(update={"callback": "orders", "metadata": {"order": "4711"}})
    farm.store.items.clear()
    farm.store.create(made)
    return ledger.move(farm.desk, made, lambda t: steps.claimed(t, "me", "w", farm.clock()))


def ended(farm: Farm, task: Task) -> Task:
    error = InputNotMedia("It is no film.")
    return ledger.move(farm.desk, task, lambda t: steps.failed(t, "me", farm.clock(), error, ()))


def letter(farm: Farm, task: Task) -> Callback:
    return Callback(task.task_id, task.generation, "orders", farm.clock())


def judge(farm: Farm, asked: Callback) -> Wait | Drop | Tell:
    return callback.judge(farm.store, asked, farm.clock())


def test_a_message_waits_for_the_end_it_announces_but_not_for_ever(farm: Farm, task: Task) -> None:
    asked = letter(farm, task)
    assert judge(farm, asked) == Wait(15.0)
    farm.clock.advance(3601)
    assert judge(farm, asked) == Drop("the end did not come")


def test_an_end_is_told_once(farm: Farm, task: Task) -> None:
    over = ended(farm, task)
    asked = letter(farm, over)
    found = judge(farm, asked)
    assert found == Tell(over, Delivery(generation=over.generation))
    assert isinstance(found, Tell)
    done, pause = callback.after(found, 204, "", farm.clock())
    assert (done.state, done.attempts, done.status, pause) == (State.DELIVERED, 1, 204, 0.0)
    farm.store.merge_aside(task.task_id, ASIDE.CALLBACK, done.model_dump(mode="json"))
    assert judge(farm, asked) == Drop("it is delivered already")


def test_what_a_retry_has_overtaken_is_not_told(farm: Farm, task: Task) -> None:
    asked = letter(farm, ended(farm, task))
    submit.retry(farm.desk, task.task_id)
    assert judge(farm, asked) == Drop("the task was retried since")
    assert judge(farm, replace(asked, task_id="0" * 8)) == Drop("its task is gone")


def test_the_end_after_a_retry_is_told_afresh(farm: Farm, task: Task) -> None:
    over = ended(farm, task)
    farm.store.merge_aside(
        task.task_id, ASIDE.CALLBACK, Delivery(state=State.DELIVERED, attempts=3).model_dump(mode="json")
    )
    again = submit.retry(farm.desk, over.task_id)
    claimed = ledger.move(farm.desk, farm.store.read(task.task_id), lambda t: steps.claimed(t, "me", "w", farm.clock()))
    found = judge(farm, letter(farm, ended(farm, claimed)))
    assert isinstance(found, Tell)
    assert found.before == Delivery(generation=again.generation)


def test_a_receiver_that_refuses_is_tried_ever_more_rarely_and_given_up_after_a_day(farm: Farm, task: Task) -> None:
    over = ended(farm, task)
    asked, pauses = letter(farm, over), list[float]()
    while True:
        found = judge(farm, asked)
        assert isinstance(found, Tell)
        delivery, pause = callback.after(found, 500, "It answered 500.", farm.clock())
        farm.store.merge_aside(task.task_id, ASIDE.CALLBACK, delivery.model_dump(mode="json"))
        if not pause:
            break
        assert delivery.next_at == timestamp(farm.clock() + pause)
        # A copy of the message that comes early waits for the same moment.
        assert judge(farm, asked) == Wait(pytest.approx(pause, abs=0.001))
        pauses.append(pause)
        farm.clock.advance(pause)
    assert pauses[:4] == [10.0, 20.0, 40.0, 80.0]
    assert pauses == sorted(pauses)
    assert max(pauses) == 3600.0
    assert (delivery.state, delivery.status, delivery.error) == (State.FAILED, 500, "It answered 500.")
    assert DAY - 3600 < farm.clock() - seconds(over.completed_at) <= DAY
    assert judge(farm, asked) == Drop("it is failed already")


@pytest.mark.parametrize("status", [0, 199, 301, 302, 404, 410, 500])
def test_only_2xx_is_delivered(farm: Farm, task: Task, status: int) -> None:
    found = judge(farm, letter(farm, ended(farm, task)))
    assert isinstance(found, Tell)
    assert callback.after(found, status, "No.", farm.clock())[0].state is State.WAITING


def test_a_receiver_is_told_what_the_record_says_and_no_inner_fact(farm: Farm, task: Task) -> None:
    told = json.loads(callback.body(ended(farm, task)))
    assert told["type"] == "task.failed"
    data = told["data"]
    assert (data["input_key"], data["error_code"], data["metadata"]) == (
        "视频.mp4",
        "input_not_media",
        {"order": "4711"},
    )
    assert told["timestamp"] == data["completed_at"]
    assert not {"owner", "epoch", "ver", "lease_until", "request_hash", "output_order"} & data.keys()


def test_the_signature_is_that_of_standard_webhooks_by_each_secret(farm: Farm, task: Task) -> None:
    over = ended(farm, task)
    content = callback.body(over)
    found = callback.headers(TARGET, over, content, 1736935200.9)
    assert found["webhook-timestamp"] == "1736935200"
    assert found["webhook-id"] == f"{over.task_id}.0"
    signed = b"%s.1736935200.%s" % (found["webhook-id"].encode(), content)
    wanted = [base64.b64encode(hmac.new(key, signed, "sha256").digest()).decode() for key in TARGET.keys]
    assert found["webhook-signature"] == f"v1,{wanted[0]} v1,{wanted[1]}"


@pytest.mark.parametrize("text", ["", "{}", "[]", '"x"', '{"task_id": "a", "generation": "b"}', "null", "not json"])
def test_what_is_no_message_of_ours_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        callback.read(text)


def test_a_message_survives_its_journey() -> None:
    asked = Callback("a", 3, "orders", 1736935200.25)
    assert callback.read(callback.write(asked)) == asked
