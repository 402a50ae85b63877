"""Where the resources are, as ARNs name it: partition, region, account."""

import re
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError

from transcode.aws import clients
from transcode.errors import SettingsError
from transcode.settings import Settings

_ACCOUNT = re.compile(r"/(\d{12})/[^/]+$")


@dataclass(frozen=True)
class Place:
    """A region of an account; the ARNs of what is in it."""

    partition: str
    region: str
    account: str

    @classmethod
    def of(cls, settings: Settings) -> "Place":
        """The place that the settings name; the account stands in the task queue's address.

        Raises:
            SettingsError: it does not.
        """
        found = _ACCOUNT.search(settings.sqs_queue_url)
        if not found:
            raise SettingsError(
                f"SQS_QUEUE_URL={settings.sqs_queue_url} names no account; wanted is an address like "
                "https://sqs.REGION.amazonaws.com/123456789012/NAME."
            )
        try:
            partition = clients.session(settings).get_partition_for_region(settings.aws_region)
        except BotoCoreError:
            partition = "aws"  # a region of an AWS-compatible service
        return cls(partition, settings.aws_region, found[1])

    def queue(self, name: str) -> str:
        """A queue's ARN."""
        return self._arn("sqs", name)

    def topic(self, name: str) -> str:
        """A topic's ARN."""
        return self._arn("sns", name)

    def table(self, name: str) -> str:
        """A table's ARN."""
        return self._arn("dynamodb", f"table/{name}")

    def bucket(self, name: str) -> str:
        """A bucket's ARN."""
        return f"arn:{self.partition}:s3:::{name}"

    def _arn(self, service: str, name: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{name}"
