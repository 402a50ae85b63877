"""Sources and capabilities for tests that start nothing."""

from fractions import Fraction
from pathlib import Path
from typing import Any

from transcode.ffmpeg.lanes import Capabilities, Gpu, Nvenc
from transcode.ffmpeg.probe import Audio, Source, Video, read
from transcode.presets import Preset, load

ANSWERS = Path(__file__).with_name("answers")
ALL = frozenset({"zscale", "tonemap"})
ABLE = Capabilities(filters=ALL, decoders=frozenset({"h264", "hevc", "mjpeg", "libdav1d"}), threads=2)
# A T4, and a card that only decodes.
T4 = Gpu(
    {"h264": Nvenc(), "hevc": Nvenc()}, frozenset({"h264", "hevc", "hevc 10", "vp9", "mpeg2video"}), "yadif_cuda"
)  # fmt: skip
A100 = Gpu({}, T4.decoders, "yadif_cuda")
PRESETS = load()


def answered(name: str) -> Source:
    """The source of a stored answer of ffprobe."""
    return read((ANSWERS / f"{name}.json").read_text())


def video(**values: Any) -> Video:
    """A full HD film, but for `values`."""
    usual: dict[str, Any] = {
        "index": 0, "codec": "h264", "width": 1920, "height": 1080, "pix_fmt": "yuv420p", "fps": 30.0,
        "duration": 60.0, "sar": Fraction(1),
    }  # fmt: skip
    return Video(**{**usual, **values})


def source(*, sound: bool = True, duration: float = 60.0, **values: Any) -> Source:
    """A minute of full HD with stereo sound, but for `values`."""
    audio = Audio(index=1, codec="aac", channels=2, sample_rate=48000, duration=duration) if sound else None
    return Source(
        format="mov", duration=duration, size=10_000_000, video=video(**{"duration": duration, **values}), audio=audio
    )


def preset(**values: Any) -> Preset:
    """A preset that makes H.264 in source size, but for `values`."""
    return Preset(**{"name": "mine", "codec": "h264", "quality": 23, **values})
