"""How an error becomes an answer: `application/problem+json` (RFC 9457). Only here, for every error there is.

`STATUS` is the one table from our errors to HTTP. `code` and `error` stand beside the standard members for
clients that read them. No answer holds a stack trace; what we did not foresee is logged with one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apiflask import APIFlask, HTTPError
from flask import Response, json, request
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from transcode import errors as ours
from transcode import logs
from transcode.errors import TranscodeError

log = logs.get(__name__)

PROBLEM_JSON = "application/problem+json"

# The nearest class above an error that stands here decides. 422: the request reads well but cannot be done.
STATUS: dict[type[TranscodeError], int] = {
    TranscodeError: 500,
    ours.Permanent: 422,
    ours.InputNotFound: 404,
    ours.InputAccessDenied: 502,
    ours.InputArchived: 409,
    ours.Superseded: 409,
    ours.Transient: 503,
    ours.Stopped: 409,
    ours.Busy: 409,
    ours.NotFound: 404,
    ours.Conflict: 409,
    ours.BadCursor: 400,
}
# Seconds after which a dependency that failed is worth another try.
_RETRY_AFTER = 5

# What Flask and werkzeug raise: code and sentence by status.
_HTTP = {
    400: ("bad_request", "The request cannot be read."),
    404: ("route_not_found", "There is nothing at this address; /docs lists what there is."),
    405: ("method_not_allowed", "This address does not take {method}; it takes {allowed}."),
    413: ("body_too_large", "The body is larger than 64 KB."),
}
# pydantic's words for the two most common faults, said in ours.
_FIELD_WORDS = {
    "missing": ("missing", "This field is required."),
    "extra_forbidden": ("unknown_field", "There is no such field."),
}
# Where a body may have several forms, pydantic puts the form's name first; to callers it is no place.
_FORMS = frozenset({"<one>", "<items>", "<prefix>"})
_LOCATIONS = {"json": "body", "headers": "header"}


@dataclass(frozen=True)
class BadField:
    """One field that is wrong: where (`("body", "input_key")`), what is wanted, and a stable word for it."""

    loc: tuple[str | int, ...]
    msg: str
    type: str


@dataclass(frozen=True)
class Problem:
    """An answer that says why not. `detail` is a sentence for people, `code` a stable word for programs."""

    status: int
    code: str
    detail: str
    errors: tuple[BadField, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """The problem's kind as RFC 9457 wants it: an address that never changes."""
        return f"/problems/{self.code.replace('_', '-')}"

    def response(self) -> Response:
        """The answer, ready to be sent."""
        body = {
            "type": self.type,
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "errors": [vars(bad) for bad in self.errors],
            "error": self.detail,
            "code": self.code,
            **self.extra,
        }
        return Response(json.dumps(body), self.status, dict(self.headers), content_type=PROBLEM_JSON)


class Refused(Exception):
    """A request that is refused before it reaches `transcode`, or with more to say than an error of ours."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def problem(error: TranscodeError, errors: tuple[BadField, ...] = ()) -> Problem:
    """The answer to one of our errors."""
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    headers = {}
    if isinstance(error, ours.Busy):
        headers = {"Retry-After": str(math.ceil(error.seconds))}
    elif status == 503:
        headers = {"Retry-After": str(_RETRY_AFTER)}
    return Problem(status, error.code, str(error), errors, headers)


def install(app: APIFlask) -> None:
    """Let every error of `app` end here."""
    # First: APIFlask takes every HTTP error with it, and the handlers below take those back.
    app.error_processor(_on_invalid)
    app.register_error_handler(TranscodeError, _on_ours)
    app.register_error_handler(Refused, lambda refused: refused.problem.response())
    app.register_error_handler(HTTPException, _on_http)
    app.register_error_handler(Exception, _on_unforeseen)


def _on_ours(error: TranscodeError) -> Response:
    found = problem(error)
    if found.status >= 500:
        log.warning("Request failed", code=found.code, error=found.detail)
    return found.response()


def _on_http(error: HTTPException) -> Response:
    status = error.code or 500
    code, sentence = _HTTP.get(status, (error.name.lower().replace(" ", "_"), f"{error.name}."))
    headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    detail = sentence.format(method=request.method, allowed=headers.get("Allow", "nothing"))
    return Problem(status, code, detail, headers=headers).response()


def _on_unforeseen(_: Exception) -> Response:
    log.exception("Unforeseen error")
    sentence = "Something went wrong on our side; the log has it under this answer's X-Request-Id."
    return Problem(500, "internal_error", sentence).response()


def _on_invalid(error: HTTPError) -> Response:
    """APIFlask's error of a body, query or path that does not fit its model."""
    if not isinstance(error.__cause__, ValidationError):
        return Problem(error.status_code, "bad_request", f"{error.message}.").response()
    where = next(iter(error.detail))
    fields = tuple(_bad_field(_LOCATIONS.get(where, where), e) for e in error.__cause__.errors(include_url=False))
    named = "; ".join(f"{'.'.join(str(part) for part in bad.loc[1:])}: {bad.msg}" for bad in fields[:5])
    return Problem(422, "validation_failed", f"The request does not fit. {named}", fields).response()


def _bad_field(where: str, found: Any) -> BadField:
    kind, words = _FIELD_WORDS.get(found["type"], (found["type"], f"{found['msg']}.".replace("..", ".")))
    # A key is the caller's text: cut, so that an answer never grows with a request.
    loc = tuple(part[:100] if isinstance(part, str) else part for part in found["loc"])
    if where == "body" and loc and loc[0] in _FORMS:
        loc = loc[1:]
    if where == "header":
        # APIFlask reads a header by the name of its field.
        loc = tuple(str(part).replace("_", "-").title() for part in loc)
    return BadField((where, *loc), words, kind)
