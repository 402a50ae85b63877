"""`transcode provision`: shows what is missing in AWS, makes it, and prints the policies of the roles."""

import json
from dataclasses import replace
from typing import Any

from transcode import settings
from transcode.aws import clients, iam
from transcode.aws.provision import plan, provision
from transcode.aws.provisioning import queues
from transcode.aws.provisioning.shapes import Wishes
from transcode.errors import TranscodeError
from transcode.settings import Settings
from workers.mailbox import control_prefix


def run(wishes: Wishes, *, dry_run: bool, as_json: bool) -> int:
    """Make what is missing, or only say what it is.

    Args:
        wishes: what the settings do not say.
        dry_run: change nothing.
        as_json: for programs; else each line comes when it is done.
    """
    found = settings.load()
    wishes = replace(wishes, control_prefix=_prefix(found))
    shown = _planned(found, wishes) if dry_run else _done(found, wishes, as_json=as_json)
    if as_json:
        print(json.dumps(shown, ensure_ascii=False, indent=2))
        return 0
    if dry_run:
        print(*(f"To do: {line}" for line in shown["steps"]), sep="\n", end="\n" if shown["steps"] else "")
    for line in shown["remarks"]:
        print(f"Note: {line}")
    print(_verdict(shown))
    return 0


def policies() -> int:
    """Print the policy of each role."""
    found = settings.load()
    estate = iam.Estate.of(found, _dead(found), _prefix(found))
    print(json.dumps(iam.policies(estate), indent=2))
    return 0


def _prefix(found: Settings) -> str:
    return control_prefix(found.queue_name) if found.remote_control else ""


def _planned(found: Settings, wishes: Wishes) -> dict[str, Any]:
    wanted = plan(found, wishes)
    return {"applied": False, "steps": [step.line for step in wanted.steps], "remarks": wanted.remarks}


def _done(found: Settings, wishes: Wishes, *, as_json: bool) -> dict[str, Any]:
    made = provision(found, wishes=wishes, tell=(lambda _: None) if as_json else (lambda line: print(line, flush=True)))
    return {
        "applied": True, "steps": made.steps, "remarks": made.remarks, "task_queue_url": made.task_queue_url,
        "event_queue_url": made.event_queue_url,
    }  # fmt: skip


def _verdict(shown: dict[str, Any]) -> str:
    if not shown["steps"]:
        return "Everything is there already."
    return "Everything is there now." if shown["applied"] else "Nothing was changed."


def _dead(found: Settings) -> str:
    """The name of the dead-letter queue that the task queue has; empty where AWS does not tell."""
    try:
        return queues.dead_letters(clients.sqs(found), found.queue_name)
    except TranscodeError:
        return ""
