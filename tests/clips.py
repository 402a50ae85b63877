"""Clips that tests make themselves, so that they pass where no media folder is."""

import subprocess
from pathlib import Path

from transcode.ffmpeg import binaries


def make(path: Path, *, size: str = "640x360", seconds: float = 2.0, rate: int = 15) -> Path:
    """A moving picture with a tone."""
    command = [
        str(binaries.at_hand().ffmpeg), "-v", "error", "-y",
        "-f", "lavfi", "-i", f"testsrc=size={size}:rate={rate}:duration={seconds}",
        "-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}",
        "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest", str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    return path
