"""`transcode status`: which services run here, and how the farm stands."""

from collections.abc import Iterator
from typing import Any

from cli import direct, paper, services
from cli.listing import Json


def status(as_json: Json = False) -> None:
    """Show what runs here, what waits, what ended, and the workers."""
    if as_json:
        paper.emit(direct.connect().get("/api/stats"))
        return
    # First: these are seen also where there are no settings yet.
    paper.facts(_services())
    farm = direct.connect()
    paper.facts(_farm(farm.get("/api/stats"), farm.get("/api/workers")["workers"]))


def _services() -> Iterator[tuple[str, object]]:
    for name in services.SERVICES:
        found = services.running(name)
        yield name, f"runs (pid {found.pid})" if found else "does not run"


def _farm(stats: dict[str, Any], workers: list[dict[str, Any]]) -> Iterator[tuple[str, object]]:
    queue, running, today, nodes = stats["queue"], stats["running"], stats["today"], stats["workers"]
    waiting = f"{queue['waiting']} waiting, {queue['in_flight']} in flight, {queue['delayed']} delayed"
    yield "queue", f"{waiting}, {queue['dead_letter']} dead"
    yield "tasks", f"{running['count']}{' or more' if running['more'] else ''} processing"
    yield "today", ", ".join(f"{count} {name}" for name, count in today.items()) + " (since midnight UTC)"
    yield "workers", ", ".join(f"{nodes[name]} {name}" for name in ("running", "silent", "ended"))
    for worker in workers:
        yield "", f"{worker['node']}: {worker['state']}, {worker['kind']}, {_load(worker)}"
    # Every node of a machine tells of all its cards.
    asides = {card["uuid"]: card for worker in workers for card in worker["aside"]}
    for card in asides.values():
        yield "", f"{card['node']}: {card['name']} is put aside since {paper.moment(card['since'])}: {card['why']}"


def _load(worker: dict[str, Any]) -> str:
    return f"{len(worker['tasks'])} of {worker['concurrency']} tasks"
