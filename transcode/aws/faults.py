"""botocore's exceptions -> errors of ours. What every adapter shares; what one service means is in its adapter.

botocore's own words are not passed on: they hold addresses, and for people they say too little.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError, NoCredentialsError
from botocore.exceptions import PartialCredentialsError as HalfCredentialsError
from s3transfer.exceptions import RetriesExceededError, S3ValidationError

from transcode.errors import ServiceUnavailable, Unknown

_THROTTLED = frozenset({
    "ProvisionedThroughputExceededException", "RequestLimitExceeded", "RequestThrottled", "SlowDown", "Throttling",
    "ThrottlingException", "ThrottledException", "TooManyRequestsException", "KmsThrottled", "OverLimit",
    "AWS.SimpleQueueService.OverLimit",
})  # fmt: skip
_REFUSED = frozenset({
    "403", "AccessDenied", "AccessDeniedException", "AuthorizationError", "ExpiredToken", "ExpiredTokenException",
    "InvalidAccessKeyId", "InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException",
})  # fmt: skip
_MISSING = frozenset({
    "404", "NoSuchBucket", "NoSuchKey", "NotFound", "QueueDoesNotExist", "ResourceNotFoundException",
    "AWS.SimpleQueueService.NonExistentQueue",
})  # fmt: skip


def code(exc: ClientError) -> str:
    """The service's word for what went wrong; HEAD answers have no body, there it is the HTTP status."""
    return str(exc.response.get("Error", {}).get("Code", ""))


def status(exc: ClientError) -> int:
    """The HTTP status; 0 where the exception was made without an answer."""
    return int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def retries(exc: ClientError) -> int:
    """How often botocore had tried before: then an earlier try may have been applied."""
    return int(exc.response.get("ResponseMetadata", {}).get("RetryAttempts", 0))


def is_refused(exc: ClientError) -> bool:
    """Whether the credentials may not do this."""
    return code(exc) in _REFUSED or status(exc) in (401, 403)


def is_missing(exc: ClientError) -> bool:
    """Whether the bucket, object, queue or table is not there."""
    return code(exc) in _MISSING or status(exc) == 404


def is_server_error(exc: ClientError) -> bool:
    """Whether the service failed, not the request."""
    return status(exc) >= 500


@contextmanager
def told(action: str, thing: str, *, write: bool = False) -> Iterator[None]:
    """Turn what botocore raises inside into errors of ours; our own errors pass.

    Args:
        action: the API action, as IAM names it.
        thing: what it was done to, like `table tasks`.
        write: an answer that was lost is then `Unknown`: the write may have been applied.

    Raises:
        ServiceUnavailable: also for a refusal: credentials are a matter of the place, not of the task.
        Unknown: as `write` says.
    """
    try:
        yield
    except ClientError as exc:
        raise of_answer(exc, action, thing, write=write) from exc
    except (BotoCoreError, RetriesExceededError, S3ValidationError) as exc:
        raise of_silence(exc, action, thing, write=write) from exc


def of_answer(exc: ClientError, action: str, thing: str, *, write: bool = False) -> ServiceUnavailable:
    """The error for an answer that is no success."""
    word = code(exc)
    if word in _THROTTLED or status(exc) == 429:
        return ServiceUnavailable(f"AWS throttles {action} on the {thing} ({word}).")
    if is_server_error(exc):
        kind = Unknown if write else ServiceUnavailable
        return kind(f"AWS answered {action} on the {thing} with a server error ({word or status(exc)}).")
    if is_refused(exc):
        return ServiceUnavailable(f"AWS refuses these credentials {action} on the {thing} ({word}).")
    if is_missing(exc):
        return ServiceUnavailable(f"The {thing} does not exist ({action}: {word}).")
    return ServiceUnavailable(f"AWS refused {action} on the {thing} ({word}).")


def of_silence(exc: Exception, action: str, thing: str, *, write: bool = False) -> ServiceUnavailable:
    """The error for a request that got no answer, or was never sent."""
    if isinstance(exc, NoCredentialsError | HalfCredentialsError | CredentialRetrievalError):
        return ServiceUnavailable(f"No AWS credentials were found for {action} on the {thing}.")
    kind = Unknown if write else ServiceUnavailable
    return kind(f"AWS did not answer {action} on the {thing} ({type(exc).__name__}).")
