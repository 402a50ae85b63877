"""What becomes of a task when a message, or the process between record and message, is lost."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.farm import until
from tests.faults.proxy import Fault, Rule
from tests.faults.scene import Scene
from transcode.states import Status


def left(scene: Scene, url: str) -> int:
    found = scene.farm.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return sum(int(n) for name, n in found.items() if name.startswith("ApproximateNumberOfMessages"))


def test_a_bridge_killed_between_record_and_delete_makes_one_task(scene: Scene) -> None:
    hang = Rule("DeleteMessageBatch", Fault.hang(), about="flow-events")
    scene.proxy.add(hang)
    key = scene.upload("good")
    until(lambda: hang.used, "the bridge asks for the event's deletion")
    scene.farm.kill("bridge1")
    scene.farm.start("bridge1")
    until(lambda: left(scene, scene.farm.settings.event_queue_url) == 0, "the event comes again and is deleted")
    scene.completed(scene.task(key), attempts=1)


def test_a_bridge_ends_in_time_though_a_record_cannot_be_written(scene: Scene) -> None:
    hang = Rule("PutItem", Fault.hang(), times=None)
    scene.proxy.add(hang)
    key = scene.upload("good")
    until(lambda: hang.used, "the bridge makes the record")
    began = time.monotonic()
    assert scene.farm.stop("bridge1") == 0
    # Seconds after which systemd and docker kill it.
    assert time.monotonic() - began < 30
    scene.proxy.clear()
    scene.revive()
    scene.completed(scene.task(key), attempts=1)


def test_an_api_killed_between_record_and_message_loses_nothing(scene: Scene) -> None:
    hang = Rule("SendMessage", Fault.hang(), about="flow-tasks")
    scene.proxy.add(hang)
    key = scene.upload("good").replace(".mp4", ".bin")
    scene.s3.copy_object(Bucket="flow-input", Key=key, CopySource=f"flow-input/{key.replace('.bin', '.mp4')}")
    asked = threading.Thread(target=ask, args=(scene, key))
    asked.start()
    task = scene.task(key)
    until(lambda: hang.used, "the message is about to be sent")
    scene.farm.kill("api")
    asked.join()
    scene.completed(task, attempts=1)


def ask(scene: Scene, key: str) -> None:
    """A request that gets no answer."""
    body = {"input_bucket": "flow-input", "input_key": key, "transcode_types": ["thumbnail"]}
    with pytest.raises(OSError, match=r".*"):
        scene.farm.post("/api/queue/add", body)


def test_the_api_takes_tasks_while_the_queue_is_down_and_they_run_afterwards(scene: Scene) -> None:
    key = scene.upload("good")
    scene.completed(scene.task(key), attempts=1)
    for operation in ("SendMessage", "GetQueueAttributes"):
        scene.proxy.add(Rule(operation, Fault.status(503), times=None))
    body = {"input_bucket": "flow-input", "input_key": key, "transcode_types": ["thumbnail"]}
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: scene.farm.post("/api/queue/add", body), range(24)))
    scene.proxy.clear()
    assert {status for status, _ in answers} == {200}
    ends = [scene.farm.over(answer["task_id"]) for _, answer in answers]
    # All write the same key: the newest has it, older ones are completed before it or give way.
    assert max(ends, key=lambda task: task.output_order).status is Status.COMPLETED
    assert {task.status for task in ends} <= {Status.COMPLETED, Status.CANCELLED}


def test_celery_purge_cancels_what_waits(scene: Scene) -> None:
    for name in ("w1", "w2"):
        scene.farm.stop(name)
    waiting = [scene.task(scene.upload("good")) for _ in range(3)]
    until(lambda: left(scene, scene.farm.settings.sqs_queue_url) == len(waiting), "the messages are sent")
    command = [sys.executable, "-m", "celery", "-A", "workers.app", "purge", "-f", "-Q", "flow-tasks"]
    done = subprocess.run(command, env=scene.farm.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for task in waiting:
        cancelled = scene.farm.over(task)
        assert (cancelled.status, cancelled.error_code) == (Status.CANCELLED, "purged")
    assert left(scene, scene.farm.settings.sqs_queue_url) == 0
    scene.revive()
    scene.completed(scene.task(scene.upload("good")), attempts=1)


@pytest.mark.slow
def test_a_message_that_comes_to_two_workers_runs_once_though_its_visibility_is_never_extended(scene: Scene) -> None:
    scene.proxy.add(Rule("ChangeMessageVisibility", Fault.status(503), times=None))
    # Two films of 5 s each: half as long again as the visibility of the queue.
    task, _ = scene.held(seconds=5.0)
    done = scene.completed(task, attempts=1)
    assert done.epoch == 1
