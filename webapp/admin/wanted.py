"""What the add form asks for: read from a request or a task, checked by the API's own model, made into orders."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from werkzeug.datastructures import MultiDict

from transcode.states import Priority
from transcode.task import Task
from webapp.admin.words import gettext as _
from webapp.api.adding import AddOne
from webapp.api.bulk import Order

# Keys that are ticked at once: as many as a page of a folder can show.
MOST_TICKED = 100


class Unfit(Exception):
    """A form that asks for nothing that can be done; the message is a sentence for its reader."""


@dataclass(frozen=True)
class Wanted:
    """The fields as they were typed. `key` is one object; what is wanted for it is wanted for many, too."""

    bucket: str = ""
    key: str = ""
    types: tuple[str, ...] = ()
    priority: str = Priority.NORMAL
    output_prefix: str = ""
    metadata: str = ""
    callback: str = ""


def read(given: "MultiDict[str, str]") -> Wanted:
    """The fields of a request."""
    text = {name: given.get(name, "").strip() for name in ("output_prefix", "callback")}
    return Wanted(
        # Not stripped: a key may begin or end with spaces.
        given.get("bucket", ""), given.get("key", ""), tuple(given.getlist("type")),
        given.get("priority", Priority.NORMAL), metadata=given.get("metadata", ""), **text,
    )  # fmt: skip


def of_task(task: Task) -> Wanted:
    """The fields that would ask for this task again."""
    return Wanted(
        task.input_bucket, task.input_key, task.transcode_types, task.priority, task.output_prefix,
        "\n".join(f"{name}={value}" for name, value in task.metadata.items()), task.callback,
    )  # fmt: skip


def ticked(given: "MultiDict[str, str]") -> tuple[str, ...]:
    """The keys that were ticked, each once.

    Raises:
        Unfit: none were, or too many.
    """
    keys = tuple(dict.fromkeys(given.getlist("tick")))
    if not keys:
        raise Unfit(_("Tick at least one video."))
    if len(keys) > MOST_TICKED:
        raise Unfit(_("At most %(most)s videos can be ticked at once.") % {"most": MOST_TICKED})
    return keys


def orders(wanted: Wanted, keys: Iterable[str]) -> list[Order]:
    """An order for each key, all with the same wishes.

    Raises:
        Unfit: a field does not fit.
    """
    if not wanted.types:
        raise Unfit(_("Tick at least one type."))
    wishes = {
        "input_bucket": wanted.bucket, "transcode_types": wanted.types, "priority": wanted.priority,
        "output_prefix": wanted.output_prefix, "metadata": _pairs(wanted.metadata), "callback": wanted.callback,
    }  # fmt: skip
    try:
        return [Order(AddOne.model_validate(wishes | {"input_key": key})) for key in keys]
    except ValidationError as error:
        raise Unfit(_sentence(error)) from error


def _pairs(text: str) -> Mapping[str, str]:
    """The names and values of `name=value` lines; empty lines say nothing."""
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, sep, value = line.partition("=")
        name = name.strip()
        if not sep or not name:
            raise Unfit(_("This line of the metadata is not written name=value: %(line)s") % {"line": line[:80]})
        if name in found:
            raise Unfit(_("The metadata names %(name)s twice.") % {"name": name[:80]})
        found[name] = value.strip()
    return found


def _sentence(error: ValidationError) -> str:
    found = error.errors(include_url=False)[0]
    place = ".".join(str(part)[:100] for part in found["loc"])
    return f"{place}: {found['msg']}".rstrip(".") + "."
