"""What browsers are told, and what they may not do to us. Only here are security headers set."""

from urllib.parse import urlsplit

from apiflask import APIFlask
from flask import Response, request

from transcode import logs
from webapp.errors import Problem, Refused

log = logs.get(__name__)

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
# JSON needs nothing; only a page that sets its own policy loads anything at all (`docs`, `admin.skin`).
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HEADERS = {
    "Content-Security-Policy": NOTHING,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Answers hold presigned addresses; no cache on the way may keep them.
    "Cache-Control": "no-store",
}


def install(app: APIFlask) -> None:
    """Refuse changes that a foreign page asks for, and set the headers on every answer."""
    app.before_request(_refuse_foreign_pages)
    app.after_request(_with_headers)


def _refuse_foreign_pages() -> None:
    """A browser names the page that asks. Programs name none, and are not meant."""
    if request.method in _READING:
        return
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    if site not in ("same-origin", "none") or (origin and urlsplit(origin).netloc != request.host):
        # A proxy that hides the name that the browser used looks like this too; TRUSTED_PROXY_COUNT is the cure.
        log.warning("Foreign page refused", origin=origin, host=request.host, site=site)
        raise Refused(Problem(403, "foreign_origin", "A page of another site may not change anything here."))


def _with_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response
