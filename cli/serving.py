"""`transcode worker`, `bridge` and `api` serve until they are stopped; `start` and `stop` do it in the background."""

import os
import sys

import typer

from transcode import settings


def worker() -> None:
    """Run this machine's worker until it is stopped.

    It has a node for each GPU, and one on the CPU where there is none.
    """
    from workers import fleet

    raise typer.Exit(fleet.run())


def bridge() -> None:
    """Turn uploads into tasks, and put right what a crash left."""
    from workers.bridge import main as run_bridge

    run_bridge()


def api() -> None:
    """Serve the REST API and the web admin."""
    settings.check_bind(settings.load())
    # gunicorn takes this process over, so that signals reach it directly.
    command = [sys.executable, "-m", "gunicorn", "-c", "python:webapp.gunicorn_conf", "webapp.wsgi:app()"]
    os.execv(sys.executable, command)  # noqa: S606


def start(names: list[str]) -> None:
    """Start background services: api, bridge, worker."""
    from cli import services

    raise typer.Exit(services.start(names))


def stop(names: list[str]) -> None:
    """Stop background services: api, bridge, worker."""
    from cli import services

    raise typer.Exit(services.stop(names))
