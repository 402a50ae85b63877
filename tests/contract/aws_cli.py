"""Stands in for the AWS CLI, which is no Python package of ours: its words, over botocore, to AWS_ENDPOINT_URL.

It knows what deploy/aws-cli.md uses: options named like the API's members, values as text, JSON, `file://` or
shorthand (`A=1,B=true`), `--query`, `--output text`, `wait`. Anything else is an error.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import boto3
import jmespath

_SERVICES = {"s3api": "s3"}


def main(words: list[str]) -> None:
    """Run one command."""
    service, operation, options = words[0], words[1], words[2:]
    session = boto3.Session("a", "b", region_name=os.environ["AWS_REGION"])
    client: Any = session.client(_SERVICES.get(service, service), endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    if operation == "wait":
        model = client.meta.service_model.operation_model("DescribeTable")
        client.get_waiter(options[0].replace("-", "_")).wait(**arguments(model, options[1:])[0])
        return
    method = operation.replace("-", "_")
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    given, query = arguments(model, options)
    answer = getattr(client, method)(**given)
    if query:
        sys.stdout.write(f"{jmespath.search(query, answer)}\n")


def arguments(model: Any, options: list[str]) -> tuple[dict[str, Any], str]:
    """The arguments of a call, and the query."""
    members = {name.lower(): (name, shape) for name, shape in model.input_shape.members.items()}
    given, query = {}, ""
    for option, text in zip(options[::2], options[1::2], strict=True):
        if option in ("--query", "--output"):
            query = text if option == "--query" else query
            continue
        name, shape = members[option.removeprefix("--").replace("-", "").lower()]
        given[name] = value(shape, text)
    return given, query


def value(shape: Any, text: str) -> Any:
    """A value as the API takes it."""
    if text.startswith("file://"):
        text = Path(text.removeprefix("file://")).read_text()
    if shape.type_name == "string":
        return text
    if text.lstrip()[:1] in ("{", "["):
        return json.loads(text)
    pairs = dict(pair.split("=", 1) for pair in text.split(","))
    return {
        k: {"true": True, "false": False}.get(v, v) if shape.type_name == "structure" else v for k, v in pairs.items()
    }


if __name__ == "__main__":
    main(sys.argv[1:])
