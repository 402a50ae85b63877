"""The files of `deploy/` that are made from the code: `python -m transcode.aws.deploy_files` writes them."""

import json
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from transcode.aws import cloudformation, iam
from transcode.aws.place import Place
from transcode.aws.provisioning.shapes import Names

_ROOT = Path(__file__).parents[2] / "deploy"
# Filled in by `envsubst`: variables of the shell that deploy/aws-cli.md sets.
_ESTATE = iam.Estate(
    Place("${PARTITION}", "${AWS_REGION}", "${ACCOUNT}"), ("${INPUT_BUCKET}",), "${OUTPUT_BUCKET}", "${NAME}",
    Names("${NAME}-tasks", "${NAME}-urgent", "${NAME}-events", "${NAME}-callbacks"), "${NAME}-tasks-dlq",
    "${NAME}-tasks-",
)  # fmt: skip


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        """CloudFormation's YAML has none."""
        return True


def as_yaml(found: dict[str, Any]) -> str:
    """As CloudFormation reads it, in the order given."""
    text: str = yaml.dump(found, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return text


def files() -> dict[str, str]:
    """Name to text."""
    head = "# Made by `python -m transcode.aws.deploy_files`; a test holds it to what `transcode provision` makes.\n"
    made = {f"iam/{role}.json": json.dumps(policy, indent=2) + "\n" for role, policy in iam.policies(_ESTATE).items()}
    return {"cloudformation.yaml": head + as_yaml(cloudformation.template()), **made}


def write() -> None:
    """Write them."""
    for name, text in files().items():
        (_ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (_ROOT / name).write_text(text)


if __name__ == "__main__":
    write()
