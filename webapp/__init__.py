"""How people see and command it. Flask lives here.

Touch this to change a route, a page or what a caller may do. It may import `transcode` and
`workers.publisher`, nothing else of `workers`, and never `cli`. A route decides nothing about a task: it
reads what was asked, calls `transcode.submit` or the store, and shows what came back.
"""

from apiflask import APIFlask
from flask.json.provider import DefaultJSONProvider
from werkzeug.middleware.proxy_fix import ProxyFix

from transcode.settings import Settings
from webapp import api, auth, docs, errors, headers, limits, metrics, openapi, trail
from webapp.admin import site
from webapp.body import JsonRequest
from webapp.deps import Deps

# Bytes of a request body. A list of 100 objects with ordinary keys has about 20,000; none needs more than 64 KB.
LARGEST_BODY = 64 * 1024


class _Utf8(DefaultJSONProvider):
    """Answers as people read them: UTF-8, and fields in the order of their model."""

    ensure_ascii = False
    sort_keys = False


class App(APIFlask):
    """The application: Flask, with bodies read strictly."""

    request_class = JsonRequest
    json_provider_class = _Utf8


def create_app(deps: Deps) -> App:
    """The application over `deps`; every process makes its own."""
    app = App(__name__, title=openapi.TITLE, version=openapi.VERSION, docs_path=None, json_errors=False)
    app.config.update(openapi.CONFIG, MAX_CONTENT_LENGTH=LARGEST_BODY, PROVIDE_AUTOMATIC_OPTIONS=False)
    # APIFlask's type also allows for a description in YAML, which is text.
    app.spec_processor(openapi.finish)  # type: ignore[arg-type]
    app.extensions["deps"] = deps
    _trust_proxies(app, deps.settings)
    # In this order: the trail and the metrics see also what the guards refuse.
    trail.install(app)
    metrics.install(app, deps)
    headers.install(app)
    auth.install(app, deps.settings)
    limits.install(app, deps.settings)
    errors.install(app)
    for blueprint in (*api.BLUEPRINTS, docs.blueprint):
        app.register_blueprint(blueprint)
    site.install(app, deps.settings)
    openapi.leave_out_pages(app)
    return app


def _trust_proxies(app: App, settings: Settings) -> None:
    """Believe what as many proxies as there are say of the caller's address, scheme and host; of none, nothing."""
    count = settings.trusted_proxy_count
    if count:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]
