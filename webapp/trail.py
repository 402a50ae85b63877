"""What a request leaves in the log: an id on every line, one line at its end, and who changed what.

The id comes from the caller's `X-Request-Id` where it is a plain word, else it is made; it goes back in the
same header, so that an answer and its log lines can be told to belong together.
"""

import re
import time
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING

from apiflask import APIFlask
from flask import Response, g, request

from transcode import logs
from transcode.task import Task

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logs.get(__name__)

HEADER = "X-Request-Id"
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ENVIRON = "transcode.request_id"


class _Bound:
    """Binds the request's id to every log line that is written while the request is served."""

    def __init__(self, inner: "WSGIApplication") -> None:
        self._inner = inner

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        environ[_ENVIRON] = given if _PLAIN.fullmatch(given) else uuid.uuid4().hex
        with logs.bound(request_id=environ[_ENVIRON]):
            return self._inner(environ, start_response)


def install(app: APIFlask) -> None:
    """Let every request of `app` leave its trail."""
    app.wsgi_app = _Bound(app.wsgi_app)  # type: ignore[method-assign]
    app.before_request(_note_start)
    app.after_request(_write_line)


def _note_start() -> None:
    g.began = time.perf_counter()


def _write_line(response: Response) -> Response:
    response.headers[HEADER] = request.environ[_ENVIRON]
    # Probes come every few seconds and say nothing new.
    write = log.debug if request.endpoint == "health.get_health" and response.status_code == 200 else log.info
    write(
        "Request served",
        method=request.method,
        path=request.path,
        status=response.status_code,
        milliseconds=round((time.perf_counter() - g.began) * 1000, 1),
        caller=g.get("caller", ""),
    )
    return response


def changed(what: str, task: Task | None = None) -> None:
    """Write down who changed what, and from where: the line that an audit looks for."""
    named = {"task_id": task.task_id, "status": task.status} if task else {}
    log.info("Change made", what=what, who=g.caller, address=request.remote_addr, **named)
