"""Who may enter the admin, and who may change something. Deny by default: only the pages of `OPEN` ask nobody.

A visitor signs in with a password and is known by a signed cookie, which ends with the password: it holds a mark
of the hash. Where `auth.is_open`, everybody may do everything, and each page says so. Every form carries a token.
"""

import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from apiflask import APIFlask
from flask import Blueprint, Flask, Response, current_app, g, redirect, request, session, url_for
from flask.sessions import SecureCookieSessionInterface
from pydantic import SecretStr
from werkzeug.security import check_password_hash
from werkzeug.wrappers import Response as Redirect

from transcode.settings import Settings
from webapp import auth
from webapp.admin.words import gettext as _
from webapp.deps import deps
from webapp.errors import Problem, Refused

OPEN = frozenset({"admin.sign_in.show", "admin.sign_in.enter", "admin.sign_in.speak"})
OPERATOR, READER = "operator", "reader"
# A working day: nobody is asked twice in one, and a forgotten browser is not open for long.
_SESSION = timedelta(hours=12)
_TOKEN = "token"  # noqa: S105 - the name of a form's field


@dataclass(frozen=True)
class Visitor:
    """Who looks at the admin: a name for the audit line, and whether they may change anything."""

    name: str
    may_change: bool


class _Sessions(SecureCookieSessionInterface):
    """Cookies that are `Secure` exactly where the page came over TLS, so that a first machine needs no setting."""

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002
        """As Flask asks for it."""
        return request.is_secure


def install(app: APIFlask, blueprint: Blueprint, settings: Settings) -> None:
    """Ask every visitor of the admin's pages who they are."""
    app.secret_key = settings.signing_key("admin session")
    app.session_interface = _Sessions()
    app.config.update(
        SESSION_COOKIE_NAME="transcode_admin", SESSION_COOKIE_PATH="/admin", SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax", PERMANENT_SESSION_LIFETIME=_SESSION,
    )  # fmt: skip
    blueprint.before_request(check)


def _hashes(settings: Settings) -> dict[str, SecretStr]:
    """The password hash of each role that has one."""
    given = {OPERATOR: settings.admin_password_hash, READER: settings.admin_readonly_password_hash}
    return {role: found for role, found in given.items() if found.get_secret_value()}


def check() -> Redirect | Response | None:
    """Before every page: let the visitor in, or send them to sign in. A change needs the role and the token."""
    g.visitor = _visitor(deps().settings)
    if g.visitor:
        g.caller = g.visitor.name
    if request.method == "POST":
        _check_token()
    if request.endpoint in OPEN:
        return None
    if g.visitor is None:
        return _to_sign_in()
    if request.method == "POST" and not g.visitor.may_change and request.endpoint != "admin.sign_in.leave":
        raise Refused(Problem(403, "read_only", _("You are signed in to read; an operator may change things.")))
    return None


def _visitor(settings: Settings) -> Visitor | None:
    if auth.is_open(settings):
        return Visitor(auth.NOBODY, may_change=True)
    role = str(session.get("role", ""))
    found = _hashes(settings).get(role)
    if found is None or not hmac.compare_digest(str(session.get("mark", "")), _mark(found)):
        return None
    return Visitor(role, may_change=role == OPERATOR)


def _to_sign_in() -> Redirect | Response:
    wanted = request.full_path.rstrip("?") if request.method == "GET" else ""
    if "HX-Request" in request.headers:
        # A fragment of a page whose session has ended: the page itself has to go.
        return Response(headers={"HX-Redirect": url_for("admin.sign_in.show")})
    return redirect(url_for("admin.sign_in.show", next=wanted or None))


def can_sign_in(settings: Settings) -> bool:
    """Whether there is a password to sign in with."""
    return bool(_hashes(settings))


def sign_in(settings: Settings, password: str) -> bool:
    """Begin a session for whom the password names; False when it is nobody's."""
    role = next((role for role, found in _hashes(settings).items() if _fits(found, password)), "")
    if role:
        # A new session, so that nobody can have chosen its token before.
        session.clear()
        session.permanent = True
        session.update(role=role, mark=_mark(_hashes(settings)[role]))
        g.caller = role
    return bool(role)


def _fits(found: SecretStr, password: str) -> bool:
    try:
        return check_password_hash(found.get_secret_value(), password)
    except ValueError:
        # No hash that werkzeug knows: it fits no password.
        return False


def _mark(found: SecretStr) -> str:
    key = current_app.secret_key
    assert isinstance(key, bytes)  # noqa: S101 - set by install; for the type checker
    return hmac.new(key, found.get_secret_value().encode(), "sha256").hexdigest()[:32]


def token() -> str:
    """The word that every form of this session carries, so that no foreign page can send one."""
    if _TOKEN not in session:
        session[_TOKEN] = secrets.token_urlsafe(24)
    found: Any = session[_TOKEN]
    return str(found)


def _check_token() -> None:
    if not hmac.compare_digest(request.form.get(_TOKEN, "").encode(), token().encode()):
        raise Refused(Problem(403, "form_expired", _("The form has expired; open the page again and repeat it.")))


def inside(address: str) -> str:
    """The address if it is a page of the admin, else the dashboard's: nobody is led elsewhere after signing in."""
    parts = urlsplit(address)
    ours = parts.path == "/admin" or parts.path.startswith("/admin/")
    plain = address.isascii() and address.isprintable() and "\\" not in address
    return address if ours and plain and not parts.scheme and not parts.netloc else url_for("admin.dashboard.show")
