"""Writes that took effect and whose answer was lost: neither success nor failure."""

from tests.faults.proxy import Fault, Rule
from tests.faults.scene import Scene
from transcode.states import Status

# More often than botocore tries.
_ALL_TRIES = 5


def test_a_commit_without_an_answer_is_recognised_as_our_own(scene: Scene) -> None:
    lost = Rule("UpdateItem", Fault.drop(after=True), times=_ALL_TRIES, about='"publishing"')
    scene.proxy.add(lost)
    task = scene.task(scene.upload("good"))
    done = scene.completed(task, attempts=1)
    assert lost.used == _ALL_TRIES
    assert scene.farm.history.commits[task] == [done.epoch]


def test_an_upload_completed_without_an_answer_is_found_complete(scene: Scene) -> None:
    lost = Rule("POST /flow-output*", Fault.drop(after=True), times=_ALL_TRIES, about="?uploadId=")
    scene.proxy.add(lost)
    scene.completed(scene.task(scene.upload("good")), attempts=1)
    assert lost.used == _ALL_TRIES


def test_a_claim_without_an_answer_is_not_made_twice(scene: Scene) -> None:
    lost = Rule("UpdateItem", Fault.drop(after=True), times=_ALL_TRIES, about='"working"')
    scene.proxy.add(lost)
    done = scene.completed(scene.task(scene.upload("good")), attempts=1)
    assert (done.epoch, lost.used) == (1, _ALL_TRIES)


def test_a_record_made_without_an_answer_is_one_task(scene: Scene) -> None:
    lost = Rule("PutItem", Fault.drop(after=True), times=_ALL_TRIES, about="directed/")
    scene.proxy.add(lost)
    done = scene.completed(scene.task(scene.upload("good")), attempts=1)
    assert (done.status, lost.used) == (Status.COMPLETED, _ALL_TRIES)
