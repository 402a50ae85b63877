"""The SNS topic that carries `celery inspect` and `control`, made before the first worker asks for it.

kombu 5.7 asks for it with CreateTopic each time a process starts, which finds one that is there only when it has
the very tags that kombu gives: so it has them.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from transcode.aws import faults
from transcode.aws.provisioning.shapes import TOPIC_TAGS
from transcode.aws.provisioning.steps import Finding, Step

if TYPE_CHECKING:
    from types_boto3_sns import SNSClient


def find(sns: "SNSClient", arn: str) -> Iterator[Finding]:
    """The step that makes the topic, where it is missing."""
    name = arn.rsplit(":", 1)[-1]
    with faults.told("sns:GetTopicAttributes", f"topic {name}"):
        try:
            sns.get_topic_attributes(TopicArn=arn)
        except ClientError as exc:
            if not faults.is_missing(exc):
                raise
            yield Step(f"Topic {name}: create, for remote control", lambda _: _create(sns, name))


def _create(sns: "SNSClient", name: str) -> None:
    tags: Any = [{"Key": key, "Value": value} for key, value in TOPIC_TAGS.items()]
    with faults.told("sns:CreateTopic", f"topic {name}"):
        sns.create_topic(Name=name, Attributes={"FifoTopic": "false"}, Tags=tags)
