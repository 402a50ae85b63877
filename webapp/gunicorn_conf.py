"""How gunicorn serves the API: `gunicorn -c python:webapp.gunicorn_conf "webapp.wsgi:app()"`.

The address comes from the settings, so that what `check_bind` has judged is what is bound. A bad setting
ends the start here, before any worker: sentences on stderr, exit code 2.
"""

import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from transcode import logs, presets
from transcode import settings as env
from transcode.errors import BadPreset, SettingsError
from transcode.settings import Settings


def _settings() -> Settings:
    try:
        found = env.load()
        env.check_bind(found)
        presets.load(found.presets_file)
    except (SettingsError, BadPreset) as error:
        sys.exit(_say(str(error)))
    return found


def _say(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return 2


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_found = _settings()
logs.configure(_found.log_level, _found.log_format, "api")

bind = _address(_found.api_host, _found.api_port)
# Threads, not processes: a request waits for AWS nearly all its time. Two processes, so that one may restart.
worker_class = "gthread"
workers = 2
threads = 8
# Seconds. A request ends within its botocore time-outs; a worker that is silent for longer hangs.
timeout = 60
graceful_timeout = 20
keepalive = 5
# Bytes and counts of what a request line and its headers may have: ours are short.
limit_request_line = 4094
limit_request_fields = 50
limit_request_field_size = 8190
# gunicorn believes a forwarded scheme of any local caller; whom to believe is TRUSTED_PROXY_COUNT's to say.
forwarded_allow_ips = ""
# It would put a control socket into the home directory.
control_socket_disable = True
# Lines in our own format: no handler of gunicorn's; `webapp.trail` writes the line per request.
errorlog = None
accesslog = None
proc_name = "transcode-api"


_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_OWN_FOLDER = "transcode-api-metrics-"


def on_starting(_server: object) -> None:
    """Let gunicorn's own lines reach our handler, and give the processes a folder to count requests in."""
    logging.getLogger("gunicorn.error").propagate = True
    os.environ[_FOLDER] = str(_metrics_folder(os.environ.get(_FOLDER, "")))


def _metrics_folder(given: str) -> Path:
    """The folder that the operator wants, emptied of an earlier run's numbers; else a new one of our own.

    One of our own that is in the environment already belongs to a gunicorn that this one takes over from.
    """
    if not given or Path(given).name.startswith(_OWN_FOLDER):
        return Path(tempfile.mkdtemp(prefix=_OWN_FOLDER))
    folder = Path(given)
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.db"):
        file.unlink()
    return folder


def child_exit(_server: object, worker: Any) -> None:
    """Let the numbers that only a living process has go with it; what it counted stays counted."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(_server: object) -> None:
    """Leave nothing behind."""
    folder = Path(os.environ.get(_FOLDER, ""))
    if folder.name.startswith(_OWN_FOLDER):
        shutil.rmtree(folder, ignore_errors=True)
