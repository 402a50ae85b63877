"""Which hardware takes a file: the lanes, what a worker offers, and the choice. Pure.

What a worker offers is what it was seen to do at its start, never what `ffmpeg -encoders` lists. Only lanes
that `command` can build may be offered.
"""

from dataclasses import dataclass
from enum import StrEnum

from transcode.ffmpeg.probe import Source

# Pixels of a side below which NVENC and NVDEC refuse a picture (the largest of their several minimums).
_GPU_SMALLEST = 256


class Lane(StrEnum):
    """Where a film is decoded, filtered and encoded."""

    # Decoded and encoded on the GPU, frames never leave its memory.
    NVDEC_NVENC = "nvdec+nvenc"
    # Encoded on the GPU, filtered on the CPU first: rotation, HDR.
    NVENC = "nvenc"
    # Decoded on a GPU that cannot encode (A100, H100, H200), encoded on the CPU.
    NVDEC = "nvdec"
    CPU = "cpu"


# Those that `command` can build.
BUILT = frozenset({Lane.CPU})


@dataclass(frozen=True)
class Capabilities:
    """What a worker can do: the filters and decoders of its ffmpeg, threads per run, lanes, best first."""

    filters: frozenset[str]
    decoders: frozenset[str]
    threads: int = 2
    lanes: tuple[Lane, ...] = (Lane.CPU,)

    def __post_init__(self) -> None:
        unbuilt = [lane for lane in self.lanes if lane not in BUILT]
        if unbuilt or not self.lanes:
            raise ValueError(f"a worker can offer the lanes {', '.join(BUILT)}, not {unbuilt or 'none'}")


def choose(source: Source, capabilities: Capabilities) -> Lane:
    """The best lane on offer that takes this file; the last on offer where none does."""
    return next((lane for lane in capabilities.lanes if takes(lane, source)), capabilities.lanes[-1])


def takes(lane: Lane, source: Source) -> bool:
    """Whether the lane's hardware can work on this file at all."""
    video = source.video
    large = min(video.width, video.height) >= _GPU_SMALLEST
    match lane:
        case Lane.NVDEC_NVENC:
            return large and not video.rotation and not video.colour.hdr
        case Lane.NVENC:
            return large
        case _:
            return True
