"""What a file is: ffprobe's JSON as a `Source`, or the reason why it cannot be transcoded.

Pure: text in, value out. The command that makes the text is in `command`; what ffprobe says when it
refuses a file is in `failures`; which codecs are accepted is in `guard`.
"""

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from transcode.errors import CodecNotAllowed, InputCorrupt, InputTooLarge, NoVideoStream, PictureUnusable
from transcode.ffmpeg import guard

# Pixels of a side: what x264 and x265 both take, and what the largest HEVC level allows.
SMALLEST_SIDE, LARGEST_SIDE = 16, 8192
# Beyond this ratio of the sides a picture is a line; inside the usual boxes its short side would vanish.
LARGEST_RATIO = 20
# Sample aspect ratios outside this are damage, not anamorphic film.
_SAR_LEAST, _SAR_MOST = Fraction(1, 8), Fraction(8)
# Frames per second that no camera makes: the rate is a lie, as from a clock used as a rate.
_FASTEST = 1000.0
# Dolby Vision profile 5 has no picture that means anything without Dolby's own processing.
_DOLBY_ONLY = 5
_ENCRYPTED = "The film is encrypted (DRM); only unprotected files can be transcoded."
_CLOCK = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
_BITS = re.compile(r"(9|10|12|14|16)(?:le|be)$")
_RGB = ("gbr", "rgb", "bgr", "argb", "abgr", "0rgb", "0bgr")

Json = dict[str, Any]


@dataclass(frozen=True)
class Colour:
    """How the numbers of the picture are meant, in ffmpeg's words; empty where the file does not say."""

    range: str = ""
    space: str = ""
    transfer: str = ""
    primaries: str = ""

    @property
    def hdr(self) -> str:
        """`PQ` or `HLG` for high dynamic range, else empty."""
        return {"smpte2084": "PQ", "arib-std-b67": "HLG"}.get(self.transfer, "")


@dataclass(frozen=True)
class Video:
    """The video stream that is transcoded. Width and height are as coded, before rotation and aspect."""

    index: int
    codec: str
    width: int
    height: int
    profile: str = ""
    pix_fmt: str = ""
    bit_depth: int = 8
    sar: Fraction = Fraction(1)
    # Degrees to turn the picture clockwise so that it stands upright: 0, 90, 180 or 270.
    rotation: int = 0
    # Frames per second on average; 0 where the file does not say.
    fps: float = 0.0
    # Frames do not follow each other at an even pace, or the file does not say that they do.
    vfr: bool = False
    interlaced: bool = False
    # The container cuts edges off, which only software decoders are sure to do.
    cropped: bool = False
    colour: Colour = Colour()
    # Seconds; 0 where the file does not say.
    duration: float = 0.0

    @property
    def rgb(self) -> bool:
        """Whether the picture is kept as red, green and blue: then our matrix is chosen, not kept."""
        return self.colour.space == "gbr" or self.pix_fmt.startswith(_RGB)

    @property
    def display_size(self) -> tuple[Fraction, Fraction]:
        """Width and height as a viewer sees them: square pixels, upright."""
        width, height = Fraction(self.width) * self.sar, Fraction(self.height)
        return (height, width) if self.rotation in (90, 270) else (width, height)


@dataclass(frozen=True)
class Audio:
    """The audio track that is transcoded. Duration in seconds, 0 where the file does not say."""

    index: int
    codec: str
    channels: int = 0
    sample_rate: int = 0
    duration: float = 0.0


@dataclass(frozen=True)
class Source:
    """A file that can be transcoded. Duration in seconds (0: the file does not say), size in bytes."""

    format: str
    duration: float
    size: int
    video: Video
    audio: Audio | None = None
    videos: int = 1
    audios: int = 0
    others: int = 0

    def facts(self) -> Json:
        """What the record keeps of it."""
        video, audio = self.video, self.audio
        width, height = (round(side) for side in video.display_size)
        facts: Json = {
            "format": self.format, "duration": round(self.duration, 3), "size": self.size, "width": width,
            "height": height, "codec": video.codec, "pix_fmt": video.pix_fmt, "fps": round(video.fps, 3),
            "rotation": video.rotation, "interlaced": video.interlaced, "hdr": video.colour.hdr,
            "videos": self.videos, "audios": self.audios,
        }  # fmt: skip
        if audio is not None:
            facts |= {"audio_codec": audio.codec, "channels": audio.channels, "sample_rate": audio.sample_rate}
        return facts


def read(text: str) -> Source:
    """The source that ffprobe describes.

    Raises:
        InputCorrupt, InputTooLarge, NoVideoStream, PictureUnusable, CodecNotAllowed: as they say.
    """
    try:
        found: Json = json.loads(text)
        streams: list[Json] = found["streams"]
        container: Json = found["format"]
    except (ValueError, KeyError, TypeError):
        raise InputCorrupt("The file opens but its streams cannot be listed; it is damaged.") from None
    _no_flood(streams)
    _open_to_all(found)
    films = [s for s in streams if s.get("codec_type") == "video" and not _flag(s, "attached_pic")]
    sounds = [s for s in streams if s.get("codec_type") == "audio"]
    source = Source(
        format=str(container.get("format_name", "")).split(",")[0],
        duration=max(0.0, _number(container.get("duration"))), size=int(_number(container.get("size"))),
        video=_video(_chosen(films, streams)), audio=_audio(sounds),
        videos=len(films), audios=len(sounds), others=len(streams) - len(films) - len(sounds),
    )  # fmt: skip
    return _within_limits(source)


def _no_flood(streams: list[Json]) -> None:
    # Some demuxers stop at the limit without a word, so as many as that may be many more.
    if len(streams) >= guard.MOST_STREAMS:
        raise InputTooLarge(f"The file has {guard.MOST_STREAMS} streams or more; a film has fewer.")


def _open_to_all(found: Json) -> None:
    packets: list[Json] = found.get("packets", [])
    if any(side.get("side_data_type") == "Encryption info" for packet in packets for side in _side_data(packet)):
        raise CodecNotAllowed(_ENCRYPTED)


def _chosen(films: list[Json], streams: list[Json]) -> Json:
    """The film that the file itself prefers, else its first."""
    if films:
        return next((film for film in films if _flag(film, "default")), films[0])
    kinds = sorted({_kind(stream) for stream in streams})
    raise NoVideoStream(f"The file has no video, only {' and '.join(kinds) or 'an empty shell'}.")


def _kind(stream: Json) -> str:
    return "a cover picture" if _flag(stream, "attached_pic") else str(stream.get("codec_type", "data"))


def _video(stream: Json) -> Video:
    codec, tag = str(stream.get("codec_name", "")), str(stream.get("codec_tag_string", ""))
    if tag in ("encv", "drmi"):
        raise CodecNotAllowed(_ENCRYPTED)
    if codec not in guard.VIDEO_CODECS:
        raise CodecNotAllowed(f"The video is in the codec {codec or tag!r}, which is not accepted.")
    if any(side.get("dv_profile") == _DOLBY_ONLY for side in _side_data(stream)):
        raise CodecNotAllowed("The video is Dolby Vision profile 5, which only Dolby's own decoder can show.")
    average, nominal = _rate(stream.get("avg_frame_rate")), _rate(stream.get("r_frame_rate"))
    width, height = _uncropped(stream)
    return Video(
        index=int(stream["index"]), codec=codec, width=width, height=height,
        profile=str(stream.get("profile", "")), pix_fmt=str(stream.get("pix_fmt", "")), bit_depth=_bit_depth(stream),
        sar=_sar(stream), rotation=_rotation(stream), fps=average or nominal,
        # One per mille: rates like 30000/1001 are told with rounding.
        vfr=not average or not nominal or abs(average / nominal - 1) > 0.001,
        interlaced=stream.get("field_order") in ("tt", "bb", "tb", "bt"),
        cropped=(width, height) != (stream.get("width"), stream.get("height")), colour=_colour(stream),
        duration=_duration(stream),
    )  # fmt: skip


def _audio(sounds: list[Json]) -> Audio | None:
    """The track that the file prefers among those that have sound in them."""
    heard = [sound for sound in sounds if int(sound.get("channels", 0)) > 0]
    known = [sound for sound in heard if sound.get("codec_name", "unknown") not in ("unknown", "none")]
    if not known:
        if heard:
            raise CodecNotAllowed("The sound is in a codec that is not known; AAC or PCM would be right.")
        return None
    track = next((sound for sound in known if _flag(sound, "default")), known[0])
    return Audio(
        index=int(track["index"]), codec=str(track["codec_name"]), channels=int(track["channels"]),
        sample_rate=int(_number(track.get("sample_rate"))), duration=_duration(track),
    )  # fmt: skip


def _within_limits(source: Source) -> Source:
    video = source.video
    if source.duration > guard.LONGEST:
        hours = source.duration / 3600
        raise InputTooLarge(f"The file says it is {hours:.1f} hours long; {guard.LONGEST / 3600:.0f} are the most.")
    if not video.width or not video.height:
        raise InputCorrupt("The file does not say how large its picture is; it is damaged or not complete.")
    sides = [float(side) for side in (video.width, video.height, *video.display_size)]
    short, long = min(sides), max(sides)
    if short < SMALLEST_SIDE or long > LARGEST_SIDE or video.width * video.height > guard.LARGEST_PICTURE:
        raise PictureUnusable(
            f"The picture is {video.width}x{video.height}; sides of {SMALLEST_SIDE} to {LARGEST_SIDE} pixels and at "
            f"most {guard.LARGEST_PICTURE // 10**6} million pixels are accepted."
        )
    if long > LARGEST_RATIO * short:
        raise PictureUnusable(
            f"The picture is {video.width}x{video.height}; one side may be at most {LARGEST_RATIO} times the other."
        )
    return source


def _flag(stream: Json, name: str) -> bool:
    return bool(stream.get("disposition", {}).get(name))


def _side_data(stream: Json) -> list[Json]:
    found = stream.get("side_data_list", [])
    return [side for side in found if isinstance(side, dict)]


def _uncropped(stream: Json) -> tuple[int, int]:
    """The picture's size less what the container crops, which ffmpeg does by itself where ffprobe tells it."""
    crop = next((side for side in _side_data(stream) if "crop_left" in side), {})
    width = int(stream.get("width", 0)) - int(crop.get("crop_left", 0)) - int(crop.get("crop_right", 0))
    height = int(stream.get("height", 0)) - int(crop.get("crop_top", 0)) - int(crop.get("crop_bottom", 0))
    return max(0, width), max(0, height)


def _bit_depth(stream: Json) -> int:
    match = _BITS.search(str(stream.get("pix_fmt", "")))
    return int(match[1] if match else _number(stream.get("bits_per_raw_sample")) or 8)


def _sar(stream: Json) -> Fraction:
    ratio = _fraction(stream.get("sample_aspect_ratio"))
    return ratio if _SAR_LEAST <= ratio <= _SAR_MOST else Fraction(1)


def _rotation(stream: Json) -> int:
    """Degrees clockwise; the display matrix counts the other way, the tag of older files this way."""
    turned = next((-_number(side["rotation"]) for side in _side_data(stream) if "rotation" in side), None)
    if turned is None:
        turned = _number(stream.get("tags", {}).get("rotate"))
    quarter = round(turned / 90)
    # Odd angles are drawn inside the unturned picture by ffmpeg.
    return quarter * 90 % 360 if abs(turned - quarter * 90) <= 1 else 0


def _colour(stream: Json) -> Colour:
    def said(name: str) -> str:
        value = str(stream.get(name, ""))
        return "" if value in ("unknown", "unspecified", "reserved") else value

    full = str(stream.get("pix_fmt", "")).startswith("yuvj")
    return Colour(
        range="pc" if full else said("color_range"), space=said("color_space"), transfer=said("color_transfer"),
        primaries=said("color_primaries"),
    )  # fmt: skip


def _duration(stream: Json) -> float:
    """Seconds; Matroska tells them in a tag."""
    tag = next((str(v) for k, v in stream.get("tags", {}).items() if k.upper().startswith("DURATION")), "")
    if match := _CLOCK.match(tag):
        hours, minutes, seconds = match.groups()
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return max(0.0, _number(stream.get("duration")))


def _rate(value: object) -> float:
    rate = float(_fraction(value))
    return rate if 0 < rate <= _FASTEST else 0.0


def _fraction(value: object) -> Fraction:
    """A ratio like `30000/1001` or `64:45`; 0 where it is none."""
    try:
        return Fraction(str(value).replace(":", "/"))
    except (ValueError, ZeroDivisionError):
        return Fraction(0)


def _number(value: object) -> float:
    """A number; 0 where it is none. inf, nan and the like are lies of a header."""
    try:
        number = float(str(value))
    except ValueError:
        return 0.0
    return number if abs(number) < 1e15 else 0.0
