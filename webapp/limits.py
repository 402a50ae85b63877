"""How often a caller may ask. Only here are requests counted to be refused.

Each process counts for itself, in its memory: a brake on a caller gone wild and on who guesses passwords, no
quota. With two gunicorn processes up to twice as many pass. Reading is never limited, nor is `/api/health`.
"""

import math
import time
from collections.abc import Callable
from typing import NoReturn

from apiflask import APIFlask
from flask import g, request
from flask_limiter import ApplicationLimit, Limiter, RequestLimit
from flask_limiter.util import get_remote_address

from transcode.settings import Settings
from webapp import auth
from webapp.errors import Problem, Refused

# What changes nothing costs little, and probes and dashboards ask often.
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
# Sign-ins of an address: nobody's fingers are that fast.
_SIGN_INS = "10 per minute"


def install(app: APIFlask, settings: Settings) -> None:
    """Limit the changing calls of the API, all together, per caller. After `auth`, which knows the caller."""
    rate = settings.rate_limit
    changes = ApplicationLimit(rate, exempt_when=_is_free, on_breach=lambda limit: _refuse(limit, _sentence(limit)))
    app.extensions["limits"] = Limiter(
        _caller, app=app, storage_uri="memory://", application_limits=[] if rate == "none" else [changes]
    )


def limit_sign_in(app: APIFlask, endpoint: str, sentence: Callable[[], str]) -> None:
    """Slow down who guesses passwords at `endpoint`, per address, whatever `RATE_LIMIT` says."""
    limiter: Limiter = app.extensions["limits"]
    brake = limiter.limit(
        _SIGN_INS, key_func=get_remote_address, on_breach=lambda limit: _refuse(limit, sentence())
    )  # fmt: skip
    # Its decorator's type allows for views that are awaited; ours is none.
    app.view_functions[endpoint] = brake(app.view_functions[endpoint])  # type: ignore[assignment]


def _caller() -> str:
    """The key's name, or the address where no key is asked for; told apart, as a key may have any name."""
    name: str = g.caller
    return f"address {get_remote_address()}" if name == auth.NOBODY else f"key {name}"


def _is_free() -> bool:
    # The admin's pages ask for a password, and its forms are sent by hand.
    return request.method in _READING or "admin" in request.blueprints


def _refuse(limit: RequestLimit, sentence: str) -> NoReturn:
    headers = {"Retry-After": str(_wait(limit))}
    raise Refused(Problem(429, "too_many_requests", sentence, headers=headers))


def _sentence(limit: RequestLimit) -> str:
    return f"Of one caller at most {limit.limit} changing calls are taken; try again in {_wait(limit)} s."


def _wait(limit: RequestLimit) -> int:
    """Seconds until it counts from nothing again."""
    return max(1, math.ceil(limit.reset_at - time.time()))
