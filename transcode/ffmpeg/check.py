"""Whether a rendition is what was planned. Exit code 0 proves nothing: half a file transcodes without a word.

Pure: what ffprobe says of the file in, a `Rendition` out, or the reason why it is none.
"""

import json
from pathlib import Path
from typing import Any

from transcode.errors import InputTruncated, OutputInvalid
from transcode.ffmpeg.plan import FASTEST, Output, Plan, Span, Still
from transcode.ports import Rendition

# Seconds and share by which a rendition may be shorter than its source says: headers round, ends are cut.
_SHORTER, _SHORTER_SHARE = 1.0, 0.03
# Frames: the last one's length is not told, and the first may come late.
_FRAMES = 2
# Share of the frames that a card's decoder may leave out: rates are rounded, ends are cut.
_MISSING_SHARE = 0.03
# Seconds that a clip may be longer than asked: a frame, or a packet of sound.
_LONGER = 0.5

Json = dict[str, Any]


def film(plan: Plan, output: Output, path: Path, answer: str, warning: str = "") -> Rendition:
    """The finished film.

    Raises:
        OutputInvalid: it is not what was planned; the sentence has what was expected and what came.
        InputTruncated: it is right but ends long before its source says it should.
    """
    video, audio, container = _streams(output.type, answer)
    size = output.video.frame.outer
    _expect(output.type, "codec", output.video.codec, video.get("codec_name"))
    _expect(output.type, "pixel format", "yuv420p", video.get("pix_fmt"))
    _expect(output.type, "size", f"{size.width}x{size.height}", f"{video.get('width')}x{video.get('height')}")
    _expect(output.type, "rotation", [], video.get("side_data_list", []))
    _expect(output.type, "sound", "aac" if output.audio else None, audio.get("codec_name"))
    _packets(output.type, video, *([audio] if output.audio else []))
    _length(plan, output, video, audio)
    _frames(plan, output, video)
    return Rendition(
        type=output.type, path=path, content_type=output.content_type, bytes=int(container["size"]),
        codec=str(video["codec_name"]), width=size.width, height=size.height, duration=_seconds(container),
        bitrate=int(container.get("bit_rate", 0)), audio_codec=str(audio.get("codec_name", "")), lane=plan.lane.value,
        warning=warning,
    )  # fmt: skip


def picture(still: Still, path: Path, answer: str) -> Rendition:
    """The finished picture.

    Raises:
        OutputInvalid: it is not what was planned.
    """
    video, _, container = _streams(still.type, answer)
    size = still.frame.outer
    _expect(still.type, "codec", "mjpeg", video.get("codec_name"))
    _expect(still.type, "size", f"{size.width}x{size.height}", f"{video.get('width')}x{video.get('height')}")
    _packets(still.type, video)
    return Rendition(
        type=still.type, path=path, content_type=still.content_type, bytes=int(container["size"]), codec="mjpeg",
        width=size.width, height=size.height,
    )  # fmt: skip


def _streams(type_: str, answer: str) -> tuple[Json, Json, Json]:
    """The video stream, the sound (empty where there is none) and the container."""
    try:
        found = json.loads(answer)
        streams: list[Json] = found["streams"]
        videos = [stream for stream in streams if stream["codec_type"] == "video"]
        sounds = [stream for stream in streams if stream["codec_type"] == "audio"]
        container: Json = found["format"]
    except (ValueError, KeyError, TypeError):
        raise OutputInvalid(f"{type_}: the file cannot be read back.") from None
    _expect(type_, "number of streams", (1, len(sounds)), (len(videos), len(streams) - len(videos)))
    return videos[0], sounds[0] if sounds else {}, container


def _expect(type_: str, what: str, wanted: object, given: object) -> None:
    if wanted != given:
        raise OutputInvalid(f"{type_}: the {what} should be {wanted or 'none'} and is {given or 'none'}.")


def _packets(type_: str, *streams: Json) -> None:
    for stream in streams:
        if int(stream.get("nb_read_packets", 0)) < 1:
            raise OutputInvalid(f"{type_}: the {stream['codec_type']} stream is empty.")


def _length(plan: Plan, output: Output, video: Json, audio: Json) -> None:
    fps = plan.source.video.fps or 25.0
    seen, heard = _seconds(video), _seconds(audio)
    lengths = [
        ("video", output.video_duration, seen), ("sound", output.audio_duration, heard),
        ("film", output.duration, max(seen, heard)),
    ]  # fmt: skip
    for what, expected, actual in lengths:
        least = expected - max(_SHORTER, _SHORTER_SHARE * expected, _FRAMES / fps)
        if actual < least:
            raise InputTruncated(
                f"{output.type}: the source says its {what} lasts {expected:.1f} seconds, but only {actual:.1f} are "
                "in it: the upload was cut off or is damaged."
            )
    clip = output.video.clip or plan.span or Span()
    if clip.duration is not None and seen > clip.duration + max(_LONGER, _FRAMES / fps):
        raise OutputInvalid(f"{output.type}: the clip should last {clip.duration:.1f} seconds and lasts {seen:.1f}.")


def _frames(plan: Plan, output: Output, video: Json) -> None:
    """A card's decoder that loses pictures and goes on leaves a film of the right length with holes in it."""
    rate = output.video.fps or min(FASTEST, plan.source.video.fps)
    if not plan.lane.decodes or plan.uneven:
        return
    expected, frames = output.video_duration * rate, int(video["nb_read_packets"])
    if frames < expected * (1 - _MISSING_SHARE) - _FRAMES:
        raise OutputInvalid(f"{output.type}: about {expected:.0f} pictures should be in it, and {frames} are.")


def _seconds(found: Json) -> float:
    return float(found.get("duration", 0) or 0)
