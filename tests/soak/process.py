"""A process of the product for the soak: `python -m tests.soak.process worker|bridge|api NAME`.

The ordinary entry points, with two changes that are all here: timers are shortened, so that what takes
minutes in production takes seconds, and `encoder` stands in for ffmpeg (SOAK_PROGRAM names its program;
empty: the real ffmpeg works). SOAK_TIMERS=product leaves the timers alone.
"""

import os
import sys
from pathlib import Path
from types import ModuleType

from tests.soak.encoder import StandIn
from transcode import callback, ledger, reconcile, retries, steps
from transcode.ffmpeg.encoder import FfmpegEncoder
from transcode.settings import Settings
from workers import bridge, courier, node, polling, tasks, transport

# Module, name, seconds. The lease and the polls are settings, which the soak sets too.
SHORT: list[tuple[ModuleType, str, float]] = [
    (steps, "MARGIN", 1.0),
    (bridge, "_REST", 1.0),
    (reconcile, "_GRACE", 2.0),
    (reconcile, "_PURGE_LASTS", 3.0),
    (ledger, "AHEAD", 1.0),
    (callback, "_LOOK_AGAIN", 2.0),
    (callback, "_FIRST", 1.0),
    (callback, "_LONGEST", 4.0),
    (courier, "_REST", 2.0),
    (retries, "FIRST_DELAY", 1.0),
    (tasks, "_LATER", 2.0),
    (transport, "_AFTER_CRASH", 2.0),
    (polling, "_LONGEST_PAUSE", 3.0),
]


def shorten() -> None:
    """Shorten the timers, each of which must be there: a renamed one would silently be long."""
    for module, name, seconds in SHORT:
        kind = type(getattr(module, name))
        setattr(module, name, kind(seconds))


def stand_in(cls: type[FfmpegEncoder], settings: Settings) -> StandIn:
    """In place of `FfmpegEncoder.from_settings`."""
    return StandIn(Path(os.environ["SOAK_PROGRAM"]))


def main() -> None:
    """Run one process until it is stopped."""
    what, name = sys.argv[1:]
    if os.environ.get("SOAK_TIMERS") != "product":
        shorten()
    if what == "api":
        from cli.serving import api

        api()
    elif what == "bridge":
        bridge.main()
    else:
        if os.environ["SOAK_PROGRAM"]:
            FfmpegEncoder.from_settings = classmethod(stand_in)  # type: ignore[method-assign,assignment]
        node.run(name)


if __name__ == "__main__":
    main()
