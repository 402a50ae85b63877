"""What is wanted of each thing, values only. `provision` makes it, `cloudformation` writes it down, `iam` names it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from transcode.errors import SettingsError
from transcode.settings import Settings

# Names our part of policies, rules and notifications, which others may share.
OURS = "gpu-transcode-farm"
# Seconds: 14 days, the most that SQS keeps a message; the longest poll.
RETENTION, POLL = 14 * 86400, 20
# Days until S3 throws away an upload that nobody completed: those of killed attempts, and those whose id was
# lost with the answer. A week, as the bucket may also take the slow uploads of people.
ABORT_AFTER = 7
CREATED = "s3:ObjectCreated:*"
# Seconds a browser remembers what a bucket allows.
_CORS_AGE = 3600
SSE = {"SSEAlgorithm": "AES256"}
BLOCKED = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
# The topic of remote control, behind the farm's prefix: the name that Celery's mailbox gives it.
TOPIC = "celery-pidbox"
# Exactly those that kombu gives: SNS refuses to find a topic again whose tags differ.
TOPIC_TAGS = {
    "ManagedBy": "Celery/Kombu",
    "Description": "This SNS topic is used by Kombu to enable Fanout support for AWS SQS.",
}


@dataclass(frozen=True)
class QueueShape:
    """A queue and its dead letters.

    `visibility` is in seconds: 90 for a lease of 60 and its margin. `receives`: a message that was received this
    often goes to `dead`: more than three attempts and the duplicates that SQS may hand out.
    """

    name: str
    dead: str
    visibility: int = 90
    receives: int = 10

    @property
    def timers(self) -> dict[str, int]:
        """The least that suffices."""
        return {
            "MessageRetentionPeriod": RETENTION, "VisibilityTimeout": self.visibility,
            "ReceiveMessageWaitTimeSeconds": POLL,
        }  # fmt: skip


def task_queue(name: str) -> QueueShape:
    """The queue of tasks."""
    return QueueShape(name, f"{name}-dlq")


def event_queue(name: str) -> QueueShape:
    """The queue of S3's notifications."""
    return QueueShape(name, f"{name}-dlq")


def callback_queue(name: str) -> QueueShape:
    """The queue of callbacks: a receiver may be away for days, and every try is a receive."""
    return QueueShape(name, f"{name}-dlq", visibility=60, receives=1000)


@dataclass(frozen=True)
class Names:
    """The queues by name; empty where there is none."""

    task: str
    urgent: str = ""
    event: str = ""
    callback: str = ""

    @classmethod
    def of(cls, settings: Settings, task_queue: str = "", event_queue: str = "") -> "Names":
        """The names in the settings' addresses, where none is given."""
        return cls(
            task_queue or settings.queue_name, settings.urgent_queue_name,
            event_queue or _last(settings.event_queue_url), _last(settings.callback_queue_url),
        )  # fmt: skip


def _last(url: str) -> str:
    return url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Wishes:
    """What the settings do not say.

    `admin_origins` are pages that may upload to the input buckets (`https://host`); `control_prefix` begins the
    names of remote control, empty: it is switched off; `recovery` switches point-in-time recovery on; `fill_in`
    has every record looked at, also when no index is missing.
    """

    admin_origins: tuple[str, ...] = ()
    control_prefix: str = ""
    recovery: bool = False
    fill_in: bool = False

    def __post_init__(self) -> None:
        for origin in self.admin_origins:
            parts = urlsplit(origin)
            if (
                parts.scheme not in ("http", "https")
                or not parts.netloc
                or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise SettingsError(f"{origin!r} is no origin of a page; wanted is one like https://farm.example.com.")

    @property
    def topic(self) -> str:
        """The topic of remote control; empty: none."""
        return f"{self.control_prefix}{TOPIC}" if self.control_prefix else ""


def send_statement(arn: str, bucket_arns: list[str], account: str) -> dict[str, object]:
    """Lets S3 send to a queue, for our buckets in our account only."""
    return {
        "Sid": OURS, "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {
            "ArnEquals": {"aws:SourceArn": bucket_arns}, "StringEquals": {"aws:SourceAccount": account},
        },
    }  # fmt: skip


def cors_rule(origins: tuple[str, ...]) -> dict[str, object]:
    """Lets pages post uploads, each of which brings a signed form."""
    return {
        "ID": OURS, "AllowedOrigins": list(origins), "AllowedMethods": ["POST"], "AllowedHeaders": ["*"],
        "MaxAgeSeconds": _CORS_AGE,
    }  # fmt: skip
