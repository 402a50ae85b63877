"""One log line format for every process: JSON lines, or `LOG_FORMAT=console` for people.

`bound(task_id=...)` puts its values on every line written inside it, also those of libraries.
"""

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

# At DEBUG these print signed requests, credentials included.
_TALKATIVE = ("botocore", "boto3", "urllib3", "s3transfer")
_SECRET = re.compile(r"(?i)((?:X-Amz-(?:Signature|Credential|Security-Token)|AWSAccessKeyId|Signature)=)[^&\s\"']+")


def _without_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Presigned addresses are keys to the object: their signatures never reach a log."""
    return {k: _SECRET.sub(r"\1***", v) if isinstance(v, str) else v for k, v in event.items()}


_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.stdlib.ExtraAdder(),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
    _without_secrets,
]


def configure(level: str = "INFO", form: str = "json", process: str = "") -> None:
    """Set logging up for this process; `process` (api, bridge, worker) is on every line."""
    render: structlog.typing.Processor
    if form == "console":
        render = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    else:
        render = structlog.processors.JSONRenderer(serializer=_line)
    shared = [_of(process), *_SHARED]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLevelName(level)))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _of(process: str) -> structlog.typing.Processor:
    """Puts the process on every line. Not as a bound value: a new thread begins without those."""

    def named(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {"process": process, **event} if process else event

    return named


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger; its event is a fixed text, everything that varies is a named value."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger


@contextmanager
def bound(**values: object) -> Iterator[None]:
    """Put `values` on every line written inside."""
    with structlog.contextvars.bound_contextvars(**values):
        yield


def _line(found: Any, **options: Any) -> str:
    """As JSON. Letters of all languages stay readable; what could steer a terminal that shows the log is escaped."""
    text = json.dumps(found, ensure_ascii=False, **options)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
