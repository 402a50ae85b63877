"""Messages that no Celery client wrote: storage notifications are adopted, everything else is left alone.

The single-queue set-up sends S3's notifications to the task queue itself: such a message becomes a call
of the ingest task. Anything else is left alone: when its visibility ends SQS shows it again, and after a
few times moves it to the dead-letter queue. What reads notifications is `transcode.events`.
"""

import base64
from typing import Any

from kombu.transport import SQS
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps

from transcode import events, logs
from transcode.errors import BadEvent
from workers import names

log = logs.get(__name__)

_HEADERS: dict[str, type] = dict.fromkeys(
    ("task", "id", "root_id", "parent_id", "group", "shadow", "origin", "eta", "expires"), str
) | {
    "retries": int,
    "timelimit": list,
    "stamps": dict,
    "stamped_headers": list,
    "ignore_result": bool,
    "replaced_task_nesting": int,
}


class VettingChannel(SQS.Channel):
    """The part of the channel that looks at messages before Celery does."""

    def _on_messages_ready(self, url: str, queue: str, messages: Any) -> int:
        # Stock deletes what it cannot decode, and dies or loses a pool slot for good on bad headers.
        # Until a Celery release that leaves them all to SQS (kombu issues 1761, 2421).
        if queue in self.queue_urls:
            found = messages.get("Messages") or ()
            messages["Messages"] = [m for m in found if self._vet(m, queue, url)]
        taken: int = super()._on_messages_ready(url, queue, messages)
        return taken

    def _vet(self, message: dict[str, Any], queue: str, url: str) -> bool:
        """Whether Celery may see `message`, which becomes a call when it is a notification."""
        try:
            text = bytes_to_str(self._decode_python_message_body(message["Body"]))
            body = self._prepare_json_payload(text)
            if isinstance(body.get("headers"), dict) and "task" in body["headers"]:
                _check(self.Message(self._envelope_payload(body, text, message, url), channel=self))
                return True
            if _is_test(body):
                self._delete_message(queue, message)
                return False
            message["Body"] = _call(message["MessageId"], queue, body)
            return True
        except Exception as exc:  # any body may come, from anybody who may write to the queue
            log.error("Message rejected", queue=queue, message_id=message["MessageId"], reason=_reason(exc))
            return False


def _reason(exc: Exception) -> str:
    return str(exc) if isinstance(exc, BadEvent | ValueError) else type(exc).__name__


def _check(message: Any) -> None:
    """Raise for what Celery would delete, die of, or lose a pool slot to."""
    args, kwargs, embed = message.decode()
    if not isinstance(args, list) or not isinstance(kwargs, dict) or not isinstance(embed, dict):
        raise ValueError("its body is no [args, kwargs, options]")
    for name, value in message.headers.items():
        if value is not None and not isinstance(value, _HEADERS.get(name, object)):
            raise ValueError(f"its header {name!r} is of the wrong type")
    if not message.headers["task"] or not message.headers["id"]:
        raise ValueError("its headers name no task or no id")
    if message.headers.get("eta"):
        # Celery would keep it in memory, beyond its visibility, and count it among what may be held.
        raise ValueError("it names a time to run at; delays are SQS's here")
    if any((limit or 0) < 0 for limit in message.headers.get("timelimit") or ()):
        raise ValueError("its time limit is negative")


def _is_test(body: dict[str, Any]) -> bool:
    """Whether it is what S3 sends once when notifications are switched on; BadEvent: no notification."""
    found = list(events.read_body(body))
    return all(isinstance(item, events.Skipped) and item.why == "s3:TestEvent" for item in found)


def _call(message_id: str, queue: str, event: dict[str, Any]) -> str:
    """A call of the ingest task, as a Celery client would have written it."""
    body = dumps([[event], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    headers = {"lang": "py", "task": names.INGEST, "id": message_id, "root_id": message_id, "retries": 0}
    envelope: str = dumps(
        {
            "body": base64.b64encode(body.encode()).decode(),
            "headers": headers,
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "properties": {
                "correlation_id": message_id,
                "body_encoding": "base64",
                "delivery_info": {"exchange": "", "routing_key": queue},
            },
        }
    )
    return envelope
