"""The files of deploy/: made from the code, and what they make is what `provision` makes.

moto runs the template but leaves out what it does not know (queue policies, and some properties of buckets and
tables); the test puts those itself, exactly as the template says.
"""

import json
import re
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from transcode.aws import clients, cloudformation, deploy_files, iam
from transcode.aws.provision import plan
from transcode.aws.provisioning.shapes import Wishes
from transcode.settings import Settings
from workers.mailbox import control_prefix

DEPLOY = Path(deploy_files.__file__).parents[2] / "deploy"
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS..SQS..QueuePolicy")
ORIGIN = "https://farm.example.com"
NAME, INPUT, OUTPUT = "video-farm", "stack-input", "stack-output"
PARAMETERS = {"Name": NAME, "InputBucketName": INPUT, "OutputBucketName": OUTPUT, "AdminOrigin": ORIGIN}
PSEUDO = {"AWS::Partition": "aws", "AWS::Region": "eu-central-1", "AWS::AccountId": "123456789012"}


@pytest.mark.parametrize("name", sorted(deploy_files.files()))
def test_they_are_what_the_code_makes(name: str) -> None:
    found = (DEPLOY / name).read_text()
    assert found == deploy_files.files()[name], "run: python -m transcode.aws.deploy_files"


def test_the_template_is_plain_yaml_and_json() -> None:
    read = yaml.safe_load((DEPLOY / "cloudformation.yaml").read_text())
    assert json.loads(json.dumps(cloudformation.template())) == read
    assert "&id" not in (DEPLOY / "cloudformation.yaml").read_text()


def test_the_names_of_remote_control_follow_from_the_longest_name() -> None:
    longest = cloudformation.template()["Parameters"]["Name"]["MaxLength"]
    assert control_prefix("x" * longest + "-tasks") == "x" * longest + "-tasks-"


@pytest.mark.parametrize("role", iam.ROLES)
def test_a_policy_fits_into_iam(role: str) -> None:
    """A managed policy may have 6,144 characters, white space not counted."""
    assert len(json.dumps(iam.policies(cloudformation.ESTATE)[role], separators=(",", ":"))) < 6144


def resolved(value: Any) -> Any:  # noqa: PLR0911  a line for each of its words
    """What CloudFormation makes of a value."""
    if isinstance(value, list):
        return [resolved(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "Fn::If" in value:
        return resolved(value["Fn::If"][1])
    if "Fn::GetAtt" in value:
        return f"arn:aws:sqs:eu-central-1:123456789012:{name_of(value['Fn::GetAtt'][0])}"
    if "Ref" in value:
        return PARAMETERS[value["Ref"]]
    if "Fn::Sub" in value:
        return re.sub(r"\$\{([^}]+)\}", lambda found: named(found[1]), value["Fn::Sub"])
    return {key: resolved(one) for key, one in value.items()}


def named(what: str) -> str:
    return str((PSEUDO | PARAMETERS).get(what) or resolved({"Fn::GetAtt": what.split(".")}))


def name_of(logical: str) -> str:
    properties = cloudformation.template()["Resources"][logical]["Properties"]
    return str(resolved(properties["QueueName"]))


@pytest.fixture
def stacked(account: Settings) -> Settings:
    """The settings of a farm that a stack of the template has made."""
    session = boto3.Session("a", "b", region_name="eu-central-1")
    client = session.client("cloudformation", endpoint_url=account.aws_endpoint_url)
    client.create_stack(
        StackName="farm", TemplateBody=(DEPLOY / "cloudformation.yaml").read_text(),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in PARAMETERS.items()],
        Capabilities=["CAPABILITY_IAM"],
    )  # fmt: skip
    [stack] = client.describe_stacks(StackName="farm")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    told = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
    found = account.model_copy(
        update={
            "input_bucket": (INPUT,), "output_bucket": OUTPUT, "dynamodb_table": told["DynamodbTable"],
            "sqs_queue_url": told["SqsQueueUrl"], "urgent_queue_url": told["UrgentQueueUrl"],
            "event_queue_url": told["EventQueueUrl"], "callback_queue_url": told["CallbackQueueUrl"],
        }
    )  # fmt: skip
    put_what_moto_leaves_out(found)
    return found


def put_what_moto_leaves_out(found: Settings) -> None:
    resources = cloudformation.template()["Resources"]
    sqs, s3, dynamodb = clients.sqs(found), clients.s3(found), clients.dynamodb(found)
    policy = json.dumps(resolved(resources["EventQueuePolicy"]["Properties"]["PolicyDocument"]))
    sqs.set_queue_attributes(QueueUrl=found.event_queue_url, Attributes={"Policy": policy})
    for logical, bucket in (("InputBucket", INPUT), ("OutputBucket", OUTPUT)):
        said = resolved(resources[logical]["Properties"])
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=said["PublicAccessBlockConfiguration"])
        [rule] = said["LifecycleConfiguration"]["Rules"]
        rules: Any = [{"ID": rule.pop("Id"), "Filter": {}, **rule}]
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    said = resolved(resources["InputBucket"]["Properties"])
    [told] = said["NotificationConfiguration"]["QueueConfigurations"]
    wanted: Any = [{"QueueArn": told["Queue"], "Events": [told["Event"]]}]
    s3.put_bucket_notification_configuration(Bucket=INPUT, NotificationConfiguration={"QueueConfigurations": wanted})
    [pages] = said["CorsConfiguration"]["CorsRules"]
    cors: Any = [{"ID": pages.pop("Id"), "MaxAgeSeconds": pages.pop("MaxAge"), **pages}]
    s3.put_bucket_cors(Bucket=INPUT, CORSConfiguration={"CORSRules": cors})
    said = resources["Table"]["Properties"]
    dynamodb.update_time_to_live(TableName=NAME, TimeToLiveSpecification=said["TimeToLiveSpecification"])
    dynamodb.update_continuous_backups(
        TableName=NAME, PointInTimeRecoverySpecification=said["PointInTimeRecoverySpecification"]
    )


def test_after_the_stack_nothing_is_missing(stacked: Settings) -> None:
    wanted = plan(stacked, Wishes((ORIGIN,), recovery=True))
    assert [step.line for step in wanted.steps] == []


def test_the_topic_is_left_to_provision_alone(stacked: Settings) -> None:
    wanted = plan(stacked, Wishes((ORIGIN,), control_prefix=control_prefix(stacked.queue_name)))
    assert [step.line for step in wanted.steps] == [f"Topic {NAME}-tasks-celery-pidbox: create, for remote control"]


def test_a_stack_beside_existing_buckets_makes_none(account: Settings) -> None:
    session = boto3.Session("a", "b", region_name="eu-central-1")
    client = session.client("cloudformation", endpoint_url=account.aws_endpoint_url)
    given = PARAMETERS | {"CreateBuckets": "no"}
    client.create_stack(
        StackName="farm", TemplateBody=json.dumps(cloudformation.template()), Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
    )  # fmt: skip
    assert clients.s3(account).list_buckets()["Buckets"] == []


@pytest.mark.parametrize("role", iam.ROLES)
def test_the_roles_of_the_stack_have_the_policies_of_the_settings(stacked: Settings, role: str) -> None:
    client = boto3.Session("a", "b", region_name="eu-central-1").client("iam", endpoint_url=stacked.aws_endpoint_url)
    name = role.capitalize()
    [found] = [one for one in client.list_policies(Scope="Local")["Policies"] if f"-{name}Policy-" in one["PolicyName"]]
    made = client.get_policy_version(PolicyArn=found["Arn"], VersionId="v1")["PolicyVersion"]["Document"]
    prefix = control_prefix(stacked.queue_name)
    assert made == iam.policies(iam.Estate.of(stacked, control_prefix=prefix))[role]


@pytest.mark.parametrize("role", iam.PROCESSES)
def test_each_process_has_its_policy_and_no_other(role: str) -> None:
    """moto forgets which policy a role has."""
    resources, name = cloudformation.template()["Resources"], role.capitalize()
    assert resources[f"{name}Role"]["Properties"]["ManagedPolicyArns"] == [{"Ref": f"{name}Policy"}]
    assert resources[f"{name}InstanceProfile"]["Properties"]["Roles"] == [{"Ref": f"{name}Role"}]
