"""Those who use the farm: they upload, add by the API, cancel, retry and purge, and remember what was promised.

Uploads go to the bucket past the proxy, as a user's tool would; S3 tells of them, at times more than once.
"""

import hashlib
import json
import random
import subprocess
import sys
import time
import urllib.error
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.soak.farm import SoakFarm
from tests.soak.history import Violation
from tests.soak.recipes import KINDS, REAL_KINDS, Recipe
from transcode.aws import clients
from transcode.task import upload_id

_BUCKET = "flow-input"
# Tasks under way at once: moto slows with more, and a deep queue hides faults.
_UNDER_WAY = 18
# Chances per new task: its event comes again; an older upload is replaced; somebody cancels, retries.
_AGAIN, _REPLACED, _CANCEL, _RETRY = 0.25, 0.05, 0.08, 0.06
# Shares of the round after which somebody purges, by the API and by Celery's own command.
_PURGES = {0.35: "api", 0.7: "celery"}
# Seconds between tries of a client whose request failed, and how often it tries.
_REST, _TRIES = 0.5, 60
# Broken promises after which the round has shown what it can show.
_ENOUGH = 20


@dataclass(frozen=True)
class Asked:
    """One task that was accepted: 200 by the API, or an upload that S3 has told of."""

    task: str
    key: str
    kind: str
    by_event: bool


@dataclass
class People:
    """One round's users. `run` returns when all tasks are asked for."""

    farm: SoakFarm
    dice: random.Random
    tasks: int
    asked: list[Asked] = field(default_factory=list)
    did: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._s3 = clients.s3(self.farm.settings)
        self._purges = dict(_PURGES)

    def run(self) -> None:
        """Ask for all tasks of the round."""
        while len(self.asked) < self.tasks and len(self.violations) < _ENOUGH:
            if self._under_way() < _UNDER_WAY:
                self._ask()
            else:
                time.sleep(0.2)
            self._meddle()

    def _under_way(self) -> int:
        return len(self.asked) - sum(self._over(asked.task) for asked in self.asked)

    def _over(self, task: str) -> bool:
        return self._status(task) in ("completed", "failed", "cancelled")

    def _status(self, task: str) -> str:
        return str(self.farm.history.records.get(task, {}).get("status", ""))

    def _ask(self) -> None:
        recipe = Recipe.draw(self.dice, REAL_KINDS if self.farm.real else KINDS)
        number = len(self.asked)
        if self.dice.random() < 0.4:
            return self._add(f"by-api/{number:05}-{recipe.kind}.bin", recipe)
        events = [a for a in self.asked if a.by_event]
        if events and self.dice.random() < _REPLACED:
            self.did["upload replaced"] += 1
            return self._upload(self.dice.choice(events).key, recipe)
        return self._upload(f"by event/{number:05}-{recipe.kind}.mp4", recipe)

    def _upload(self, key: str, recipe: Recipe) -> None:
        clip = self.farm.clip(recipe)
        etag = hashlib.md5(clip).hexdigest()
        self._s3.put_object(Bucket=_BUCKET, Key=key, Body=clip)
        self.asked.append(Asked(upload_id(_BUCKET, key, etag), key, recipe.kind, by_event=True))
        self.did["upload"] += 1
        if self.dice.random() < _AGAIN:
            self._tell_again(key, etag, len(clip))
        if recipe.kind == "gone":
            self._s3.delete_object(Bucket=_BUCKET, Key=key)

    def _tell_again(self, key: str, etag: str, size: int) -> None:
        found = {"key": key.replace(" ", "+"), "size": size, "eTag": etag}
        record = {
            "eventName": "ObjectCreated:Put", "eventTime": "2025-01-15T09:00:00.000Z",
            "s3": {"bucket": {"name": _BUCKET}, "object": found},
        }  # fmt: skip
        for _ in range(self.dice.randint(1, 3)):
            self.did["event doubled"] += 1
            self.farm.sqs.send_message(
                QueueUrl=self.farm.settings.event_queue_url, MessageBody=json.dumps({"Records": [record]})
            )

    def _add(self, key: str, recipe: Recipe) -> None:
        self._s3.put_object(Bucket=_BUCKET, Key=key, Body=self.farm.clip(recipe))
        types = self.dice.choice([["mp4_smooth", "thumbnail"], ["mp4_standard"], ["thumbnail"]])
        if recipe.kind == "part":
            types = ["mp4_smooth", "thumbnail"]
        body = {"input_bucket": _BUCKET, "input_key": key, "transcode_types": types}
        for _ in range(_TRIES):
            answer = self._post("/api/queue/add", body)
            if "task_id" in answer:
                self.asked.append(Asked(answer["task_id"], key, recipe.kind, by_event=False))
                break
            if answer.get("status", 503) < 500:
                self.violations.append(Violation("", f"the API refused {key}: {answer}"))
                return
            time.sleep(_REST)
        else:
            self.violations.append(Violation("", f"the API took no task in {_TRIES} tries; its last word: {answer}"))
        if recipe.kind == "gone":
            self._s3.delete_object(Bucket=_BUCKET, Key=key)

    def _meddle(self) -> None:
        if self.asked and self.dice.random() < _CANCEL:
            self._change("cancel", self.dice.choice(self.asked[-_UNDER_WAY:]).task)
        if self.dice.random() < _RETRY:
            ended = [a.task for a in self.asked if self._status(a.task) in ("failed", "cancelled")]
            if ended:
                self._change("retry", self.dice.choice(ended))
        for share in [s for s in self._purges if len(self.asked) >= s * self.tasks]:
            self._purge(self._purges.pop(share))

    def _change(self, what: str, task: str) -> None:
        answer = self._post(f"/api/tasks/{task}/{what}", {})
        self.did[f"{what}: {'done' if 'task_id' in answer else answer.get('code', 'no answer')}"] += 1

    def _purge(self, how: str) -> None:
        self.did[f"purge by {how}"] += 1
        if how == "api":
            self._post("/api/queue/purge", {})
        else:
            command = [sys.executable, "-m", "celery", "-A", "workers.app", "purge", "-f", "-Q", "flow-tasks"]
            subprocess.run(command, env=self.farm.environment, capture_output=True, timeout=120, check=False)

    def _post(self, path: str, body: object) -> dict[str, Any]:
        """The API's answer; empty when there was none. An answer of 500 is a fault of ours, whatever is broken."""
        try:
            status, answer = self.farm.post(path, body)
        except (OSError, ValueError, urllib.error.URLError):
            self.did["request without an answer"] += 1
            return {}
        self.did[f"answer {status}"] += 1
        if status == 500:
            self.violations.append(Violation("", f"POST {path} answered 500: {answer}"))
        return dict(answer)
