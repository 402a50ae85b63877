"""How an error of the admin is shown: a page with the sentence, in the place of the API's JSON."""

from flask import Blueprint, Response, abort, request
from werkzeug.exceptions import HTTPException

from transcode import logs
from transcode.errors import TranscodeError
from webapp import errors
from webapp.admin import skin
from webapp.admin.words import lazy as _
from webapp.errors import Problem, Refused

log = logs.get(__name__)
blueprint = Blueprint("problem", __name__)

_SENTENCES = {
    404: _("There is no page at this address."),
    405: _("This address does not take what the form sent."),
    413: _("The form is larger than 64 KB."),
}


def install(parent: Blueprint) -> None:
    """Let every error under `parent` become a page."""
    parent.register_error_handler(TranscodeError, lambda error: _show(errors.problem(error)))
    parent.register_error_handler(Refused, lambda refused: _show(refused.problem))
    parent.register_error_handler(HTTPException, _on_http)
    parent.register_error_handler(Exception, _on_unforeseen)


@blueprint.get("/<path:rest>")
def missing(rest: str) -> Response:  # noqa: ARG001
    """Any other address under `/admin`, so that it is answered by a page."""
    abort(404)


def _on_http(error: HTTPException) -> Response:
    status = error.code or 500
    return _show(Problem(status, "http", str(_SENTENCES.get(status, f"{error.name}."))))


def _on_unforeseen(_error: Exception) -> Response:
    log.exception("Unforeseen error")
    return _show(Problem(500, "internal_error", str(_("Something went wrong on our side; the log has it."))))


def _show(problem: Problem) -> Response:
    if problem.status >= 500:
        log.warning("Page failed", path=request.path, code=problem.code, error=problem.detail)
    response = skin.page("problem", problem.status, problem=problem)
    response.headers.extend(problem.headers)
    return response
