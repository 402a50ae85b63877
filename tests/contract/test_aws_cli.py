"""The steps by hand of deploy/aws-cli.md, run as they stand there by a shell: afterwards nothing is missing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from transcode.aws import clients, iam, provision
from transcode.aws.provisioning.shapes import Wishes
from transcode.settings import Settings
from workers.mailbox import control_prefix

ROOT = Path(__file__).parents[2]
DOCS = ("aws-cli.md", "aws-cli.zh-CN.md")


def blocks(name: str) -> list[str]:
    return re.findall(r"```bash\n(.*?)```", (ROOT / "deploy" / name).read_text(), re.DOTALL)


def by_hand(account: Settings, folder: Path) -> dict[str, str]:
    """Run all blocks in one shell; the settings that they write."""
    stand_in = folder / "bin" / "aws"
    stand_in.parent.mkdir()
    stand_in.write_text(f'#!/bin/sh\nexec {sys.executable} -W ignore {ROOT}/tests/contract/aws_cli.py "$@"\n')
    stand_in.chmod(0o755)
    (folder / "deploy").symlink_to(ROOT / "deploy")
    environment = {"PATH": f"{stand_in.parent}:{os.environ['PATH']}", "AWS_ENDPOINT_URL": account.aws_endpoint_url}
    script = "set -euo pipefail\n" + "\n".join(blocks(DOCS[0]))
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in (folder / "config.env").read_text().splitlines())


def test_after_the_steps_by_hand_nothing_is_missing(account: Settings, tmp_path: Path) -> None:
    told = {name.lower(): value for name, value in by_hand(account, tmp_path).items()}
    told["input_bucket"] = (told["input_bucket"],)  # type: ignore[assignment]
    found = account.model_copy(update=told)
    prefix = control_prefix(found.queue_name)
    wishes = Wishes(("https://farm.example.com",), control_prefix=prefix, recovery=True)
    assert [step.line for step in provision.plan(found, wishes).steps] == []
    client = clients.session(found).client("iam", endpoint_url=found.aws_endpoint_url)
    made = {one["PolicyName"]: one["Arn"] for one in client.list_policies(Scope="Local")["Policies"]}
    for role, policy in iam.policies(iam.Estate.of(found, control_prefix=prefix)).items():
        version = client.get_policy_version(PolicyArn=made[f"transcode-{role}"], VersionId="v1")
        assert version["PolicyVersion"]["Document"] == policy
        if role == iam.PEOPLE:
            continue
        [attached] = client.list_attached_role_policies(RoleName=f"transcode-{role}")["AttachedPolicies"]
        assert attached["PolicyArn"] == made[f"transcode-{role}"]


@pytest.mark.parametrize("name", DOCS)
def test_both_languages_have_the_same_commands(name: str) -> None:
    def commands(text: str) -> list[str]:
        return [re.sub(r" +#.*", "", line) for line in text.splitlines()]

    assert [commands(b) for b in blocks(name)] == [commands(b) for b in blocks(DOCS[0])]
