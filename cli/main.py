"""The `transcode` command: the list of its subcommands, and how it ends. What each does is in a module of its own."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import catalogue, changing, config, listing, paper, serving, standing, submitting, watching
from transcode.errors import SettingsError, TranscodeError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="""Video in, its
renditions out: a farm of GPUs over S3, SQS and DynamoDB. Settings come from the environment and config.env.""",
)

for command in (
    submitting.submit, standing.status, listing.tasks, listing.task, watching.watch, changing.cancel, changing.retry,
    changing.purge, catalogue.presets, config.config, serving.worker, serving.bridge, serving.api, serving.start,
    serving.stop,
):  # fmt: skip
    app.command()(command)


@app.command()
def provision(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what is missing, change nothing")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
    policies: Annotated[
        bool, typer.Option("--policies", help="print the IAM policy of each role, nothing else")
    ] = False,
    admin_origin: Annotated[
        list[str] | None, typer.Option(help="page that may upload from a browser, like https://farm.example.com")
    ] = None,
    recovery: Annotated[
        bool, typer.Option("--point-in-time-recovery", help="switch it on for the table; AWS bills it by size")
    ] = False,
    fill_in: Annotated[
        bool, typer.Option("--fill-in", help="read all records, and fill in what they lack for the indexes")
    ] = False,
) -> None:
    """Create what is missing in AWS: buckets, queues, notification, table, topic. Doing it again changes nothing."""
    from cli import provision as provisioning
    from transcode.aws.provisioning.shapes import Wishes

    if policies:
        raise typer.Exit(provisioning.policies())
    wishes = Wishes(tuple(admin_origin or ()), recovery=recovery, fill_in=fill_in)
    raise typer.Exit(provisioning.run(wishes, dry_run=dry_run, as_json=as_json))


@app.command()
def password() -> None:
    """Ask for a password of the web admin, and print the setting that holds its hash."""
    from werkzeug.security import generate_password_hash

    text = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    # Quoted: the hash holds dollar signs, which shells would read.
    print(f"ADMIN_PASSWORD_HASH='{generate_password_hash(text)}'")


@app.command()
def demo(
    video: Annotated[Path | None, typer.Option(help="a video of yours; else a clip that comes along")] = None,
    keep: Annotated[bool, typer.Option(help="leave everything running until Ctrl-C")] = False,
) -> None:
    """Run the main job to its end on this machine: upload, event, transcode, seven renditions."""
    from cli.demo import run

    raise typer.Exit(run(video, keep=keep))


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False) -> None:
    """Look whether work can be done here: ffmpeg, sandbox, every GPU by trying it, scratch disk, AWS."""
    from cli import doctor as surgery

    raise typer.Exit(surgery.run(as_json=as_json))


# What serves keeps a log, which is to hold the trace of what nobody foresaw.
_SERVING = frozenset({"worker", "bridge", "api"})


def main() -> None:
    """The entry point. Errors are sentences: exit status 2 for bad usage or settings, 1 for everything else."""
    for stream in (sys.stdout, sys.stderr):
        # Whatever a terminal cannot write is no reason to end.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        app()
    except SettingsError as exc:
        paper.note("The settings are wrong:")
        _end(2, exc)
    except TranscodeError as exc:
        _end(1, exc)
    except Exception as exc:
        if _SERVING & set(sys.argv[1:2]) or os.environ.get("LOG_LEVEL") == "DEBUG":
            raise
        _end(1, f"{type(exc).__name__}: {exc} (LOG_LEVEL=DEBUG shows where.)")
    finally:
        _flush()


def _end(status: int, words: object) -> None:
    for line in str(words).splitlines():
        paper.note(line)
    sys.exit(status)


def _flush() -> None:
    """Write what is left; where nobody reads it any more (`| head`), drop it without a word."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
