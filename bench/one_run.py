"""How much one ffmpeg for all seven types saves against seven: CPU seconds, as JSON.

    python bench/one_run.py [VIDEO]

Both make the same files with the same settings by the product's own encoder, which also measures the
loudness and checks the outputs; what is counted is the processor time of all processes it started.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transcode.ffmpeg.binaries import at_hand
from transcode.ffmpeg.encoder import FfmpegEncoder
from transcode.ffmpeg.sample import make_clip
from transcode.ports import Progress, RenderJob
from transcode.presets import Preset, load

# What the product promises: one run needs at most this share of seven.
WANTED = 0.75


class Quiet:
    """A watch that never stops anything."""

    def progress(self, progress: Progress) -> None:
        """Told, and not interested."""

    def check(self) -> None:
        """Go on."""


def spent() -> float:
    """Processor seconds of all processes that were started and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def render(encoder: FfmpegEncoder, video: Path, presets: Iterable[Preset]) -> dict[str, Any]:
    """Make these types of a video together; what it cost."""
    with tempfile.TemporaryDirectory() as folder:
        job = RenderJob(video, Path(folder), encoder.probe(video), tuple(presets), Quiet())
        cpu, wall = spent(), time.monotonic()
        made = {one.type: one.path.stat().st_size for one in encoder.render(job)}  # type: ignore[union-attr]
        return {"cpu": spent() - cpu, "wall": time.monotonic() - wall, "bytes": made, "phases": job.phases}


def compare(video: Path) -> dict[str, Any]:
    """Together against one by one."""
    encoder = FfmpegEncoder(at_hand(), threads=2)
    presets = load().all
    together = render(encoder, video, presets)
    alone = {preset.name: render(encoder, video, [preset]) for preset in presets}
    apart = sum(one["cpu"] for one in alone.values())
    return {
        "ffmpeg": encoder.tools.version,
        "source": encoder.probe(video).facts(),
        "together": together,
        "alone_cpu": {name: round(one["cpu"], 2) for name, one in alone.items()},
        "cpu_together": round(together["cpu"], 2),
        "cpu_apart": round(apart, 2),
        "ratio": round(together["cpu"] / apart, 3),
        "wanted": WANTED,
    }


def main() -> int:
    """Compare, print, and fail where too little is saved."""
    with tempfile.TemporaryDirectory() as folder:
        video = Path(sys.argv[1]) if len(sys.argv) > 1 else make_clip(Path(folder))
        found = compare(video)
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 0 if found["ratio"] <= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
