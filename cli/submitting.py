"""`transcode submit`: a task for one video, or for all under a prefix."""

from typing import Annotated, Any

import typer

from cli import completing, direct, paper
from cli.direct import Direct
from transcode import settings
from transcode.states import Priority


def submit(  # noqa: PLR0913, PLR0917  as many wishes as the API takes
    bucket: Annotated[
        str | None, typer.Argument(help="input bucket", autocompletion=completing.buckets, show_default=False)
    ] = None,
    key: Annotated[str | None, typer.Argument(help="key of the video", show_default=False)] = None,
    under: Annotated[
        str | None, typer.Option("--under", help="all videos whose keys begin like this; '' is the whole bucket")
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", "-t", help="what to make of it; may be given again", autocompletion=completing.types),
    ] = None,
    prefix: Annotated[str, typer.Option(help="what is put before each output key")] = "",
    priority: Annotated[Priority, typer.Option(help="urgent ones overtake the others")] = Priority.NORMAL,
    metadata: Annotated[list[str] | None, typer.Option(help="NAME=VALUE that the task shows again")] = None,
    callback: Annotated[str, typer.Option(help="target that is told of the end")] = "",
    idempotency_key: Annotated[str, typer.Option(help="the same key again makes no second task")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Make a task for a video, or for all videos under a prefix."""
    wishes = {
        "transcode_types": _types(types or ()), "output_prefix": prefix, "priority": str(priority),
        "metadata": _metadata(metadata or ()), "callback": callback,
    }  # fmt: skip
    asked = _asked(bucket, key, under) | {name: value for name, value in wishes.items() if value}
    failed = _send(direct.connect(), asked, _headers(idempotency_key), as_json=as_json)
    raise typer.Exit(int(failed))


def _types(given: Any) -> list[str]:
    return [name.strip() for words in given for name in words.split(",") if name.strip()]


def _metadata(given: Any) -> dict[str, str]:
    pairs = [words.partition("=") for words in given]
    for name, sign, _ in pairs:
        if not sign or not name:
            raise typer.BadParameter(f"{paper.visible(name)!r} is no NAME=VALUE.", param_hint="--metadata")
    return {name: value for name, _, value in pairs}


def _headers(idempotency_key: str) -> dict[str, str]:
    if not (idempotency_key.isascii() and idempotency_key.isprintable()):
        raise typer.BadParameter("Letters, digits and signs of ASCII are wanted.", param_hint="--idempotency-key")
    return {"Idempotency-Key": idempotency_key} if idempotency_key else {}


def _asked(bucket: str | None, key: str | None, under: str | None) -> dict[str, Any]:
    if under is None:
        if bucket is None or key is None:
            raise typer.BadParameter("A bucket and a key are wanted, or --under.")
        return {"input_bucket": bucket, "input_key": key}
    if key is not None:
        raise typer.BadParameter("--under takes a bucket and no key.")
    return {"input_bucket": bucket or _only_bucket(), "input_prefix": under}


def _only_bucket() -> str:
    known = settings.load().input_bucket
    if len(known) > 1:
        raise typer.BadParameter(f"There are several input buckets; name one of {', '.join(known)}.")
    return known[0]


def _send(farm: Direct, asked: dict[str, Any], headers: dict[str, str], *, as_json: bool) -> bool:
    """Ask until all is made; whether anything failed."""
    failed = False
    while True:
        answer = farm.post("/api/queue/add", asked, headers)
        failed |= not answer["success"]
        if as_json:
            paper.emit(answer)
        else:
            _tell(answer)
        if not answer.get("next_after"):
            return failed
        asked = asked | {"after": answer["next_after"]}


def _tell(answer: dict[str, Any]) -> None:
    for made in answer.get("items", ()):
        if made["success"]:
            print(made["task_id"], paper.visible(made["input_key"]))
        else:
            paper.note(f"{made['input_key']}: {made['error']}")
    if "items" in answer:
        paper.note(answer["message"])
    else:
        print(answer["task_id"])
