"""What `provision` makes, as a CloudFormation template: from the same shapes, so that the two cannot differ.

The topic of remote control is not in it: CloudFormation tags what it makes, and kombu, which asks SNS for the topic
by name and tags, would be refused. `provision` or the first worker makes it; the worker's policy allows that.
"""

from collections.abc import Iterator
from typing import Any

from transcode.aws import iam, tables
from transcode.aws.place import Place
from transcode.aws.provision import queue_shapes
from transcode.aws.provisioning import shapes

Json = dict[str, Any]

NAMES = shapes.Names("${Name}-tasks", "${Name}-urgent", "${Name}-events", "${Name}-callbacks")
_PLACE = Place("${AWS::Partition}", "${AWS::Region}", "${AWS::AccountId}")
# The names of remote control begin with the task queue's name while that is shorter than 24 characters.
_LONGEST_NAME = 17
ESTATE = iam.Estate(
    _PLACE, ("${InputBucketName}",), "${OutputBucketName}", "${Name}", NAMES, f"{NAMES.task}-dlq", f"{NAMES.task}-"
)
# The names of queues in the template, by what they end with.
_LOGICAL = {
    "-tasks": "TaskQueue", "-urgent": "UrgentQueue", "-events": "EventQueue", "-callbacks": "CallbackQueue",
    "-tasks-dlq": "TaskDeadLetters", "-events-dlq": "EventDeadLetters", "-callbacks-dlq": "CallbackDeadLetters",
}  # fmt: skip
_KEPT = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}


def template() -> Json:
    """The template, as plain data."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Buckets, queues, table and roles of the GPU transcode farm.",
        "Parameters": _parameters(),
        "Conditions": {
            "MakeBuckets": {"Fn::Equals": [{"Ref": "CreateBuckets"}, "yes"]},
            "MakeOutput": {"Fn::And": [
                {"Condition": "MakeBuckets"},
                {"Fn::Not": [{"Fn::Equals": [{"Ref": "InputBucketName"}, {"Ref": "OutputBucketName"}]}]},
            ]},
            "HasAdmin": {"Fn::Not": [{"Fn::Equals": [{"Ref": "AdminOrigin"}, ""]}]},
        },
        "Resources": {**dict(_queues()), **_buckets(), "Table": _table(), **dict(_roles())},
        "Outputs": _outputs(),
    }  # fmt: skip


def _parameters() -> Json:
    return {
        "Name": {
            "Type": "String", "Default": "transcode", "AllowedPattern": "[a-z0-9-]+", "MinLength": 3,
            "MaxLength": _LONGEST_NAME, "Description": "The table's name, and what the queues' names begin with",
        },
        "InputBucketName": {"Type": "String", "Description": "Bucket whose uploads are transcoded"},
        "OutputBucketName": {"Type": "String", "Description": "Bucket that gets the renditions"},
        "CreateBuckets": {
            "Type": "String", "Default": "yes", "AllowedValues": ["yes", "no"],
            "Description": "no: the buckets exist; then `transcode provision` sets their notification and rules",
        },
        "AdminOrigin": {
            "Type": "String", "Default": "",
            "Description": "Origin of the web admin, like https://farm.example.com, for uploads from the browser",
        },
    }  # fmt: skip


def _sub(value: Any) -> Any:
    """Names in braces are CloudFormation's to fill in."""
    if isinstance(value, dict):
        return {key: _sub(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_sub(inner) for inner in value]
    return {"Fn::Sub": value} if isinstance(value, str) and "${" in value else value


def _logical(name: str) -> str:
    return _LOGICAL[name.removeprefix("${Name}")]


def _arn(logical: str) -> Json:
    return {"Fn::GetAtt": [logical, "Arn"]}


def _queues() -> Iterator[tuple[str, Json]]:
    for shape in queue_shapes(NAMES):
        yield _logical(shape.dead), _queue(shape.dead, {"MessageRetentionPeriod": shapes.RETENTION})
        yield _logical(shape.name), _queue(shape.name, shape.timers | _redrive(shape))
    statement = shapes.send_statement("${EventQueue.Arn}", [_PLACE.bucket("${InputBucketName}")], _PLACE.account)
    document = {"Version": "2012-10-17", "Statement": [_sub(statement)]}
    policy = {"Queues": [{"Ref": "EventQueue"}], "PolicyDocument": document}
    yield "EventQueuePolicy", {"Type": "AWS::SQS::QueuePolicy", "Properties": policy}


def _queue(name: str, attributes: Json) -> Json:
    properties = {"QueueName": _sub(name), "SqsManagedSseEnabled": True, **attributes}
    return {"Type": "AWS::SQS::Queue", "Properties": properties}


def _redrive(shape: shapes.QueueShape) -> Json:
    target = _arn(_logical(shape.dead))
    return {"RedrivePolicy": {"deadLetterTargetArn": target, "maxReceiveCount": shape.receives}}


def _buckets() -> Json:
    told = {"QueueConfigurations": [{"Event": shapes.CREATED, "Queue": _arn("EventQueue")}]}
    # The same words as S3's, but for these two.
    other = {"ID": "Id", "MaxAgeSeconds": "MaxAge"}
    rule = {other.get(name, name): value for name, value in shapes.cors_rule(("${AdminOrigin}",)).items()}
    pages = {"Fn::If": ["HasAdmin", {"CorsRules": [_sub(rule)]}, {"Ref": "AWS::NoValue"}]}
    taking = {"NotificationConfiguration": told, "CorsConfiguration": pages}
    return {
        # S3 looks at the queue's policy when it is to notify.
        "InputBucket": {"DependsOn": "EventQueuePolicy"} | _bucket("InputBucketName", "MakeBuckets", taking),
        "OutputBucket": _bucket("OutputBucketName", "MakeOutput", {}),
    }


def _bucket(parameter: str, condition: str, more: Json) -> Json:
    abort = {
        "Id": shapes.OURS,
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": shapes.ABORT_AFTER},
    }
    properties = {
        "BucketName": {"Ref": parameter},
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": dict(shapes.SSE)}]
        },
        "PublicAccessBlockConfiguration": dict.fromkeys(shapes.BLOCKED, True),
        "LifecycleConfiguration": {"Rules": [abort]},
        **more,
    }
    return {"Type": "AWS::S3::Bucket", "Condition": condition, **_KEPT, "Properties": properties}


def _table() -> Json:
    properties = {
        "TableName": {"Ref": "Name"},
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": tables.KEY,
        "AttributeDefinitions": list(tables.ATTRIBUTES),
        "GlobalSecondaryIndexes": [*map(tables.index, tables.INDEXES)],
        "TimeToLiveSpecification": {"AttributeName": tables.TTL, "Enabled": True},
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    }
    return {"Type": "AWS::DynamoDB::Table", **_KEPT, "Properties": properties}


def _roles() -> Iterator[tuple[str, Json]]:
    for role, policy in iam.policies(ESTATE).items():
        name = role.capitalize()
        yield f"{name}Policy", {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": _sub(policy)}}
        if role not in iam.PROCESSES:
            continue
        assumed = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ],
        }
        attached = {"AssumeRolePolicyDocument": assumed, "ManagedPolicyArns": [{"Ref": f"{name}Policy"}]}
        yield f"{name}Role", {"Type": "AWS::IAM::Role", "Properties": attached}
        profile = {"Roles": [{"Ref": f"{name}Role"}]}
        yield f"{name}InstanceProfile", {"Type": "AWS::IAM::InstanceProfile", "Properties": profile}


def _outputs() -> Json:
    """What goes into `config.env`, and what an instance is started with."""
    urls = {
        "SqsQueueUrl": "TaskQueue", "UrgentQueueUrl": "UrgentQueue", "EventQueueUrl": "EventQueue",
        "CallbackQueueUrl": "CallbackQueue",
    }  # fmt: skip
    profiles = [f"{role.capitalize()}InstanceProfile" for role in iam.PROCESSES]
    return {
        **{name: {"Value": {"Ref": logical}} for name, logical in urls.items()},
        "DynamodbTable": {"Value": {"Ref": "Table"}},
        **{name: {"Value": {"Ref": name}} for name in [*profiles, "OperatorPolicy"]},
    }
