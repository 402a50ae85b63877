"""What one ffmpeg run makes of a source: lane, sizes, tracks, outputs. Pure; `command` makes arguments of it.

Encodes with equal settings are one encode with several outputs; equal sound is encoded once. A time range
of the source (`span`) is planned as easily as the whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from transcode.errors import BuildLacks
from transcode.ffmpeg import geometry, lanes
from transcode.ffmpeg.geometry import Frame
from transcode.ffmpeg.lanes import Capabilities, Gpu, Lane
from transcode.ffmpeg.probe import Colour, Source, Video
from transcode.presets import Preset

# Frames per second that a rendition has at most, unless its preset says otherwise.
FASTEST = 60.0
# A rate like 60000/1001 told with rounding is still 60.
_FASTEST_TOLD = 60.5
# To a fixed rate frames are repeated; two frames ten hours apart became two million. Beyond this many
# copies of a frame the source's own pace is kept.
_MOST_COPIES = 30
# Seconds between key frames: short enough to seek, long enough to save bits.
_KEY_INTERVAL = 2.0
# Frames per second that are assumed where the file does not say.
_USUAL_RATE = 25.0
# From this size on an untagged picture is BT.709, below BT.601: what players assume, too.
_HD_HEIGHT, _HD_WIDTH = 720, 1280
# These tell one frame rate whatever their frames do; an uneven film lost every tenth frame to it.
_ONE_RATE_FOR_ALL = ("matroska", "asf", "flv")
# Share of a film's length after which no picture is taken: the end is often black.
_LAST_PICTURE = 0.9
# Decoders of codecs whose decoder has another name, or that some builds leave out.
_DECODERS = {"av1": ("libdav1d", "libaom-av1"), "msmpeg4v3": ("msmpeg4",), "flv1": ("flv",)}

BT709 = Colour("tv", "bt709", "bt709", "bt709")
BT601 = Colour("tv", "smpte170m", "smpte170m", "smpte170m")
# The matrix decides how a picture looks; what goes with it in practice is filled in, so that tags never clash.
_BY_SPACE = {
    "bt709": BT709,
    "smpte170m": BT601,
    "bt470bg": Colour("tv", "bt470bg", "smpte170m", "bt470bg"),
    "bt2020nc": Colour("tv", "bt2020nc", "bt2020-10", "bt2020"),
}


@dataclass(frozen=True)
class Span:
    """A time range, in seconds. None: to the end."""

    start: float = 0.0
    duration: float | None = None

    def of(self, length: float) -> float:
        """Seconds that this range has of a stream of `length`; 0 is not known."""
        rest = max(0.0, length - self.start)
        return rest if self.duration is None else min(self.duration, rest) if length else self.duration


@dataclass(frozen=True)
class VideoTrack:
    """One encode. Equal tracks are encoded once."""

    frame: Frame
    codec: str
    quality: int
    cq: int
    max_bitrate: int | None
    speed: str
    # Frames per second to force; None keeps the source's timestamps.
    fps: float | None
    # Frames from one key frame to the next.
    key_frames: int
    clip: Span | None


@dataclass(frozen=True)
class AudioTrack:
    """One encode of the sound. Bits per second, LUFS, dB true peak."""

    bitrate: int
    loudness: float | None
    true_peak: float
    clip: Span | None


@dataclass(frozen=True)
class Output:
    """One file, and what `check` expects of it. Seconds; 0 where the source does not say."""

    type: str
    file_name: str
    content_type: str
    video: VideoTrack
    audio: AudioTrack | None
    video_duration: float
    audio_duration: float
    # Of the longer of the two, where the source does not say how long each is.
    duration: float


@dataclass(frozen=True)
class Still:
    """One picture, and when it is taken, in seconds."""

    type: str
    file_name: str
    content_type: str
    frame: Frame
    quality: int
    at: float


@dataclass(frozen=True)
class Plan:
    """Everything that is made of a source."""

    source: Source
    # Those that take it, best first; `lane` is the one that the commands are for.
    lanes: tuple[Lane, ...]
    lane: Lane
    gpu: Gpu | None
    threads: int
    # How the numbers of the outputs are meant.
    colour: Colour
    # Frames are left out so that at most `FASTEST` per second remain.
    capped: bool
    outputs: tuple[Output, ...]
    stills: tuple[Still, ...]
    span: Span | None = None

    @property
    def videos(self) -> tuple[VideoTrack, ...]:
        """The encodes, each once, in the order of the outputs."""
        return tuple(dict.fromkeys(output.video for output in self.outputs))

    @property
    def audios(self) -> tuple[AudioTrack, ...]:
        """The encodes of sound, each once, in the order of the outputs."""
        return tuple(dict.fromkeys(output.audio for output in self.outputs if output.audio is not None))

    @property
    def duration(self) -> float:
        """Seconds of the source that are read; 0 where it does not say."""
        return (self.span or Span()).of(self.source.duration)

    @property
    def uneven(self) -> bool:
        """Whether the frames may follow each other at no even pace."""
        return self.source.video.vfr or self.capped or self.source.format in _ONE_RATE_FOR_ALL

    def on(self, lane: Lane, outputs: Sequence[Output]) -> "Plan":
        """These outputs on another lane."""
        return replace(self, lane=lane, outputs=tuple(outputs))

    def apart(self, most: int = 1) -> tuple["Plan", ...]:
        """Plans of at most so many encodes: one, so that its failure takes no other along, or what a card allows."""
        groups = [self.videos[place : place + most] for place in range(0, len(self.videos), most)]
        return tuple(
            replace(self, stills=(), outputs=tuple(o for o in self.outputs if o.video in group)) for group in groups
        )


def plan(source: Source, presets: Sequence[Preset], capabilities: Capabilities, span: Span | None = None) -> Plan:
    """The plan for these presets of this source, or of a time range of it.

    Raises:
        BuildLacks: the ffmpeg at hand cannot decode or convert this file.
        PictureUnusable: the picture is too narrow for a preset's box.
    """
    _check_build(source.video, capabilities)
    outputs = tuple(_output(source, preset, span) for preset in presets if preset.media == "video")
    ladder = lanes.ladder(source, [output.video for output in outputs], capabilities)
    made = Plan(
        source=source, lanes=ladder, lane=ladder[0], gpu=capabilities.gpu, threads=capabilities.threads,
        colour=_colour(source.video), capped=source.video.fps > _FASTEST_TOLD, outputs=outputs,
        stills=tuple(_still(source, preset) for preset in presets if preset.media == "image"), span=span,
    )  # fmt: skip
    return made if span is not None else _seeking(made)


def _check_build(video: Video, capabilities: Capabilities) -> None:
    decoders = _DECODERS.get(video.codec, (video.codec,))
    if not capabilities.decoders.intersection(decoders):
        raise BuildLacks(f"The ffmpeg of this worker cannot decode {video.codec}: it lacks {' and '.join(decoders)}.")
    missing = sorted({"zscale", "tonemap"} - capabilities.filters)
    if video.colour.hdr and missing:
        raise BuildLacks(
            f"The ffmpeg of this worker cannot turn HDR ({video.colour.hdr}) into ordinary colours: it lacks the "
            f"filter {missing[0]}."
        )


def _colour(video: Video) -> Colour:
    """What the outputs say of their colours: as the source, or what players would assume of it."""
    said = video.colour
    if said.hdr or video.rgb:
        return BT709
    assumed = BT709 if video.height >= _HD_HEIGHT or video.width >= _HD_WIDTH else BT601
    return _BY_SPACE.get(said.space, assumed)


def _output(source: Source, preset: Preset, span: Span | None) -> Output:
    whole = (span or Span()).of(source.duration)
    seen = (span or Span()).of(source.video.duration)
    heard = (span or Span()).of(source.audio.duration) if source.audio else 0.0
    if source.audio is None:
        seen = seen or whole
    clip = _clip(preset, seen or whole)
    audio = _audio(source, preset, clip, heard)

    def lasts(length: float) -> float:
        return (clip or Span()).of(length) if length else 0.0

    return Output(
        type=preset.name, file_name=f"{preset.name}.{preset.ext}", content_type=preset.content_type,
        video=_video(source.video, preset, clip), audio=audio, video_duration=lasts(seen),
        audio_duration=lasts(heard) if audio else 0.0, duration=lasts(whole) if audio and not (seen and heard) else 0.0,
    )  # fmt: skip


def _video(video: Video, preset: Preset, clip: Span | None) -> VideoTrack:
    fps = preset.fps if preset.fps and video.fps and preset.fps / video.fps <= _MOST_COPIES else None
    rate = fps or min(FASTEST, video.fps or _USUAL_RATE)
    return VideoTrack(
        frame=geometry.frame(video, preset.box, preset.fit), codec=preset.codec, quality=preset.quality,
        cq=preset.nvenc_cq, max_bitrate=preset.max_bitrate, speed=preset.speed, fps=fps,
        key_frames=max(1, round(_KEY_INTERVAL * rate)), clip=clip,
    )  # fmt: skip


def _audio(source: Source, preset: Preset, clip: Span | None, heard: float) -> AudioTrack | None:
    wanted = preset.audio
    if wanted is None or source.audio is None:
        return None
    if heard and clip is not None and clip.start >= heard:
        return None  # the sound ends before the clip begins
    return AudioTrack(wanted.bitrate, wanted.loudness, wanted.true_peak, clip)


def _clip(preset: Preset, length: float) -> Span | None:
    """The preset's short clip, moved and cut so that it lies inside a film of `length` seconds."""
    if not preset.start and preset.duration is None:
        return None
    if not length:
        return Span(preset.start, preset.duration)
    lasts = min(preset.duration or length, length)
    start = preset.start if preset.start < length else length - lasts
    return Span(start, min(lasts, length - start))


def _still(source: Source, preset: Preset) -> Still:
    length = source.video.duration or source.duration
    return Still(
        type=preset.name, file_name=f"{preset.name}.{preset.ext}", content_type=preset.content_type,
        frame=geometry.frame(source.video, preset.box, preset.fit), quality=preset.quality,
        at=min(preset.at, length * _LAST_PICTURE) if length else preset.at,
    )  # fmt: skip


def _seeking(made: Plan) -> Plan:
    """Read only the clip where nothing else is wanted."""
    clips = {output.video.clip for output in made.outputs}
    clip = clips.pop() if len(clips) == 1 else None
    if clip is None:
        return made
    outputs = tuple(
        replace(o, video=replace(o.video, clip=None), audio=o.audio and replace(o.audio, clip=None))
        for o in made.outputs
    )  # fmt: skip
    return replace(made, outputs=outputs, span=clip)
