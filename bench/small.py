"""Small jobs: one worker with two tasks at once against a shell loop over one tuned ffmpeg command for each film.

What the system does beyond the loop (events, records, checks, uploads, and moto on the same cores) is what it costs.
"""

import statistics
import tempfile
from pathlib import Path

from bench import clips, meter, plain
from bench.system import System
from bench.verdict import Found, Ratio
from transcode.ffmpeg.binaries import at_hand
from transcode.ffmpeg.encoder import FfmpegEncoder
from transcode.ffmpeg.plan import plan
from transcode.presets import load

# The film, and how many in a batch. The types are those that an upload gets by default.
_FILM, _TASKS = (360, "h264", 5.0), 20
_TYPES = ("mp4_standard", "mp4_smooth", "thumbnail")


def measure(rounds: int) -> Found:
    """Batches of both in turn."""
    film, found = clips.film(*_FILM), []
    encoder = FfmpegEncoder(at_hand(), threads=meter.CORES)
    planned = plan(encoder.probe(film), load().pick(_TYPES), encoder.capabilities)
    lines = plain.at_once(encoder.tools.ffmpeg, film, planned)
    with tempfile.TemporaryDirectory() as folder:
        types = ",".join(_TYPES)
        with System(Path(folder), MAX_CONCURRENT_TASKS="2", DEFAULT_TRANSCODE_TYPES=types) as system:
            for _ in range(rounds):
                loop = meter.of_commands(lines * _TASKS, Path(folder))
                _, ours = system.batch([film] * _TASKS)
                found.append((loop, ours))
    rate = {
        "shell loop": 60 * _TASKS / statistics.median(loop.wall for loop, _ in found),
        "system": 60 * _TASKS / statistics.median(ours.wall for _, ours in found),
    }
    used = statistics.median(ours.cpu / loop.cpu for loop, ours in found)
    rows = [{"way": way, "films a minute": round(some, 1)} for way, some in rate.items()]
    return Found(
        [
            Ratio("5 s films a minute / shell loop", rate["system"] / rate["shell loop"], at_least=0.85),
            Ratio("5 s films: cpu / shell loop", used),
        ],
        {"small": rows},
    )
