"""A clip of our own, for a demo without a video at hand."""

from pathlib import Path

from transcode.ffmpeg import failures
from transcode.ffmpeg.binaries import at_hand
from transcode.ffmpeg.runner import Limits, run

# Seconds: long enough for a picture at 4 s, short enough for two cores.
_LENGTH = 6


def make_clip(folder: Path) -> Path:
    """A moving test picture with a tone, as `sample.mp4` in a folder.

    Raises:
        SettingsError, TranscodeError: there is no ffmpeg that works, or no room.
    """
    line = [
        str(at_hand().ffmpeg), "-hide_banner", "-nostdin", "-y", "-v", "level+warning",
        "-f", "lavfi", "-i", f"testsrc2=size=1280x720:rate=30:duration={_LENGTH}",
        "-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={_LENGTH}",
        "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest",
        "-movflags", "+faststart", "file:sample.mp4",
    ]  # fmt: skip
    ended = run(line, Limits(seconds=120.0), folder=folder)
    if ended.status:
        raise failures.error(ended, line)
    return folder / "sample.mp4"
