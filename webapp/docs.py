"""`/docs`: the API's documentation to read and try, from files of our own. It works without a network."""

from flask import Blueprint, Response, make_response, redirect, render_template, url_for
from werkzeug.wrappers import Response as Redirect

from webapp import openapi

blueprint = Blueprint("docs", __name__)

# Swagger UI draws its icons from data: addresses; it needs no inline script and no inline style.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@blueprint.get("/")
def go_to_docs() -> Redirect:
    """Lead people who open the bare address to something they can read."""
    return redirect(url_for("docs.show_docs"))


@blueprint.get("/docs")
def show_docs() -> Response:
    """Show the documentation."""
    response = make_response(render_template("docs.html", title=openapi.TITLE))
    response.headers["Content-Security-Policy"] = _POLICY
    return response
