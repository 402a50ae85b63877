"""The `transcode` command: each subcommand is a few lines around a module that does the work."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from transcode import settings
from transcode.errors import SettingsError, TranscodeError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def worker() -> None:
    """Run this machine's worker until it is stopped: a node for each GPU, one on the CPU where there is none."""
    from workers import fleet

    raise typer.Exit(fleet.run())


@app.command()
def bridge() -> None:
    """Turn S3 notifications into tasks, and put right what a crash left behind."""
    from workers.bridge import main as run_bridge

    run_bridge()


@app.command()
def api() -> None:
    """Serve the REST API."""
    settings.check_bind(settings.load())
    # gunicorn takes this process over, so that signals reach it directly.
    command = [sys.executable, "-m", "gunicorn", "-c", "python:webapp.gunicorn_conf", "webapp.wsgi:app()"]
    os.execv(sys.executable, command)  # noqa: S606


@app.command()
def provision() -> None:
    """Create what is missing in AWS: buckets, queues, notification, table. Running it again changes nothing."""
    from transcode.aws.provision import provision as create

    made = create(settings.load())
    for line in made.steps or ["Everything is there already."]:
        print(line)


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


@app.command()
def start(names: list[str]) -> None:
    """Start background services: api, bridge, worker."""
    from cli import services

    raise typer.Exit(services.start(names))


@app.command()
def stop(names: list[str]) -> None:
    """Stop background services: api, bridge, worker."""
    from cli import services

    raise typer.Exit(services.stop(names))


@app.command()
def status() -> None:
    """Show which services run here, and what waits in the queue."""
    from cli import services

    raise typer.Exit(services.status())


def main() -> None:
    """The entry point. Errors are sentences: exit code 2 for a bad setting, 1 for everything else."""
    try:
        app()
    except SettingsError as exc:
        print(f"The settings are wrong:\n{exc}", file=sys.stderr)
        sys.exit(2)
    except TranscodeError as exc:
        print(exc, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
