"""Where callbacks may go: targets that the operator names in the settings. A request only ever brings a name.

`CALLBACK_TARGETS=orders=https://example.com/hook` names the addresses, `CALLBACK_SECRETS=orders=whsec_…` what is
signed with; a target with two secrets is signed with both, so that a receiver can change from one to the other.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# What the Standard Webhooks specification puts before a secret in base64.
_ENCODED = "whsec_"
# Bytes of a secret: fewer can be guessed.
_SHORTEST = 16


@dataclass(frozen=True)
class Target:
    """One receiver: its name, its address and the keys that callbacks to it are signed with, one at least."""

    name: str
    url: str
    keys: tuple[bytes, ...]


def read(targets: Sequence[str], secrets: Sequence[SecretStr]) -> dict[str, Target]:
    """The targets by their names.

    Raises:
        ValueError: a sentence that says which entry is wrong; no secret and no address is in it.
    """
    addresses = [_pair("CALLBACK_TARGETS", text) for text in targets]
    keys = [_pair("CALLBACK_SECRETS", secret.get_secret_value()) for secret in secrets]
    known = [name for name, _ in addresses]
    for name in known:
        if known.count(name) > 1:
            raise ValueError(f"CALLBACK_TARGETS names {name!r} twice")
        if name not in dict(keys):
            raise ValueError(f"the target {name!r} has no secret in CALLBACK_SECRETS")
    for name, _ in keys:
        if name not in known:
            raise ValueError(f"CALLBACK_SECRETS names {name!r}, which is none of CALLBACK_TARGETS")
    return {
        name: Target(name, _address(name, url), tuple(_key(name, text) for owner, text in keys if owner == name))
        for name, url in addresses
    }


def _pair(setting: str, text: str) -> tuple[str, str]:
    name, sep, value = text.partition("=")
    if not sep or not value or not _NAME.fullmatch(name):
        # Not repeated in the sentence: it may hold a secret.
        raise ValueError(f"an entry of {setting} is not written name=value (letters, digits, '_', '-' and '.')")
    return name, value


def _address(name: str, url: str) -> str:
    if not url.isascii() or not url.isprintable() or " " in url or not _has_host(url):
        # Without the address: it may hold a secret of the receiver.
        raise ValueError(f"the address of target {name!r} is not written https://host/path")
    return url


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        # A port beyond 65535, or brackets that hold no address.
        return False
    return bool(known and parts.hostname and not parts.username and not parts.fragment)


def _key(name: str, text: str) -> bytes:
    try:
        encoded = text.startswith(_ENCODED)
        key = base64.b64decode(text.removeprefix(_ENCODED), validate=True) if encoded else text.encode()
    except binascii.Error:
        raise ValueError(f"a secret of target {name!r} begins with whsec_ and is no base64") from None
    if len(key) < _SHORTEST:
        raise ValueError(f"a secret of target {name!r} is too short: {_SHORTEST} bytes at least are wanted")
    return key
