"""The argument lists of ffmpeg and ffprobe. Pure: a plan in, a list out; nothing is started here.

ffmpeg runs in the folder of the outputs, so their names are plain words of ours. Pictures are in `still`, filters in
`graph`, what an encoder is told in `coders`, the limits of an input in `guard`. Works with ffmpeg 5.1 to 9.0.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from transcode.ffmpeg import coders, guard
from transcode.ffmpeg.coders import MOST_THREADS
from transcode.ffmpeg.graph import PEAK_METER, Levels, cut, front, graph, levelled, rehearsal
from transcode.ffmpeg.lanes import Lane
from transcode.ffmpeg.loudness import Level
from transcode.ffmpeg.plan import AudioTrack, Output, Plan, Span, VideoTrack
from transcode.ffmpeg.probe import Audio

# How a file that we made is read.
_OWN = ("-protocol_whitelist", "file", "-f", "mov")
# Nothing of the upload's metadata: it holds places and names.
_ANONYMOUS = ("-map_metadata", "-1", "-map_chapters", "-1")
# ffprobe prints kilobytes per stream; all it may say of a hundred streams.
_PROBED = (
    "format=format_name,duration,size"
    ":stream=index,codec_name,codec_tag_string,codec_type,profile,pix_fmt,bits_per_raw_sample,width,height"
    ",sample_aspect_ratio,field_order,color_range,color_space,color_transfer,color_primaries,r_frame_rate"
    ",avg_frame_rate,duration,channels,sample_rate"
    ":stream_disposition=default,attached_pic:stream_tags=rotate,DURATION,DURATION-eng"
    ":stream_side_data=rotation,dv_profile,crop_top,crop_bottom,crop_left,crop_right"
    ":packet_side_data=side_data_type"
)
# Packets from the start that are looked at: only they tell that a film is encrypted, its header looks like any.
_PACKETS = "%+#5"
_CHECKED = (
    "format=duration,size,bit_rate"
    ":stream=codec_type,codec_name,codec_tag_string,pix_fmt,width,height,sample_aspect_ratio,duration,nb_read_packets"
    ":stream_side_data=rotation"
)


def head(ffmpeg: Path, level: str = "warning") -> list[str]:
    """How every ffmpeg of ours begins."""
    return [
        str(ffmpeg), "-hide_banner", "-nostdin", "-y",
        # `level+` puts the severity before each line, which `failures` reads.
        "-v", f"level+{level}",
        "-nostats", "-stats_period", "1", "-progress", "pipe:1",
    ]  # fmt: skip


def source(path: Path, span: Span | None = None, threads: int = 1) -> list[str]:
    """The upload as input, read from the span's start for its length."""
    start = ["-ss", f"{span.start:.3f}"] if span is not None and span.start else []
    length = span.duration if span is not None and span.duration is not None else guard.LONGEST
    # -t also where all is read: a header may lie about its length.
    return [
        *guard.options(), "-threads", str(min(threads, MOST_THREADS)), *start, "-t", f"{length:.3f}",
        "-i", guard.address(path),
    ]  # fmt: skip


def probe(ffprobe: Path, path: Path) -> list[str]:
    """What is in an upload."""
    return [
        str(ffprobe), "-hide_banner", "-v", "level+warning", *guard.options(), "-show_entries", _PROBED,
        "-read_intervals", _PACKETS, "-of", "json", guard.address(path),
    ]  # fmt: skip


def check(ffprobe: Path, path: Path) -> list[str]:
    """What is in a rendition. -count_packets reads the file once and decodes nothing."""
    # A picture's format is named because ffmpeg would read a % in its path as a pattern.
    form = ["-f", "jpeg_pipe"] if path.suffix == ".jpg" else ["-f", "mov"]
    return [
        str(ffprobe), "-hide_banner", "-v", "error", *form, "-count_packets", "-show_entries", _CHECKED, "-of", "json",
        guard.address(path),
    ]  # fmt: skip


def measure(ffmpeg: Path, path: Path, audio: Audio, plan_span: Span | None, clip: Span | None) -> list[str]:
    """The loudness of an upload's sound as it will be delivered."""
    chain = ",".join([front(), *cut(clip), PEAK_METER])
    return [
        *head(ffmpeg, "info"), *source(path, plan_span), "-filter_complex", f"[0:{audio.index}]{chain}[m]",
        "-map", "[m]", "-f", "null", "-",
    ]  # fmt: skip


def measure_made(ffmpeg: Path, path: Path) -> list[str]:
    """The loudness of a file that we made."""
    return [
        *head(ffmpeg, "info"), *_OWN, "-i", guard.address(path), "-map", "0:a:0",
        "-filter:a", PEAK_METER, "-f", "null", "-",
    ]  # fmt: skip


def rehearse(
    ffmpeg: Path, path: Path, plan: Plan, audio: Audio, levels: Mapping[AudioTrack, Sequence[Level]]
) -> list[str]:
    """The loudness of tracks at several levels each, without making them."""
    text, labels = rehearsal(audio, levels)
    return [
        *head(ffmpeg, "info"), *source(path, plan.span), "-filter_complex", text,
        *(word for label in labels for word in ("-map", label)), "-f", "null", "-",
    ]  # fmt: skip


def take(
    ffmpeg: Path, path: Path, plan: Plan, audio: Audio, levels: Levels, names: Mapping[AudioTrack, str]
) -> list[str]:
    """Each track at its level, as a file of that name."""
    drawn = levelled(audio, levels)
    made: list[str] = []
    for track, name in names.items():
        made += ["-map", drawn.audios[track], "-c:a", "aac", "-b:a", str(track.bitrate), *_ANONYMOUS]
        made += ["-f", "mp4", f"file:{name}"]
    return [*head(ffmpeg), *source(path, plan.span), "-filter_complex", drawn.text, *made]


def encode(ffmpeg: Path, path: Path, plan: Plan, sounds: Mapping[AudioTrack, str]) -> list[str]:
    """The one run: one decode, every encode once, every output. `sounds`: the tracks that are ready, as files."""
    ready = {track: name for track, name in sounds.items() if track in plan.audios}
    drawn = graph(plan, ready)
    audios = drawn.audios | {track: f"{number}:a" for number, track in enumerate(ready, start=1)}
    return [
        *head(ffmpeg),
        # Not one frame is a failure, though ffmpeg itself would be content.
        "-abort_on", "empty_output",
        *_hardware(plan), *source(path, plan.span, 1 if plan.lane.decodes else plan.threads),
        *(word for name in ready.values() for word in (*_OWN, "-i", f"file:{name}")),
        "-filter_complex_threads", str(min(plan.threads, 4)), "-filter_complex", drawn.text,
        *(word for group in groups(plan.outputs) for word in _muxed(plan, group, drawn.videos, audios)),
    ]  # fmt: skip


def _hardware(plan: Plan) -> list[str]:
    """What stands before the input where the card takes part. Which card: the environment has only one."""
    if plan.lane is Lane.NVDEC_NVENC:
        return [
            "-init_hw_device", "cuda=cu:0", "-filter_hw_device", "cu", "-hwaccel", "cuda", "-hwaccel_device", "cu",
            "-hwaccel_output_format", "cuda",
            # ffmpeg turns no picture that lies on the card, and would erase the note that it must be turned.
            "-noautorotate",
            # Pictures that the filters hold while the decoder goes on.
            "-extra_hw_frames", "4", *_decoder(plan),
        ]  # fmt: skip
    # Frames come back to main memory, where all goes on as if the CPU had decoded.
    return ["-hwaccel", "cuda", *_decoder(plan)] if plan.lane is Lane.NVDEC else []


def _decoder(plan: Plan) -> list[str]:
    # ffmpeg 5.1 would choose dav1d, which knows no card.
    video = plan.source.video
    return [f"-c:{video.index}", "av1"] if video.codec == "av1" else []


def groups(outputs: Sequence[Output]) -> list[list[Output]]:
    """Outputs that share an encode, directly or over others, together: they are written by one muxer."""
    found: list[list[Output]] = []
    for output in outputs:
        touching = [group for group in found if any(_share(output, other) for other in group)]
        found = [group for group in found if group not in touching]
        found.append([*(other for group in touching for other in group), output])
    return found


def _share(one: Output, other: Output) -> bool:
    return one.video == other.video or (one.audio is not None and one.audio == other.audio)


def _muxed(
    plan: Plan, group: Sequence[Output], from_videos: Mapping[VideoTrack, str], from_audios: Mapping[AudioTrack, str]
) -> list[str]:
    videos = list(dict.fromkeys(output.video for output in group))
    audios = list(dict.fromkeys(output.audio for output in group if output.audio is not None))
    labels = [from_videos[video] for video in videos] + [from_audios[audio] for audio in audios]
    return [
        *(word for label in labels for word in ("-map", label)),
        *(word for number, video in enumerate(videos) for word in coders.options(plan, video, number)),
        *_audio_options(audios, from_audios),
        *_ANONYMOUS,
        # The source's timestamps, none doubled.
        "-fps_mode", "vfr",
        # mp4 keeps the encoders' headers once, at its start; the tee muxer does not ask for that by itself.
        "-flags", "+global_header",
        # Packets that wait for the slowest encode before the headers can be written.
        "-max_muxing_queue_size", "4096",
        *_written(group, videos, audios),
    ]  # fmt: skip


def _written(group: Sequence[Output], videos: list[VideoTrack], audios: list[AudioTrack]) -> list[str]:
    # faststart: the index comes first, so that playing begins before all is loaded.
    if len(group) == 1:
        return ["-movflags", "+faststart", "-f", "mp4", f"file:{group[0].file_name}"]
    return ["-f", "tee", "|".join(_slave(output, videos, audios) for output in group)]


def _slave(output: Output, videos: list[VideoTrack], audios: list[AudioTrack]) -> str:
    streams = f"v:{videos.index(output.video)}"
    if output.audio is not None:
        streams += f",a:{audios.index(output.audio)}"
    return rf"[f=mp4:movflags=+faststart:select=\'{streams}\']file:{output.file_name}"


def _audio_options(tracks: Sequence[AudioTrack], sources: Mapping[AudioTrack, str]) -> list[str]:
    options = []
    for number, track in enumerate(tracks):
        drawn = sources[track].startswith("[")
        options += [f"-c:a:{number}", *(["aac", f"-b:a:{number}", str(track.bitrate)] if drawn else ["copy"])]
    return options
