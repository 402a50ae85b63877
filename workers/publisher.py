"""The way to the workers over Celery, by task name; the one module of `workers` that the web may import."""

import base64
import json
from functools import cache
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from transcode import logs
from transcode.errors import ServiceUnavailable
from transcode.settings import Settings
from workers import names, transport
from workers.polling import BOTO_ERRORS

log = logs.get(__name__)


@cache
def celery_app() -> Celery:
    """The Celery app, configured by `celeryconfig.py`; producers and workers share it."""
    transport.register()
    app = Celery("transcode")
    app.config_from_object("celeryconfig")
    return app


class Publisher:
    """Fills `ports.TaskQueue`: a message carries the task's id and nothing else."""

    def __init__(self, settings: Settings) -> None:
        # Now, not with the first send: threads that send it together would each make an app.
        celery_app()
        self._queue = settings.queue_name
        self._urgent = settings.urgent_queue_name or settings.queue_name

    def send(self, task_id: str, delay: float = 0.0, *, urgent: bool = False, group: str = "") -> None:
        """Send the task's message, seen by workers after `delay` seconds (SQS allows 900).

        Args:
            task_id: all that it says.
            delay: seconds.
            urgent: it overtakes those that are not, where an urgent queue is set.
            group: whose it is; SQS lets no group's flood hold up the others (fair queues).

        Raises:
            ServiceUnavailable: SQS did not take it.
        """
        # Fair queues: the group is SQS's, kombu passes it on under its name.
        options: Any = {"MessageGroupId": group} if group else {}
        try:
            # SQS counts whole seconds; a message that is early comes back once more, one that is late costs nothing.
            celery_app().send_task(
                names.RUN, args=[task_id], queue=self._urgent if urgent else self._queue,
                delay_seconds=min(900, round(delay + 0.5)), **options,
            )  # fmt: skip
        except Exception as exc:
            if not isinstance(exc, (OperationalError, *BOTO_ERRORS)):
                # kombu leaves a closed channel in its pool when a reconnect fails, and dies of it in any way the
                # next time. Whatever it was: the record is safe, and the reconciler sends what was not sent.
                log.exception("Connections to the queue made anew")
                pool: Any = celery_app().producer_pool
                pool.force_close_all(close_pool=False)
                # Closing takes the connections out; without new ones the next send would wait for one for ever.
                pool.setup()
            raise ServiceUnavailable(f"The task queue {self._queue} took no message: {type(exc).__name__}.") from exc


def read_task_id(body: str) -> str | None:
    """The id that a message of ours carries; None when it is none of ours."""
    try:
        envelope = json.loads(body if body.startswith("{") else base64.b64decode(body))
        if envelope["headers"]["task"] != names.RUN:
            return None
        args = json.loads(base64.b64decode(envelope["body"]))[0]
        return args[0] if isinstance(args[0], str) else None
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
