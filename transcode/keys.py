"""Where an output goes: the template of output keys, checked once at start.

Understood: `{input_bucket}`, `{input_key}`, `{dir}`, `{stem}`, `{type}`, `{ext}`, `{task_id}`, `{date}`.
"""

import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

DEFAULT = "{input_key}/{type}.{ext}"
FIELDS = ("input_bucket", "input_key", "dir", "stem", "type", "ext", "task_id", "date")


@dataclass(frozen=True)
class KeyTemplate:
    """A checked template."""

    text: str = DEFAULT

    @property
    def prefix(self) -> str:
        """The literal text before the first field: what lies under it in a shared bucket is ours."""
        return next(iter(string.Formatter().parse(self.text)))[0]

    def fields(self) -> list[str]:
        """The fields it uses, in order."""
        return [name for _, name, _, _ in string.Formatter().parse(self.text) if name is not None]

    def key(self, *, input_bucket: str, input_key: str, type: str, ext: str, task_id: str, date: str) -> str:
        """The output key of one type of one task."""
        path = PurePosixPath(input_key)
        folder = "" if str(path.parent) == "." else str(path.parent)
        key = self.text.format(
            input_bucket=input_bucket, input_key=input_key, dir=folder, stem=path.stem, type=type, ext=ext,
            task_id=task_id, date=date,
        )  # fmt: skip
        # A source at the bucket's root has no folder: `{dir}/x` must not begin with a slash.
        return key.lstrip("/") if not folder else key


def unusable_prefix(prefix: str) -> str:
    """Why outputs may not go under a prefix; empty when they may. Whether it suits the buckets is asked elsewhere."""
    if any(ord(c) < 32 or ord(c) == 127 for c in prefix):
        return "has control characters"
    if prefix.startswith("/"):
        return "begins with a slash"
    if {".", ".."} & set(prefix.split("/")):
        # S3 takes them as they are; what mounts or copies a bucket would leave the folder.
        return "has a folder whose name is only dots"
    return ""


def check(text: str, *, buckets: tuple[str, ...], output_bucket: str) -> str:
    """What is wrong with a template for these buckets, as a sentence; empty when nothing is."""
    try:
        template = KeyTemplate(text)
        fields = set(template.fields())
        template.key(input_bucket="b", input_key="k", type="t", ext="e", task_id="i", date="d")
    except (ValueError, LookupError, AttributeError):
        return f"{text!r} cannot be read; fields are written {{name}} with a name of: {', '.join(FIELDS)}."
    return next(_faults(template, fields, buckets, output_bucket), "")


def _faults(template: KeyTemplate, fields: set[str], buckets: tuple[str, ...], output_bucket: str) -> Iterator[str]:
    for name in sorted(fields - set(FIELDS)):
        yield f"{{{name}}} is unknown; the fields are: {', '.join(FIELDS)}."
    if "type" not in fields:
        yield "{type} is missing: the renditions of a task would overwrite each other."
    if not {"input_key", "task_id"} & fields and not {"dir", "stem"} <= fields:
        yield "{input_key}, or {task_id}, or {dir} with {stem} is missing: tasks would overwrite each other."
    if len(buckets) > 1 and not {"input_bucket", "task_id"} & fields:
        yield "{input_bucket} is missing: with several input buckets, equal keys would overwrite each other."
    if output_bucket in buckets and not template.prefix.strip("/"):
        yield "one bucket for input and output needs a template that begins with a literal prefix, like renditions/."
