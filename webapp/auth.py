"""Who calls, and whether they may. Deny by default: a route that is not in `OPEN` wants a key.

Keys come in the header `X-API-Key`, never in a cookie, so no foreign page can borrow one. The pages of the
admin ask for a sign-in instead: `webapp.admin.door`. Without any credentials set, `settings.check_bind` has
seen to it that only this machine reaches us.
"""

import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import urlsplit

from apiflask import APIFlask
from flask import g, request
from pydantic import SecretStr

from transcode import logs
from transcode.settings import Settings
from webapp.errors import Problem, Refused

log = logs.get(__name__)

HEADER = "X-API-Key"
# Routes that hold no data of anybody's: liveness, the documentation and its files.
OPEN = frozenset({"health.get_health", "openapi.spec", "docs.show_docs", "docs.go_to_docs", "static"})
NOBODY = "anonymous"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_CHALLENGE = {"WWW-Authenticate": f'ApiKey realm="transcode", header="{HEADER}"'}


@dataclass(frozen=True)
class Key:
    """A key that may call: its name, as the log shows it, and the SHA-256 of its text."""

    name: str
    digest: bytes


def keys(given: tuple[SecretStr, ...]) -> tuple[Key, ...]:
    """The keys of `API_KEYS`: `name:sha256:HEX`, or the key itself, named by its place."""
    return tuple(_key(place, secret.get_secret_value()) for place, secret in enumerate(given, start=1))


def _key(place: int, text: str) -> Key:
    name, sep, digest = text.partition(":sha256:")
    return Key(name, bytes.fromhex(digest)) if sep else Key(f"key-{place}", _digest(text))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def whose(text: str, known: tuple[Key, ...]) -> str | None:
    """The name of the key that `text` is, None when it is none. Takes as long for a wrong key as for a right one."""
    digest = _digest(text)
    matches = [key.name for key in known if hmac.compare_digest(key.digest, digest)]
    return matches[0] if matches else None


def is_open(settings: Settings) -> bool:
    """Whether nobody is asked who they are."""
    return settings.auth_disabled or not settings.has_credentials


def install(app: APIFlask, settings: Settings) -> None:
    """Ask every caller of `app` for a key, except on the open routes."""
    known, everybody = keys(settings.api_keys), is_open(settings)
    loopback_only = everybody and not settings.auth_disabled

    @app.before_request
    def check_caller() -> None:
        if loopback_only:
            _check_host(settings.api_host)
        g.caller = NOBODY
        # No endpoint: the address or method is unknown, and Flask's own answer follows.
        if everybody or request.endpoint is None or request.endpoint in OPEN or _is_page(request.blueprints):
            return
        g.caller = _caller(request.headers.get(HEADER, ""), known)


def _is_page(blueprints: list[str]) -> bool:
    """Whether the request is for the admin, which has a door of its own."""
    return "admin" in blueprints


def _check_host(bound: str) -> None:
    """Without keys, answer under names of this machine only.

    A page of a foreign site could otherwise reach us under a name of its own (DNS rebinding). Ours, because
    werkzeug's TRUSTED_HOSTS cannot hold an IPv6 address.
    """
    # A page writes X-Forwarded-Host as it likes; behind trusted proxies what came as Host itself counts too.
    came = request.environ.get("werkzeug.proxy_fix.orig", {}).get("HTTP_HOST") or request.host
    names = {urlsplit(f"//{host}").hostname for host in (request.host, came)}
    if not names <= {*_LOOPBACK, bound}:
        sentence = "Without API keys this API answers only under localhost; set API_KEYS to reach it by another name."
        raise Refused(Problem(400, "host_unknown", sentence))


def _caller(text: str, known: tuple[Key, ...]) -> str:
    if not text:
        raise Refused(Problem(401, "key_missing", f"An API key is wanted in the header {HEADER}.", headers=_CHALLENGE))
    name = whose(text, known)
    if name is None:
        # Enough of the digest to tell two wrong keys apart, nothing of the key.
        log.warning("Wrong API key", digest=_digest(text).hex()[:8], address=request.remote_addr)
        raise Refused(Problem(401, "key_wrong", f"The API key in the header {HEADER} is unknown.", headers=_CHALLENGE))
    return name
