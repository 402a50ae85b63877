"""The environment and `config.env`, read once, typed. Every setting of the product is a field here.

Order: environment, then `config.env`, then defaults. Anything bad stops the program at once with a line
per setting: its name, what was given (never a secret), what is wanted.
"""

import hashlib
import hmac
import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from transcode import keys, targets
from transcode.errors import SettingsError

CONFIG_FILE = "config.env"
# Go's durations, as existing config files write them: 20s, 1m30s, 500ms.
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_API_KEY = re.compile(r"[\w.-]+:sha256:[0-9a-f]{64}|(?!.*:sha256:)[\x21-\x2b\x2d-\x7e]{16,}")


def _duration(value: object) -> object:
    if isinstance(value, float):
        return value  # a default of ours, in seconds
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) and value.strip() else None
    if match is None:
        raise ValueError("a duration like 20s or 1m30s is wanted")
    hours, minutes, secs, milliseconds = (float(g or 0) for g in match.groups())
    return hours * 3600 + minutes * 60 + secs + milliseconds / 1000


def _words(value: object) -> object:
    return tuple(w.strip() for w in value.split(",") if w.strip()) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
Duration = Annotated[float, BeforeValidator(_duration)]


class Settings(BaseSettings):
    """All settings. A field's environment variable is its name in capitals."""

    model_config = SettingsConfigDict(
        env_file=CONFIG_FILE, env_file_encoding="utf-8-sig", env_ignore_empty=True, extra="ignore", frozen=True,
        hide_input_in_errors=True,
    )  # fmt: skip

    aws_region: str = Field(
        validation_alias=AliasChoices("aws_region", "aws_default_region"), min_length=1,
        description="AWS region of the buckets, queues and table, like ap-northeast-1",
    )  # fmt: skip
    input_bucket: Words = Field(description="bucket(s) whose uploads are transcoded, separated by commas")
    output_bucket: str = Field(description="bucket that gets the renditions")
    sqs_queue_url: str = Field(description="address of the task queue")
    dynamodb_table: str = Field(min_length=3, max_length=255, description="table of the task records")
    urgent_queue_url: str = Field("", description="queue of urgent tasks, which overtake the others; unset: none")
    event_queue_url: str = Field("", description="queue of the S3 notifications; unset: they come in the task queue")
    callback_queue_url: str = Field("", description="queue of the callbacks; needed with CALLBACK_TARGETS")
    aws_access_key_id: str = Field("", description="access key; unset: the instance role or AWS profile")
    aws_secret_access_key: SecretStr = Field(SecretStr(""), description="secret of the access key")
    aws_session_token: SecretStr = Field(SecretStr(""), description="session token of temporary credentials")
    aws_endpoint_url: str = Field("", description="address of an AWS-compatible service; unset: AWS")
    # The place that existing set-ups know; the workers make it with mode 0700.
    temp_dir: Path = Field(Path("/tmp/ffmpeg_processing"), description="scratch folder of the workers")  # noqa: S108
    max_concurrent_tasks: int = Field(2, ge=1, le=64, description="tasks at once per GPU")
    poll_interval: Duration = Field(20.0, ge=1, le=3600, description="length of a poll, 20s at most; beyond: a pause")
    shutdown_mode: Literal["handback", "drain"] = Field(
        "handback", description="on SIGTERM: hand running tasks back at once, or finish them first"
    )
    remote_control: bool = Field(True, description="`celery inspect` and `control`, over SNS; false: no call of SNS")
    lease: Duration = Field(
        60.0, ge=3, le=600, description="silence after which another worker takes a task over; 60s suits nearly all"
    )
    api_host: str = Field("127.0.0.1", description="address the API binds to; wider than loopback needs credentials")
    api_port: int = Field(9999, ge=1, le=65535, description="port of the API")
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_words)] = Field(
        (), description="keys for X-API-Key, separated by commas: name:sha256:HEX, or the key itself (16+ characters)"
    )
    admin_password_hash: SecretStr = Field(SecretStr(""), description="hash of the admin's password")
    admin_readonly_password_hash: SecretStr = Field(
        SecretStr(""), description="hash of a password that lets people look at the admin and change nothing"
    )
    secret_key: SecretStr = Field(
        SecretStr(""), description="signs cursors and sessions, 16+ characters; unset: derived from other settings"
    )
    trusted_proxy_count: int = Field(0, ge=0, le=10, description="proxies of yours before the API; 0: none")
    rate_limit: str = Field(
        "3000/minute", pattern=r"^(none|[1-9]\d{0,8}(/| per )(second|minute|hour|day))$",
        description="changing API calls of a caller in each API process, like 3000/minute; none: no limit",
    )  # fmt: skip
    auth_disabled: bool = Field(False, description="true: no credentials asked, knowingly")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")
    log_format: Literal["json", "console"] = Field("json", description="json, or console for people")
    default_transcode_types: Words = Field(
        ("mp4_standard", "mp4_smooth", "thumbnail"), description="types that an upload is given"
    )
    callback_targets: Words = Field((), description="who may be called back: name=https://host/path, by commas")
    callback_secrets: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_words)] = Field(
        (), description="what each target's callbacks are signed with: name=secret, by commas"
    )
    default_callback: str = Field("", description="target of tasks that name none, uploads too; unset: none")
    presets_file: Path | None = Field(None, description="TOML file that adds or overrides presets")
    output_key_template: str = Field(keys.DEFAULT, description="where an output goes in the output bucket")
    record_retention_days: int | None = Field(None, ge=1, le=3650, description="days a record is kept; unset: for ever")
    max_input_bytes: int = Field(50 * 10**9, ge=1, description="largest input, bytes")
    ffmpeg_path: str = Field("", description="ffmpeg to use; unset: PATH if fit, else the packaged one")
    ffprobe_path: str = Field("", description="ffprobe to use; unset: PATH, else the packaged one")
    sandbox: Literal["auto", "bwrap", "landlock", "none"] = Field(
        "auto", description="walls around ffmpeg: bwrap, landlock, none, or auto for the best that holds here"
    )

    metrics_port: int | None = Field(
        None, ge=1, le=65534, description="port on 127.0.0.1 of a worker's numbers, the next of a bridge's; unset: none"
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        word = value.upper() if isinstance(value, str) else value
        return {"WARN": "WARNING", "FATAL": "ERROR"}.get(str(word), word)

    @field_validator("input_bucket", "output_bucket")
    @classmethod
    def _bucket(cls, value: Any) -> Any:
        for name in (value,) if isinstance(value, str) else value:
            if not _BUCKET.fullmatch(name):
                raise ValueError(
                    f"{name!r} is no bucket name: 3 to 63 small letters, digits, dots and hyphens are wanted"
                )
        if not value:
            raise ValueError("at least one bucket name is wanted")
        return value

    @field_validator("sqs_queue_url", "event_queue_url", "urgent_queue_url", "callback_queue_url")
    @classmethod
    def _queue(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or len(parts.path.split("/")) < 3):
            # Not repeated in the sentence: an address may hold a password.
            raise ValueError("it is no queue address: https://sqs.REGION.amazonaws.com/ACCOUNT/NAME is wanted")
        if value.endswith(".fifo"):
            raise ValueError("a FIFO queue runs one task at a time; a standard queue is wanted")
        return value

    @field_validator("api_keys")
    @classmethod
    def _keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(_API_KEY.fullmatch(key.get_secret_value()) for key in value):
            raise ValueError(
                "each key is wanted as name:sha256:HEX, or at least 16 characters without commas and spaces"
            )
        return value

    @field_validator("secret_key")
    @classmethod
    def _secret(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < 16:
            raise ValueError("it is too short to sign anything with")
        return value

    @field_validator("temp_dir")
    @classmethod
    def _folder(cls, value: Path) -> Path:
        if not value.is_absolute():
            raise ValueError(f"{str(value)!r} is relative; an absolute folder is wanted")
        if value.exists() and not value.is_dir():
            raise ValueError(f"{str(value)!r} is not a folder")
        return value

    @model_validator(mode="after")
    def _together(self) -> "Settings":
        if bool(self.aws_access_key_id) != bool(self.aws_secret_access_key.get_secret_value()):
            raise ValueError("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: both or neither are wanted; one is missing")
        wrong = keys.check(self.output_key_template, buckets=self.input_bucket, output_bucket=self.output_bucket)
        if wrong:
            raise ValueError(f"OUTPUT_KEY_TEMPLATE: {wrong}")
        self._check_callbacks()
        return self

    def _check_callbacks(self) -> None:
        known = targets.read(self.callback_targets, self.callback_secrets)
        if known and not self.callback_queue_url:
            raise ValueError("CALLBACK_TARGETS needs CALLBACK_QUEUE_URL: a queue that keeps what is to be delivered")
        if self.default_callback and self.default_callback not in known:
            raise ValueError(f"DEFAULT_CALLBACK={self.default_callback} is none of CALLBACK_TARGETS")

    @property
    def key_template(self) -> keys.KeyTemplate:
        """The checked template of output keys."""
        return keys.KeyTemplate(self.output_key_template)

    def signing_key(self, purpose: str) -> bytes:
        """A key to sign with, another one for each purpose; equal in all processes with the same settings.

        Without SECRET_KEY it comes from the table's name and the credentials that callers show: who knows all of
        them needs no forgery. With neither, everybody who reaches the API may do everything anyhow.
        """
        hashes = (self.admin_password_hash, self.admin_readonly_password_hash)
        shown = [secret.get_secret_value() for secret in (*self.api_keys, *hashes)]
        secret = self.secret_key.get_secret_value() or "\n".join((self.dynamodb_table, *shown))
        return hmac.digest(hashlib.sha256(secret.encode()).digest(), purpose.encode(), "sha256")

    def card_folder(self, uuid: str) -> Path:
        """What is kept of a card, for all processes of the machine."""
        return self.temp_dir / "cards" / uuid

    @property
    def queue_name(self) -> str:
        """The task queue's name, as SQS and Celery know it."""
        return self.sqs_queue_url.rsplit("/", 1)[-1]

    @property
    def urgent_queue_name(self) -> str:
        """The urgent queue's name; empty where there is none."""
        return self.urgent_queue_url.rsplit("/", 1)[-1]

    @property
    def queue_urls(self) -> dict[str, str]:
        """The queues of tasks, from name to address."""
        urgent = {self.urgent_queue_name: self.urgent_queue_url} if self.urgent_queue_url else {}
        return {self.queue_name: self.sqs_queue_url, **urgent}

    @property
    def wait_seconds(self) -> int:
        """How long one poll waits: SQS allows 20 seconds."""
        return int(min(20.0, max(1.0, self.poll_interval)))

    @property
    def has_credentials(self) -> bool:
        """Whether the API asks callers who they are."""
        passwords = (self.admin_password_hash, self.admin_readonly_password_hash)
        return bool(self.api_keys) or any(found.get_secret_value() for found in passwords)


def check_bind(settings: Settings) -> None:
    """Refuse an API that a network could reach without credentials.

    Raises:
        SettingsError: it says what to set.
    """
    if settings.has_credentials or settings.auth_disabled or _is_loopback(settings.api_host):
        return
    raise SettingsError(
        f"API_HOST={settings.api_host} can be reached from the network and no credentials are set. Set API_KEYS "
        "or ADMIN_PASSWORD_HASH, or AUTH_DISABLED=true if that is what you want, or API_HOST=127.0.0.1."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load(**given: Any) -> Settings:
    """The settings, from the environment and `config.env`; `given` fields win over both.

    Raises:
        SettingsError: one line per bad setting.
    """
    try:
        return Settings(**given)
    except ValidationError as exc:
        raise SettingsError("\n".join(_sentences(exc))) from None


def _sentences(exc: ValidationError) -> list[str]:
    lines = []
    for error in exc.errors(include_url=False, include_context=False):
        where = str(error["loc"][0]) if error["loc"] else ""
        reason = error["msg"].removeprefix("Value error, ")
        if not where:
            lines.append(f"{reason.rstrip('.')}.")
        elif error["type"] == "missing":
            lines.append(f"{where.upper()} is missing: {_wanted(where)}.")
        else:
            given = _given(where, error["input"])
            lines.append(f"{where.upper()} is wrong{given}: {reason}. Wanted: {_wanted(where)}.")
    return lines


def _wanted(field: str) -> str:
    # A field with several names is told by its first one.
    return next((f.description or "" for name, f in Settings.model_fields.items() if name == field.lower()), "")


def _given(field: str, value: object) -> str:
    """What was given, if it may be shown: secrets never, and no password inside an address."""
    if any(word in field.upper() for word in ("SECRET", "TOKEN", "KEYS", "PASSWORD")):
        return ""
    # As it was written, where it came from the environment; pydantic may have turned it into something else.
    text = os.environ.get(field.upper(), str(value))
    return f" (given: {re.sub('//[^/@]*@', '//***@', text)!r})"
