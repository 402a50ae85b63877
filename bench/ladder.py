"""All seven renditions: the whole system against seven runs of ffmpeg, one tuned by hand, and shaka-streamer.

The short films show what is saved, the briefest what the system adds in any case, the one of 60 s what share that is.
"""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import clips, meter, plain, shaka
from bench.meter import Cost
from bench.system import System
from bench.verdict import Found, Ratio
from transcode.ffmpeg.binaries import at_hand
from transcode.ffmpeg.encoder import FfmpegEncoder
from transcode.ffmpeg.plan import VideoTrack, plan
from transcode.presets import load

# Height, codec, seconds. 4K is short because two cores make a frame of all seven in a second or so.
_SHORT = ((1080, "h264", 5.3), (1080, "hevc", 5.3), (2160, "h264", 2.0), (2160, "hevc", 2.0))
_LONG = (720, "h264", 60.0)
# shaka-streamer took minutes for the others: this film has to do for it.
_SHAKA = (720, "h264", 2.0)
# Seconds that the system may add to what ffmpeg needs, whatever the film; and the film for it, which often runs: a
# twentieth more or less of a longer one would hide them.
_FIXED, _BRIEF, _OFTEN = 3.0, (1080, "h264", 2.0), 4
Ways = dict[str, Callable[[], Cost]]


def measure(rounds: int) -> Found:
    """Every film every way, in turn."""
    ratios: list[Ratio] = []
    rows: list[dict[str, Any]] = []
    phases: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder, System(Path(folder)) as system:

        def found(film: tuple[int, str, float], *names: str, often: int = 1) -> dict[str, Cost]:
            ways = _ways(system, Path(folder), clips.film(*film), phases)
            costs = in_turn({name: ways[name] for name in names}, rounds * often)
            rows.extend(rows_of(_name(film), costs))
            return costs

        for film in _SHORT:
            ratios += _ratios(_name(film), found(film, "system", "seven runs", "one run"))
        brief = found(_BRIEF, "system", "one run", often=_OFTEN)
        other, long = found(_SHAKA, "system", "shaka-streamer"), found(_LONG, "system", "one run")
    beyond = (brief["system"].wall - brief["one run"].wall) / _FIXED
    ratios += [
        Ratio(f"{_name(_BRIEF)}: seconds beyond one run / {_FIXED:g} s", beyond, at_most=1.0),
        Ratio(f"{_name(_LONG)}: wall / one run", long["system"].wall / long["one run"].wall, at_most=1.05),
        Ratio(f"{_name(_SHAKA)}: cpu / shaka-streamer", other["system"].cpu / other["shaka-streamer"].cpu),
    ]
    return Found(ratios, {"ladder": rows}, {"phases": phases})


def _name(film: tuple[int, str, float]) -> str:
    return "{}p {} of {:g} s".format(*film)


def in_turn(ways: Ways, rounds: int) -> dict[str, Cost]:
    """Each way so often, one after the other so that whatever slows the machine slows all; the medians."""
    found: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way())
    return {
        name: Cost(statistics.median(c.wall for c in some), statistics.median(c.cpu for c in some))
        for name, some in found.items()
    }


def rows_of(film: str, found: dict[str, Cost]) -> list[dict[str, Any]]:
    """For people: seconds."""
    return [
        {"film": film, "way": way, "wall s": round(cost.wall, 1), "cpu s": round(cost.cpu, 1)}
        for way, cost in found.items()
    ]


def _ratios(film: str, found: dict[str, Cost]) -> list[Ratio]:
    ours, one, seven = found["system"], found["one run"], found["seven runs"]
    return [
        Ratio(f"{film}: cpu / seven runs", ours.cpu / seven.cpu, at_most=0.75),
        Ratio(f"{film}: cpu of one run / seven runs, the limit", one.cpu / seven.cpu),
        Ratio(f"{film}: cpu / one run", ours.cpu / one.cpu),
        Ratio(f"{film}: wall / one run", ours.wall / one.wall),
    ]


def _ways(system: System, folder: Path, film: Path, phases: dict[str, dict[str, float]]) -> Ways:
    """Each way by name. `phases` gets the seconds of the system's phases, by film."""
    encoder = FfmpegEncoder(at_hand(), threads=meter.CORES)
    planned, ffmpeg = plan(encoder.probe(film), load().all, encoder.capabilities), encoder.tools.ffmpeg
    rates: dict[VideoTrack, int] = {}

    def ours() -> Cost:
        (task,), cost = system.batch([film])
        phases[film.name] = task.phases
        for output in planned.outputs:
            sound = output.audio.bitrate if output.audio else 0
            rates[output.video] = task.outputs[output.type].bitrate - sound
        return cost

    return {
        "system": ours,
        "seven runs": lambda: meter.of_commands(plain.one_by_one(ffmpeg, film, planned), folder),
        "one run": lambda: meter.of_commands(plain.at_once(ffmpeg, film, planned), folder),
        # After ours, which tells at what rates.
        "shaka-streamer": lambda: meter.of_commands(shaka.lines(folder, film, planned, rates), folder),
    }
