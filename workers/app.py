"""The Celery app of a worker: `celery -A workers.app ...` finds it here. Signals of its processes too."""

import shutil
from typing import Any

from celery import signals

from transcode import logs
from workers import control, stopping
from workers.publisher import celery_app
from workers.tools import read_settings

app = celery_app()
control.install(app)
app.autodiscover_tasks(["workers"])

log = logs.get(__name__)


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


@signals.worker_shutting_down.connect
def hand_tasks_back(**_: Any) -> None:
    """On SIGTERM running tasks go back to the queue at once, unless they are to be finished first."""
    if read_settings().shutdown_mode == "handback":
        log.info("Worker stops, tasks are handed back")
        stopping.ask()
