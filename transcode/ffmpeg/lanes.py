"""Which hardware takes a film: the lanes, what a worker offers, and the ladder from best to last. Pure.

What a worker offers is what it was seen to do at its start (`gpu`), never what `ffmpeg -encoders` lists.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from transcode.ffmpeg.probe import Source, Video

if TYPE_CHECKING:
    from transcode.ffmpeg.plan import VideoTrack

# Pixels that NVDEC wants of each side: the largest of its several minimums.
_DECODED_LEAST = 144
# Pixels that NVENC takes: the larger of its two minimums, and what H.264 and HEVC allow at most on any card.
_ENCODED_LEAST = (160, 64)
_ENCODED_MOST = {"h264": 4096, "hevc": 8192}
# Pixels of a picture from which decoding on a card that cannot encode is worth the copying: 4K.
_WORTH_DECODING = 3840 * 2160
# Bits of colour for NVDEC: 4:2:0 in these formats is all that cards of every generation take.
_FOUR_TWO_ZERO = ("yuv420p", "yuvj420p", "yuv420p10le", "nv12", "p010le")


class Lane(StrEnum):
    """Where a film is decoded, filtered and encoded."""

    # Decoded and encoded on the GPU, frames never leave its memory.
    NVDEC_NVENC = "nvdec+nvenc"
    # Encoded on the GPU, decoded and filtered on the CPU: rotation, HDR, codecs that NVDEC does not take.
    NVENC = "nvenc"
    # Decoded on a GPU that cannot encode (A100, H100, H200), encoded on the CPU.
    NVDEC = "nvdec"
    CPU = "cpu"

    @property
    def decodes(self) -> bool:
        """Whether the GPU decodes."""
        return self in (Lane.NVDEC_NVENC, Lane.NVDEC)

    @property
    def encodes(self) -> bool:
        """Whether the GPU encodes."""
        return self in (Lane.NVDEC_NVENC, Lane.NVENC)


@dataclass(frozen=True)
class Nvenc:
    """Which options an encoder of a card takes; without the dear ones it gives less quality, not less film."""

    temporal_aq: bool = True
    b_frames: bool = True
    lookahead: bool = True


@dataclass(frozen=True)
class Gpu:
    """What a card was seen to do with this ffmpeg."""

    # Codec (h264, hevc) -> what its encoder takes.
    encoders: dict[str, Nvenc] = field(default_factory=dict)
    # Codecs, with ` 10` behind those of 10 bits: h264, hevc, hevc 10.
    decoders: frozenset[str] = frozenset()
    # The filter that makes whole frames of fields in GPU memory; empty: the build has none.
    deinterlacer: str = ""
    # Encode sessions at once that the driver allows; None: as many as the memory holds.
    sessions: int | None = None

    def decodes(self, video: Video) -> bool:
        """Whether the card takes this stream."""
        name = video.codec if video.bit_depth == 8 else f"{video.codec} {video.bit_depth}"
        large = min(video.width, video.height) >= _DECODED_LEAST
        return name in self.decoders and large and video.pix_fmt in _FOUR_TWO_ZERO

    def encodes(self, tracks: "Sequence[VideoTrack]") -> bool:
        """Whether the card takes all these encodes."""
        return all(track.codec in self.encoders and _encoded(track) for track in tracks)


@dataclass(frozen=True)
class Capabilities:
    """What a worker can do: the filters and decoders of its ffmpeg, threads per run, and its card."""

    filters: frozenset[str]
    decoders: frozenset[str]
    threads: int = 2
    gpu: Gpu | None = None


def ladder(source: Source, tracks: "Sequence[VideoTrack]", capabilities: Capabilities) -> tuple[Lane, ...]:
    """The lanes that take these encodes of this file, best first; the CPU is always the last."""
    gpu = capabilities.gpu
    return (*(_on(gpu, source, tracks) if gpu and tracks else ()), Lane.CPU)


def _on(gpu: Gpu, source: Source, tracks: "Sequence[VideoTrack]") -> Iterator[Lane]:
    video = source.video
    decoded = gpu.decodes(video)
    if gpu.encodes(tracks):
        if decoded and _stays(gpu, video):
            yield Lane.NVDEC_NVENC
        yield Lane.NVENC
    elif decoded and (video.width * video.height >= _WORTH_DECODING or video.bit_depth > 8):
        yield Lane.NVDEC


def _stays(gpu: Gpu, video: Video) -> bool:
    """Whether all that must be done to the picture can be done in GPU memory."""
    plain = not video.rotation and not video.colour.hdr and not video.rgb and not video.cropped
    # scale_cuda leaves the range of the numbers as it is.
    return plain and video.colour.range != "pc" and (not video.interlaced or bool(gpu.deinterlacer))


def _encoded(track: "VideoTrack") -> bool:
    size = track.frame.outer
    most = _ENCODED_MOST[track.codec]
    return size.width >= _ENCODED_LEAST[0] and size.height >= _ENCODED_LEAST[1] and max(size.width, size.height) <= most
