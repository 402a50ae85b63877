"""Sign in and out, and the choice of the language."""

from apiflask import APIFlask
from flask import Blueprint, Response, flash, g, redirect, request, session, url_for
from werkzeug.wrappers import Response as Redirect

from transcode import logs
from webapp import limits
from webapp.admin import door, skin, words
from webapp.admin.words import gettext as _
from webapp.deps import deps

log = logs.get(__name__)
blueprint = Blueprint("sign_in", __name__)

# Seconds that a browser remembers the language: a year.
_REMEMBERED = 365 * 86400


def brake(app: APIFlask) -> None:
    """Slow down who guesses passwords."""
    limits.limit_sign_in(app, "admin.sign_in.enter", lambda: _("Too many attempts; wait a minute and try again."))


@blueprint.get("/sign-in")
def show() -> Response | Redirect:
    """Ask for the password."""
    if g.visitor:
        return redirect(door.inside(request.args.get("next", "")))
    return skin.page("sign_in", next=request.args.get("next", ""))


@blueprint.post("/sign-in")
def enter() -> Response | Redirect:
    """Let in who knows the password."""
    if door.sign_in(deps().settings, request.form.get("password", "")):
        log.info("Signed in", who=g.caller, address=request.remote_addr)
        return redirect(door.inside(request.form.get("next", "")))
    log.warning("Wrong password", address=request.remote_addr)
    flash(_("This is not the password."), "bad")
    return skin.page("sign_in", 403, next=request.form.get("next", ""))


@blueprint.post("/sign-out")
def leave() -> Redirect:
    """End the session."""
    log.info("Signed out", who=g.caller)
    session.clear()
    return redirect(url_for("admin.sign_in.show"))


@blueprint.post("/language")
def speak() -> Redirect:
    """Remember the language, and go back to the page."""
    answer = redirect(door.inside(request.form.get("next", "")))
    wanted = request.form.get("language", "")
    if wanted in words.LANGUAGES:
        answer.set_cookie(
            words.COOKIE, wanted, max_age=_REMEMBERED, path="/admin", httponly=True, samesite="Lax",
            secure=request.is_secure,
        )  # fmt: skip
    return answer
