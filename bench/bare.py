"""The calls of AWS that nobody can do without, made with boto3 as it comes."""

import time
from concurrent.futures import ThreadPoolExecutor

from transcode import events
from transcode import task as records
from transcode.aws import clients
from transcode.aws.records import attributes
from transcode.aws.s3 import S3Storage
from transcode.settings import Settings

BUCKET = "flow-input"


class Bare:
    """One caller."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._storage = settings, S3Storage(settings)
        self._dynamodb, self._sqs = clients.dynamodb(settings), clients.sqs(settings)
        # As long as what Celery sends.
        self._body = "x" * 900

    def two(self) -> None:
        """A record and its message."""
        self._submit("holiday/beach.mp4")

    def three(self, key: str) -> None:
        """Also the look at the object."""
        self._storage.head(BUCKET, key)
        self._submit(key)

    def events(self, count: int, at_once: int) -> None:
        """Receive so many events, ten with each call, submit so many at once, and delete what was received together."""
        url = self._settings.event_queue_url
        while count > 0:
            found = self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)["Messages"]
            with ThreadPoolExecutor(at_once) as pool:
                list(pool.map(self._submit, [upload.key for one in found for upload in events.read(one["Body"])]))
            done = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(found)]
            self._sqs.delete_message_batch(QueueUrl=url, Entries=done)  # type: ignore[arg-type]
            count -= len(found)

    def take(self) -> None:
        """Receive a task's message and delete it."""
        url = self._settings.sqs_queue_url
        [found] = self._sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)["Messages"]
        self._sqs.delete_message(QueueUrl=url, ReceiptHandle=found["ReceiptHandle"])

    def _submit(self, key: str) -> None:
        now = time.time()
        task = records.made(
            records.new_id(now), now, input_bucket=BUCKET, input_key=key, output_bucket="flow-output",
            transcode_types=("mp4_smooth", "thumbnail"),
        )  # fmt: skip
        self._dynamodb.put_item(
            TableName=self._settings.dynamodb_table, Item=attributes(task),
            ConditionExpression="attribute_not_exists(task_id)",
        )  # fmt: skip
        self._sqs.send_message(QueueUrl=self._settings.sqs_queue_url, MessageBody=self._body)
