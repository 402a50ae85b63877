"""`provision`: what it makes works together, and doing it again changes nothing."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.transport.SQS.SNS import SNS

from tests.contract.conftest import INPUT, OUTPUT, TABLE, Line
from transcode import events
from transcode.aws import clients
from transcode.aws import provision as module
from transcode.aws.place import Place
from transcode.aws.provision import Provisioned, plan, provision
from transcode.aws.provisioning.shapes import TOPIC_TAGS, Wishes
from transcode.aws.sqs import EventQueue
from transcode.errors import ServiceUnavailable, SettingsError
from transcode.events import Upload
from transcode.settings import Settings


def attributes(settings: Settings, name: str) -> dict[str, Any]:
    client = clients.sqs(settings)
    url = client.get_queue_url(QueueName=name)["QueueUrl"]
    return {**client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]}


def test_everything_is_made_and_told(account: Settings) -> None:
    done = provision(account)
    assert done.task_queue_url.endswith("/transcode-tasks")
    assert done.event_queue_url.endswith("/transcode-events")
    told = " ".join(done.steps)
    for name in (INPUT, OUTPUT, TABLE, "transcode-tasks-dlq", "transcode-events-dlq"):
        assert name in told


def test_doing_it_again_changes_nothing(account: Settings, provisioned: Provisioned) -> None:
    again = provision(account)
    assert again.steps == []
    assert (again.task_queue_url, again.event_queue_url) == (provisioned.task_queue_url, provisioned.event_queue_url)


def test_an_upload_is_told_to_the_event_queue(account: Settings, provisioned: Provisioned) -> None:
    clients.s3(account).put_object(Bucket=INPUT, Key="视频/a b+c.mp4", Body=b"hello")
    found = [u for m in EventQueue(account).receive(0) for u in events.read(m.body)]
    uploads = [u for u in found if isinstance(u, Upload)]
    assert [(u.bucket, u.key, u.size) for u in uploads] == [(INPUT, "视频/a b+c.mp4", 5)]


@pytest.mark.parametrize("name", ["transcode-tasks", "transcode-events"])
def test_queues_have_their_timers_and_a_dead_letter_queue(
    account: Settings, provisioned: Provisioned, name: str
) -> None:
    found = attributes(account, name)
    policy = json.loads(found["RedrivePolicy"])
    assert (found["VisibilityTimeout"], found["ReceiveMessageWaitTimeSeconds"]) == ("90", "20")
    assert found["MessageRetentionPeriod"] == "1209600"
    assert int(policy["maxReceiveCount"]) == 10
    assert policy["deadLetterTargetArn"].endswith(f":{name}-dlq")


def test_an_existing_queue_keeps_what_suffices(account: Settings) -> None:
    client = clients.sqs(account)
    client.create_queue(QueueName="own-dlq")
    policy = {"deadLetterTargetArn": attributes(account, "own-dlq")["QueueArn"], "maxReceiveCount": "5"}
    client.create_queue(
        QueueName="transcode-tasks", Attributes={"VisibilityTimeout": "3600", "RedrivePolicy": json.dumps(policy)}
    )
    provision(account)
    found = attributes(account, "transcode-tasks")
    assert found["VisibilityTimeout"] == "3600"
    assert json.loads(found["RedrivePolicy"])["deadLetterTargetArn"].endswith(":own-dlq")
    assert found["ReceiveMessageWaitTimeSeconds"] == "20"


def test_only_s3_for_our_buckets_and_account_may_send(account: Settings, provisioned: Provisioned) -> None:
    [statement] = json.loads(attributes(account, "transcode-events")["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}
    assert statement["Condition"]["ArnEquals"] == {"aws:SourceArn": [f"arn:aws:s3:::{INPUT}"]}


def test_a_queue_policy_of_others_stays(account: Settings, provisioned: Provisioned) -> None:
    theirs = {
        "Sid": "theirs", "Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sqs:SendMessage",
        "Resource": "*",
    }  # fmt: skip
    policy = {"Version": "2012-10-17", "Statement": [theirs]}
    clients.sqs(account).set_queue_attributes(
        QueueUrl=provisioned.event_queue_url, Attributes={"Policy": json.dumps(policy)}
    )
    provision(account)
    statements = json.loads(attributes(account, "transcode-events")["Policy"])["Statement"]
    assert [s["Sid"] for s in statements] == ["theirs", "gpu-transcode-farm"]


def test_notifications_of_others_stay(account: Settings) -> None:
    client = clients.s3(account)
    client.create_bucket(Bucket=INPUT, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    other = clients.sqs(account).create_queue(QueueName="others")["QueueUrl"]
    arn = attributes(account, "others")["QueueArn"]
    theirs: Any = {"Id": "theirs", "QueueArn": arn, "Events": ["s3:ObjectRemoved:*"]}
    client.put_bucket_notification_configuration(
        Bucket=INPUT, NotificationConfiguration={"QueueConfigurations": [theirs]}
    )
    provision(account)
    rules = client.get_bucket_notification_configuration(Bucket=INPUT)["QueueConfigurations"]
    assert other
    assert [r["Id"] for r in rules] == ["theirs", "gpu-transcode-farm"]


def test_uploads_that_nobody_completed_are_cleaned_beside_the_rules_of_others(account: Settings) -> None:
    client = clients.s3(account)
    client.create_bucket(Bucket=OUTPUT, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    theirs: Any = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 30}}
    client.put_bucket_lifecycle_configuration(Bucket=OUTPUT, LifecycleConfiguration={"Rules": [theirs]})
    provision(account)
    first, ours = client.get_bucket_lifecycle_configuration(Bucket=OUTPUT)["Rules"]
    assert first["ID"] == "theirs"
    assert ours["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert not any("uploads" in step for step in provision(account).steps)


def test_without_an_event_queue_the_task_queue_is_told(account: Settings) -> None:
    done = provision(account.model_copy(update={"event_queue_url": ""}))
    assert done.event_queue_url == done.task_queue_url
    [rule] = clients.s3(account).get_bucket_notification_configuration(Bucket=INPUT)["QueueConfigurations"]
    assert rule["QueueArn"].endswith(":transcode-tasks")


def test_an_urgent_queue_shares_the_dead_letter_queue(account: Settings) -> None:
    url = account.sqs_queue_url.replace("transcode-tasks", "transcode-urgent")
    provision(account.model_copy(update={"urgent_queue_url": url}))
    redrive = [json.loads(attributes(account, f"transcode-{name}")["RedrivePolicy"]) for name in ("tasks", "urgent")]
    assert redrive[0]["deadLetterTargetArn"] == redrive[1]["deadLetterTargetArn"]


def test_names_of_queues_can_be_given(account: Settings) -> None:
    done = provision(account, task_queue="jobs", event_queue="news")
    assert done.task_queue_url.endswith("/jobs")
    assert done.event_queue_url.endswith("/news")


def test_the_table_is_exactly_as_existing_ones(account: Settings, provisioned: Provisioned) -> None:
    client = clients.dynamodb(account)
    table = client.describe_table(TableName=TABLE)["Table"]
    assert table["KeySchema"] == [{"AttributeName": "task_id", "KeyType": "HASH"}]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    indexes = {i["IndexName"]: i for i in table["GlobalSecondaryIndexes"]}
    keys = {name: [k["AttributeName"] for k in i["KeySchema"]] for name, i in indexes.items()}
    assert keys == {"date-index": ["date_partition", "created_at"], "status-index": ["status", "created_at"]}
    assert {i["Projection"]["ProjectionType"] for i in indexes.values()} == {"ALL"}
    ttl = client.describe_time_to_live(TableName=TABLE)["TimeToLiveDescription"]
    assert (ttl["TimeToLiveStatus"], ttl["AttributeName"]) == ("ENABLED", "expires_at")


def test_a_table_of_another_key_is_refused_before_anything_is_made(account: Settings) -> None:
    clients.dynamodb(account).create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    with pytest.raises(SettingsError, match="another key"):
        provision(account)
    assert clients.s3(account).list_buckets()["Buckets"] == []


# What every call that only looks begins with.
LOOKS = ("Head", "Get", "List", "Describe")


def test_a_plan_looks_and_changes_nothing(account: Settings, made_calls: list[str]) -> None:
    wishes = Wishes(("https://farm.example.com",), control_prefix="transcode-tasks-", recovery=True)
    wanted = plan(account, wishes)
    assert [name for name in made_calls if not name.startswith(LOOKS)] == []
    done = provision(account, wishes=wishes)
    assert [step.line for step in wanted.steps] == done.steps
    assert any(not name.startswith(LOOKS) for name in made_calls)
    assert plan(account, wishes).steps == ()


def test_each_line_is_told_when_it_is_done(account: Settings, made_calls: list[str]) -> None:
    told: list[tuple[str, int]] = []
    done = provision(account, tell=lambda line: told.append((line, len(made_calls))))
    assert [line for line, _ in told] == done.steps
    counts = [count for _, count in told]
    assert counts == sorted(set(counts)), "each step makes a call before it is told"


@pytest.mark.parametrize("bucket", [INPUT, OUTPUT])
def test_buckets_are_encrypted_closed_and_cleaned(account: Settings, provisioned: Provisioned, bucket: str) -> None:
    client = clients.s3(account)
    [rule] = client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert set(client.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()) == {True}
    [cleaning] = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert cleaning["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}


def test_another_key_and_a_public_bucket_are_left_and_told(account: Settings, provisioned: Provisioned) -> None:
    client = clients.s3(account)
    key: Any = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k"}}]}
    client.put_bucket_encryption(Bucket=OUTPUT, ServerSideEncryptionConfiguration=key)
    client.delete_public_access_block(Bucket=OUTPUT)
    client.put_bucket_acl(Bucket=OUTPUT, ACL="public-read")
    again = provision(account)
    assert again.steps == []
    assert [line for line in again.remarks if "kms:GenerateDataKey" in line]
    assert [line for line in again.remarks if "not wholly closed" in line]
    client.put_bucket_acl(Bucket=OUTPUT, ACL="private")
    assert provision(account).steps == [f"Bucket {OUTPUT}: close it to the public"]


class TestPagesThatUpload:
    def rules(self, account: Settings) -> list[Any]:
        return [*clients.s3(account).get_bucket_cors(Bucket=INPUT)["CORSRules"]]

    def test_without_an_origin_a_remark_says_so(self, account: Settings, provisioned: Provisioned) -> None:
        assert [line for line in provisioned.remarks if "--admin-origin" in line]

    def test_the_admin_may_post_beside_the_rules_of_others(self, account: Settings, provisioned: Provisioned) -> None:
        theirs: Any = {"ID": "theirs", "AllowedOrigins": ["https://else.example.com"], "AllowedMethods": ["GET"]}
        clients.s3(account).put_bucket_cors(Bucket=INPUT, CORSConfiguration={"CORSRules": [theirs]})
        provision(account, wishes=Wishes(("https://old.example.com",)))
        provision(account, wishes=Wishes(("https://farm.example.com",)))
        first, ours = self.rules(account)
        assert first["ID"] == "theirs"
        assert (ours["AllowedOrigins"], ours["AllowedMethods"]) == (["https://farm.example.com"], ["POST"])
        again = provision(account)
        assert (again.steps, [line for line in again.remarks if "CORS" in line]) == ([], [])

    @pytest.mark.parametrize("origin", ["farm.example.com", "https://farm.example.com/admin", "*", "file:///"])
    def test_what_is_no_origin_is_refused(self, origin: str) -> None:
        with pytest.raises(SettingsError, match="no origin"):
            Wishes((origin,))


def test_the_queue_of_callbacks_is_patient(account: Settings) -> None:
    url = account.sqs_queue_url.replace("transcode-tasks", "transcode-callbacks")
    provision(account.model_copy(update={"callback_queue_url": url}))
    found = attributes(account, "transcode-callbacks")
    policy = json.loads(found["RedrivePolicy"])
    assert (found["VisibilityTimeout"], int(policy["maxReceiveCount"])) == ("60", 1000)
    assert policy["deadLetterTargetArn"].endswith(":transcode-callbacks-dlq")


def test_queues_are_encrypted_and_dead_letters_are_kept_long(account: Settings) -> None:
    client = clients.sqs(account)
    for name in ("transcode-tasks", "transcode-tasks-dlq"):
        client.create_queue(QueueName=name, Attributes={"SqsManagedSseEnabled": "false"})
    provision(account)
    for name in ("transcode-tasks", "transcode-tasks-dlq"):
        found = attributes(account, name)
        assert (found["SqsManagedSseEnabled"], found["MessageRetentionPeriod"]) == ("true", "1209600")


def test_an_urgent_queue_takes_the_dead_letter_queue_that_the_task_queue_has(account: Settings) -> None:
    client = clients.sqs(account)
    client.create_queue(QueueName="own-dlq")
    policy = {"deadLetterTargetArn": attributes(account, "own-dlq")["QueueArn"], "maxReceiveCount": "5"}
    client.create_queue(QueueName="transcode-tasks", Attributes={"RedrivePolicy": json.dumps(policy)})
    url = account.sqs_queue_url.replace("transcode-tasks", "transcode-urgent")
    done = provision(account.model_copy(update={"urgent_queue_url": url}))
    assert json.loads(attributes(account, "transcode-urgent")["RedrivePolicy"])["deadLetterTargetArn"].endswith(
        ":own-dlq"
    )
    assert not any("transcode-tasks-dlq" in line for line in done.steps)


def topic_tags(account: Settings) -> dict[str, str]:
    arn = Place.of(account).topic("transcode-tasks-celery-pidbox")
    return {tag["Key"]: tag["Value"] for tag in clients.sns(account).list_tags_for_resource(ResourceArn=arn)["Tags"]}


def test_the_topic_of_remote_control_is_made_once(account: Settings, provisioned: Provisioned) -> None:
    wishes = Wishes(control_prefix="transcode-tasks-")
    step = "Topic transcode-tasks-celery-pidbox: create, for remote control"
    assert provision(account, wishes=wishes).steps == [step]
    assert provision(account, wishes=wishes).steps == []
    assert topic_tags(account) == TOPIC_TAGS


def test_kombu_gives_the_topic_the_same_tags(account: Settings) -> None:
    """Where they differ, SNS refuses kombu a topic that is there."""
    fanout = SNS(SimpleNamespace(canonical_queue_name=lambda _: "transcode-tasks-celery-pidbox"))
    fanout._client = clients.sns(account)
    fanout._create_sns_topic("celery.pidbox")
    assert topic_tags(account) == TOPIC_TAGS


class TestNotificationRefusals:
    """S3 looks at the queue's policy, and at the bucket's other rules; moto does neither."""

    def answered(self, monkeypatch: pytest.MonkeyPatch, account: Settings, line: type[Line], words: str) -> Line:
        client = clients.s3(account)
        monkeypatch.setattr(module.clients, "s3", lambda _: client)
        found = line(client)
        body = f"<Error><Code>InvalidArgument</Code><Message>{words}</Message></Error>"
        found.answer("PutBucketNotificationConfiguration", 400, body.encode())
        return found

    def test_a_policy_that_is_not_seen_yet_is_waited_for(
        self, monkeypatch: pytest.MonkeyPatch, account: Settings, line: type[Line]
    ) -> None:
        found = self.answered(monkeypatch, account, line, "Unable to validate the following destination configurations")
        waits: list[float] = []
        with pytest.raises(ServiceUnavailable, match="InvalidArgument"):
            provision(account, sleep=waits.append)
        assert len(waits) == 12
        assert found.calls.count("PutBucketNotificationConfiguration") == 13

    def test_a_rule_in_the_way_is_explained(
        self, monkeypatch: pytest.MonkeyPatch, account: Settings, line: type[Line]
    ) -> None:
        self.answered(
            monkeypatch, account, line, "Configurations overlap. Configurations on the same bucket cannot share"
        )
        with pytest.raises(SettingsError, match=f"INPUT_BUCKET={INPUT} tells another"):
            provision(account, sleep=lambda _: None)
