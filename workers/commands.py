"""What `celery control` commands mean here, where Celery's own meaning would do harm or nothing.

`revoke` and `terminate` cancel the task in its record, by whoever asks: Celery's lists of revoked ids live in the
memory of each node, and a message that is dropped there leaves its record waiting. What SQS or our configuration makes
empty is refused in words. `shutdown` is carried out by the nodes, as SIGTERM is.
"""

import os
import signal
from collections.abc import Iterable, Iterator
from typing import Any

from celery.exceptions import CeleryCommandException
from celery.worker.control import control_command, ok

from transcode import logs, submit
from transcode.errors import NotFound, TranscodeError
from transcode.task import Task
from workers import names, roster

log = logs.get(__name__)

# sysexits' EX_UNAVAILABLE, with which Celery's own commands end when nobody answers.
_UNAVAILABLE = 69
# Seconds to wait for the nodes to say what they run.
_PATIENCE = 2.0
CANCELLING = frozenset({"revoke", "terminate"})
_REFUSED = {
    "add_consumer": "A worker takes tasks from SQS_QUEUE_URL and URGENT_QUEUE_URL alone; add_consumer takes back what "
    "cancel_consumer has stopped, and nothing else.",
    "revoke_by_stamped_headers": "Tasks have no stamps here; `revoke` takes their ids.",
    "rate_limit": "Rate limits do not work here; MAX_CONCURRENT_TASKS says how many tasks run at once.",
    "autoscale": "A node has as many processes as MAX_CONCURRENT_TASKS says; pool_grow and pool_shrink change it.",
    "pool_restart": "A node's pool is not restarted by itself; stop the worker and start it again.",
    "enable_events": "Events do not leave a worker on SQS; GET /api/workers and /metrics tell what they would.",
    "disable_events": "There are no events to switch off on SQS.",
    "heartbeat": "Celery's heartbeat does not leave a worker on SQS; GET /api/workers shows each node's.",
    "election": "Nodes do not talk to each other on SQS.",
}


def refuse(app: Any, command: str, arguments: dict[str, Any]) -> None:
    """Say why a command has no effect here, instead of sending it.

    Raises:
        CeleryCommandException: as `celery` prints it, without a trace.
    """
    reason = _REFUSED.get(command)
    if reason and not (command == "add_consumer" and arguments.get("queue") == app.conf.task_default_queue):
        raise CeleryCommandException(reason, _UNAVAILABLE)
    if not app.conf.worker_enable_remote_control and command not in CANCELLING:
        raise CeleryCommandException("Remote control is switched off: REMOTE_CONTROL=false.", _UNAVAILABLE)


def cancel(app: Any, task_ids: str | Iterable[str]) -> list[dict[str, Any]]:
    """Cancel tasks, by their ids or by those that `celery inspect` shows; an answer for each, as of a node.

    Raises:
        CeleryCommandException: none was cancelled; it says why.
    """
    wanted = [task_ids] if isinstance(task_ids, str) else list(task_ids)
    answers = [(task_id, *_cancel(app, task_id)) for task_id in wanted]
    if not any(done for _, done, _ in answers):
        sentences = " ".join(words for _, _, words in answers) or "The id of a task is wanted."
        raise CeleryCommandException(sentences, 1)
    return [{task_id: {"ok" if done else "error": words}} for task_id, done, words in answers]


def _cancel(app: Any, task_id: str) -> tuple[bool, str]:
    # Late: the desk needs the presets and AWS, and those who look at nodes do not.
    from workers.tools import desk

    try:
        task = _cancel_named(app, task_id, desk())
    except TranscodeError as error:
        return False, str(error)
    return True, "The task was cancelled." if task.over else "The task is being cancelled."


def _cancel_named(app: Any, task_id: str, desk: submit.Desk) -> Task:
    try:
        return submit.cancel(desk, task_id)
    except NotFound:
        ours = next(_ours(app, task_id), None)
        if ours is None:
            raise
        return submit.cancel(desk, ours)


def _ours(app: Any, celery_id: str) -> Iterator[str]:
    """The task that a node runs under a Celery id: another one for each message, while a task keeps its own."""
    if not app.conf.worker_enable_remote_control:
        return
    for found in (app.control.inspect(timeout=_PATIENCE).query_task(celery_id) or {}).values():
        for _, request in found.values():
            if request["name"] == names.RUN:
                yield request["args"][0]


@control_command()  # type: ignore[untyped-decorator]
def shutdown(_: Any, **__: Any) -> dict[str, str]:
    """Stop the worker of a machine, with all its nodes, as SIGTERM does: SHUTDOWN_MODE decides about its tasks.

    Celery's own way lets running tasks end first, however long they take, and the fleet would start the node again.
    """
    pid = _over_this_node()
    log.warning("Stopped by remote control", pid=pid)
    os.kill(pid, signal.SIGTERM)
    answer: dict[str, str] = ok("The worker of this machine stops, with all its nodes.")
    return answer


def _over_this_node() -> int:
    """The process to stop: the fleet whose node this is, else the node itself."""
    from workers.tools import read_settings

    fleet = roster.read(read_settings().temp_dir)
    return fleet.pid if fleet and fleet.pid == os.getppid() else os.getpid()
