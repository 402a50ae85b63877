"""`/metrics`: what Prometheus reads, for all gunicorn processes together, behind the same key as the API.

It is no part of the API's description: its format is Prometheus's, and its only reader knows it. The
numbers themselves are kept in `meters`, which is imported late: prometheus-client decides at its import whether
it shares numbers between processes, and `gunicorn_conf` says so only after this package is there.
"""

import time
from http import HTTPMethod
from typing import TYPE_CHECKING

from apiflask import APIFlask
from flask import Blueprint, Response, current_app, g, request

from webapp.deps import Deps

if TYPE_CHECKING:
    from webapp.meters import Meters

blueprint = Blueprint("metrics", __name__)

# Words that a caller makes up would become series without end.
_METHODS = frozenset(HTTPMethod)
_OTHER = "other"


def install(app: APIFlask, deps: Deps) -> None:
    """Count every request of `app`, and answer `/metrics`."""
    from webapp.meters import Meters

    app.extensions["meters"] = Meters(deps)
    app.before_request(_note_start)
    app.after_request(_count)
    app.register_blueprint(blueprint)


@blueprint.get("/metrics")
def show_metrics() -> Response:
    """Tell all numbers in Prometheus's text format."""
    text, content_type = _meters().text()
    return Response(text, content_type=content_type)


def _meters() -> "Meters":
    found: Meters = current_app.extensions["meters"]
    return found


def _note_start() -> None:
    g.metered = time.perf_counter()


def _count(response: Response) -> Response:
    # By the route's template, never by the path: that holds ids, and whatever a stranger tries.
    route = request.url_rule.rule if request.url_rule else _OTHER
    method = request.method if request.method in _METHODS else _OTHER
    _meters().served(method, route, response.status_code, time.perf_counter() - g.metered)
    return response
