"""`transcode config`: the settings in effect, and where each comes from. Secrets are never shown."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from cli import paper
from cli.listing import Json
from transcode import settings
from transcode.settings import CONFIG_FILE, Settings

_MASK = "***"
# An address may hold a password, or a word in its query that opens a door.
_DOORS = re.compile(r"(?<=//)[^/@\s]*(?=@)|(?<=\?)[^,\s]+")


def config(as_json: Json = False) -> None:
    """Show the settings in effect, and where each comes from.

    Secrets are masked.
    """
    told = [{"name": name, "value": value, "source": source} for name, value, source in effective()]
    if as_json:
        paper.emit(told)
    else:
        paper.table(("SETTING", "FROM", "VALUE"), ((one["name"], one["source"], one["value"]) for one in told))


def effective() -> Iterator[tuple[str, str, str]]:
    """Name, value and origin of each setting: `environment`, the file's name, or `default`.

    Raises:
        SettingsError: they are wrong.
    """
    found = settings.load()
    came = {"environment": EnvSettingsSource(Settings)(), CONFIG_FILE: DotEnvSettingsSource(Settings)()}
    for name in Settings.model_fields:
        yield name.upper(), _shown(name, getattr(found, name)), _origin(name, came)


def _origin(name: str, came: Mapping[str, Mapping[str, Any]]) -> str:
    return next((origin for origin, given in came.items() if name in given), "default")


def _shown(name: str, value: object) -> str:
    """As it would be written in the file, in seconds where it is a duration."""
    values = value if isinstance(value, tuple) else (value,)
    if name == "aws_access_key_id" or any(isinstance(one, SecretStr) for one in values):
        return _MASK if any(map(_is_set, values)) else ""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    text = ",".join(f"{one:g}s" if isinstance(one, float) else str(one) for one in values)
    return _DOORS.sub(_MASK, text)


def _is_set(value: object) -> bool:
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)
