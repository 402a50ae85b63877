"""The Celery tasks. Each is a shell: what happens to a task and its message is decided in `transcode`."""

from dataclasses import dataclass
from typing import Any, NoReturn

from celery import Task as CeleryTask
from celery.exceptions import Reject

from transcode import events, logs
from transcode.aws.sqs import Message
from transcode.errors import Busy, TranscodeError
from transcode.run import run
from transcode.submit import accept
from workers import names
from workers.app import app
from workers.tools import desk, read_settings, tools

log = logs.get(__name__)

# Receipts after which an early message is dropped for good; the reconciler sends another when it is due.
_PATIENCE = 3
# Seconds until a message comes back that could not be dealt with for want of AWS.
_LATER = 30.0


@app.task(bind=True, name=names.RUN, max_retries=None)
def run_task(self: "CeleryTask[..., None]", task_id: str) -> None:
    """Make one attempt at a task. A rejected message stays in SQS and comes back when its time is up."""
    received = _received(self)
    try:
        run(task_id, _message(received), tools(self.request.hostname))
    except Busy as busy:
        if received.receive_count <= _PATIENCE:
            _leave(received, busy.seconds, str(busy))
        log.info("Message dropped, the task is held elsewhere", task_id=task_id, reason=str(busy))
    except TranscodeError as exc:
        _leave(received, _LATER, str(exc))


@app.task(bind=True, name=names.INGEST, max_retries=None)
def ingest(self: "CeleryTask[..., None]", event: dict[str, Any]) -> None:
    """Submit the uploads of an S3 notification that came in the task queue itself."""
    try:
        for upload in events.read_body(event):
            made = upload if isinstance(upload, events.Skipped) else accept(desk(), upload)
            if isinstance(made, events.Skipped):
                log.info("Upload skipped", why=made.why, key=made.key)
    except TranscodeError as exc:
        _leave(_received(self), _LATER, str(exc))


@dataclass(frozen=True)
class _Received:
    queue_url: str
    receipt: str
    receive_count: int


def _received(task: "CeleryTask[..., None]") -> _Received:
    """The SQS side of the message that brought a Celery task, as kombu passes it on."""
    delivery = (task.request.properties or {}).get("delivery_info") or {}
    sqs = delivery.get("sqs_message") or {}
    count = (sqs.get("Attributes") or {}).get("ApproximateReceiveCount", 1)
    return _Received(delivery.get("sqs_queue", ""), sqs.get("ReceiptHandle", ""), int(count))


def _message(received: _Received) -> Message:
    return Message(read_settings(), received.queue_url, received.receipt)


def _leave(received: _Received, seconds: float, why: str) -> NoReturn:
    """Leave the message in SQS: it comes back in `seconds`, and ends in the dead-letter queue if that goes on."""
    log.info("Message left for later", seconds=round(seconds, 1), reason=why)
    _message(received).extend(max(1.0, seconds))
    raise Reject(why, requeue=False)
