"""The Celery app of a worker: `celery -A workers.app ...` finds it here. Signals of its processes too."""

import gc
import shutil
from typing import Any

from celery import signals

from transcode import logs
from workers import control, heartbeat, stopping
from workers.heartbeat import Heartbeat
from workers.publisher import celery_app
from workers.tools import read_settings

app = celery_app()
control.install(app)
app.autodiscover_tasks(["workers"])

log = logs.get(__name__)

# Of this process, where it is a node's main one.
_told: list[Heartbeat] = []


@signals.setup_logging.connect
def use_our_logs(**_: Any) -> None:
    """Keep Celery from setting up logging of its own."""
    found = read_settings()
    logs.configure(found.log_level, found.log_format, "worker")


@signals.celeryd_init.connect
def clean_scratch(sender: str, **_: Any) -> None:
    """Remove what a killed process of this node has left; the folder is this node's alone."""
    folder = read_settings().temp_dir
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.rmtree(folder / sender, ignore_errors=True)


@signals.worker_process_init.connect
def keep_sharing(**_: Any) -> None:
    """Leave what a pool process has inherited out of its garbage collections, the first full one of which copies it."""
    gc.freeze()


@signals.worker_shutting_down.connect
def hand_tasks_back(**_: Any) -> None:
    """On SIGTERM running tasks go back to the queue at once, unless they are to be finished first."""
    if read_settings().shutdown_mode == "handback":
        log.info("Worker stops, tasks are handed back")
        stopping.ask()


@signals.worker_ready.connect
def tell_of_the_node(sender: Any, **_: Any) -> None:
    """From here on others see that this node works."""
    _told.append(heartbeat.begin(sender.hostname))


@signals.worker_shutdown.connect
def tell_its_end(**_: Any) -> None:
    """Its tasks are finished or handed back; it did not just fall silent."""
    while _told:
        _told.pop().stop()
