"""boto3 clients, made one way for every process: explicit time-outs, bounded retries, one set of credentials."""

from functools import cache
from typing import TYPE_CHECKING, Any, cast

import boto3
from botocore.config import Config

from transcode import metrics
from transcode.settings import Settings

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_s3 import S3Client
    from types_boto3_sns import SNSClient
    from types_boto3_sqs import SQSClient

# Seconds. A read may be a long poll of 20 s, so its limit lies above that.
_CONNECT, _READ, _ATTEMPTS = 5, 30, 5
# Connections that a client keeps; one more is made anew for each call, with a warning. The bridge deals with ten events
# and ten callbacks at once, beside its reconciler.
_CONNECTIONS = 24


@cache
def session(settings: Settings) -> boto3.Session:
    """A session with the settings' credentials, or with boto3's own chain where they name none; it counts requests."""
    found = _session(settings)
    # Told of every try, not of every call: tries are what is paid.
    found.events.register("before-send", _count)
    return found


def _count(event_name: str, **_: Any) -> None:
    service, operation = event_name.split(".")[1:3]
    metrics.asked_aws(service, operation)


def _session(settings: Settings) -> boto3.Session:
    if not settings.aws_access_key_id:
        return boto3.Session(region_name=settings.aws_region)
    return boto3.Session(
        region_name=settings.aws_region,
        aws_access_key_id=settings.aws_access_key_id,
        aws_secret_access_key=settings.aws_secret_access_key.get_secret_value(),
        aws_session_token=settings.aws_session_token.get_secret_value() or None,
    )


def _client(
    settings: Settings, service: Any, read: float = _READ, attempts: int = _ATTEMPTS, connections: int = _CONNECTIONS,
    **config: Any,
) -> Any:  # fmt: skip
    return session(settings).client(
        service,
        endpoint_url=settings.aws_endpoint_url or None,
        config=Config(
            connect_timeout=_CONNECT,
            read_timeout=read,
            max_pool_connections=connections,
            retries={"mode": "standard", "total_max_attempts": attempts},
            **config,
        ),
    )


def s3(settings: Settings, connections: int = 16) -> "S3Client":
    """S3. Path addressing where an own endpoint is set: local stores have no bucket host names."""
    style = {"addressing_style": "path"} if settings.aws_endpoint_url else {}
    return cast("S3Client", _client(settings, "s3", connections=connections, s3=style))


def dynamodb(settings: Settings) -> "DynamoDBClient":
    """DynamoDB, with retries that end within seconds: callers have their own."""
    return cast("DynamoDBClient", _client(settings, "dynamodb", read=10))


def sqs(settings: Settings, read: float = _READ, attempts: int = _ATTEMPTS) -> "SQSClient":
    """SQS. Calls made inside a worker's event loop want a short `read` and few `attempts`."""
    return cast("SQSClient", _client(settings, "sqs", read=read, attempts=attempts))


def sns(settings: Settings) -> "SNSClient":
    """SNS, which carries `celery inspect` and `control`."""
    return cast("SNSClient", _client(settings, "sns", read=5, attempts=4))
