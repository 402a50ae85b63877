"""The REST API, asked within this process: its code, its shapes and its refusals, without a server or a network.

So what a command does and prints is what the API would, and nothing is decided twice. Whoever may run a command has
the AWS credentials in hand; no key is asked for.
"""

import re
import signal
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import typer

from cli.paper import visible
from transcode import logs, settings
from transcode.errors import BadPreset, NotFound, ServiceUnavailable, SettingsError, TranscodeError
from transcode.settings import Settings

if TYPE_CHECKING:
    from webapp import App

# What the caller wrote is wrong: how the API says so, and the exit status of a program that was used wrongly.
_BAD_USAGE = frozenset({"validation_failed", "bad_cursor"})
# As `webapp.api.schemas` has it, which is not loaded for a slip of the hand.
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_HOW_IT_BEGINS = "The request does not fit. "


class Direct:
    """The API over some dependencies."""

    def __init__(self, app: "App") -> None:
        self._caller = app.test_client()

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Read; a query's value that is None or empty is left out.

        Raises:
            typer.BadParameter: what was asked does not fit.
            NotFound, ServiceUnavailable, TranscodeError: it was refused.
        """
        wanted = {name: value for name, value in query.items() if value not in (None, "")}
        return self._ask("GET", path, query_string=wanted)

    def post(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """Change; raises what `get` does."""
        return self._ask("POST", path, json={} if body is None else body, headers=headers)

    def _ask(self, method: str, path: str, **what: Any) -> dict[str, Any]:
        try:
            return _read(self._caller.open(path, method=method, **what))
        except UnicodeEncodeError as error:
            # The terminal's bytes, as Python carries them on where they are no text.
            raise typer.BadParameter(f"{visible(error.object)!r} is no UTF-8.") from None


def _read(answer: Any) -> dict[str, Any]:
    body: dict[str, Any] = answer.get_json()
    if answer.status_code < HTTPStatus.BAD_REQUEST:
        return body
    sentence = str(body["error"])
    if body["code"] in _BAD_USAGE:
        raise typer.BadParameter(sentence.removeprefix(_HOW_IT_BEGINS))
    if answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
        raise TranscodeError("Something went wrong that nobody foresaw; with LOG_LEVEL=DEBUG the log says what.")
    kinds = {HTTPStatus.NOT_FOUND: NotFound, HTTPStatus.SERVICE_UNAVAILABLE: ServiceUnavailable}
    raise kinds.get(HTTPStatus(answer.status_code), TranscodeError)(sentence)


def read_settings() -> Settings:
    """The settings of this process, with a log that leaves the terminal to the command."""
    found = settings.load()
    # People see a sentence for each fault; the traces behind it are for those who look for them.
    logs.configure("DEBUG" if found.log_level == "DEBUG" else "CRITICAL", "console")
    return found


def connect() -> Direct:
    """The API over AWS, by the settings.

    Raises:
        SettingsError: it says what is wrong, PRESETS_FILE's contents too.
    """
    found = read_settings()
    # Nothing here needs an end of its own: whatever is half done, the farm finishes. So Ctrl-C ends us at once.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from webapp import create_app
    from webapp.wsgi import over_aws

    ours = found.model_copy(update={"api_keys": (), "auth_disabled": True, "rate_limit": "none"})
    try:
        deps = over_aws(found)
    except BadPreset as error:
        raise SettingsError(f"PRESETS_FILE is wrong: {error}") from error
    # What AWS is reached with stays as it was: cursors are signed by it, as those of the API are.
    return Direct(create_app(replace(deps, settings=ours)))


def task_path(task_id: str) -> str:
    """Where the API has a task.

    Raises:
        typer.BadParameter: it is no id.
    """
    if not re.fullmatch(_UUID, task_id):
        raise typer.BadParameter(f"{visible(task_id)!r} is no task's id: a UUID in small letters is wanted.")
    return f"/api/tasks/{task_id}"
