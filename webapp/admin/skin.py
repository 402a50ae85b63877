"""How a page of the admin is sent: the frame around it, its policy, and what every template can use.

Pages work without scripts. Where htmx asks, it gets the page's living part alone, from the same template.
"""

import secrets
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, g, make_response, render_template, request

from transcode.errors import TranscodeError
from transcode.task import Output, Task
from webapp import auth
from webapp.admin import door, words
from webapp.deps import deps

# Seconds an address of a rendition is good for: long enough to watch a film to its end.
ADDRESS_LIFE = 4 * 3600


def install(blueprint: Blueprint) -> None:
    """Give every page of `blueprint` its policy and its words."""
    blueprint.context_processor(_context)
    blueprint.after_request(_with_policy)


def _context() -> dict[str, Any]:
    found = deps()
    return {
        "token": door.token, "visitor": g.get("visitor"), "nonce": _nonce(), "is_open": auth.is_open(found.settings),
        "now": found.clock(), "words": words, "language": words.language(), "address": address, "picture": picture,
        "signs_in": door.can_sign_in(found.settings),
    }  # fmt: skip


def _nonce() -> str:
    """What marks the scripts of this answer as ours."""
    found: str = g.setdefault("nonce", secrets.token_urlsafe(16))
    return found


def page(name: str, status: int = 200, **values: Any) -> Response:
    """The page of this name; for htmx only its living part, `_name`."""
    part = f"_{name}" if "HX-Request" in request.headers else name
    return make_response(render_template(f"admin/{part}.html", **values), status)


def part(name: str, **values: Any) -> Response:
    """A living part that has no page of its own."""
    return make_response(render_template(f"admin/_{name}.html", **values))


def may_send_to(address: str) -> None:
    """Let the scripts of this page send files to an address."""
    g.setdefault("receivers", set()).add(_origin(address))


def address(bucket: str, key: str) -> str:
    """An address under which the page may show an object."""
    found = deps().storage.address(bucket, key, ADDRESS_LIFE)
    g.setdefault("origins", set()).add(_origin(found))
    return found


def picture(task: Task) -> str:
    """An address of a picture of the task, empty where there is none."""
    found: Output | None = next((o for o in task.outputs.values() if o.key.endswith(".jpg")), None)
    return address(task.output_bucket, found.key) if found else ""


def _origin(found: str) -> str:
    parts = urlsplit(found)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"


def _with_policy(response: Response) -> Response:
    # The output bucket always: a living part may bring the first picture to a page that had none.
    with suppress(TranscodeError):
        address(deps().settings.output_bucket, "picture")
    receivers = " ".join(("'self'", *sorted(g.get("receivers", ()))))
    media = " ".join(sorted(g.get("origins", ()))) or "'self'"
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'nonce-{_nonce()}'; style-src 'self'; img-src 'self' {media}; "
        f"media-src {media}; connect-src {receivers}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    # Not `no-referrer`: with it a browser sends no Origin with our own forms.
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Vary"] = "HX-Request, Accept-Language, Cookie"
    return response
