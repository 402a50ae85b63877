"""What ffmpeg and ffprobe may open: the only list of accepted formats and codecs, and the limits of an input.

Every command that reads an upload starts its input with `options`. The format list is the control that
works: the protocol list alone lets disguised playlists read the files beside them.
"""

from pathlib import Path

# Demuxers of the accepted extensions. No hls, concat, dash, sdp, image2 or tty: those open other files.
FORMATS = ("mov", "matroska", "webm", "avi", "asf", "flv", "mpeg", "mpegts", "mpegvideo")

# Names of codecs, as ffprobe reports them, that a film may be in.
VIDEO_CODECS = (
    "h264", "hevc", "vp8", "vp9", "av1", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3",
    "wmv1", "wmv2", "wmv3", "vc1", "h263", "h263p", "flv1", "vp6", "vp6f", "mjpeg", "prores", "dnxhd", "dvvideo",
    "theora",
)  # fmt: skip

# Names of decoders, which differ from those of codecs: the list is compared with what is about to be opened.
_VIDEO_DECODERS = (
    "h264", "hevc", "vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "libaom-av1", "mpeg1video", "mpeg2video",
    "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "wmv1", "wmv2", "wmv3", "vc1", "h263", "h263p", "flv", "vp6", "vp6f",
    "mjpeg", "prores", "dnxhd", "dvvideo", "theora",
)  # fmt: skip
_AUDIO_DECODERS = (
    "aac", "aac_latm", "mp3float", "mp3", "mp2float", "mp2", "mp1float", "ac3", "eac3", "dca", "truehd", "mlp", "opus",
    "libopus", "vorbis", "libvorbis", "flac", "alac", "wmav1", "wmav2", "wmapro", "wmalossless", "wmavoice", "amrnb",
    "amrwb", "libopencore_amrnb", "libopencore_amrwb", "nellymoser", "speex", "adpcm_ima_qt", "adpcm_ima_wav",
    "adpcm_ms", "adpcm_swf", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le",
    "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_u8", "pcm_s8", "pcm_mulaw", "pcm_alaw", "pcm_bluray", "pcm_dvd",
)  # fmt: skip
# Opened while a file is looked at, never mapped: without them a subtitle or a cover refuses the whole file.
_BYSTANDERS = (
    "mov_text", "subrip", "srt", "ass", "ssa", "webvtt", "text", "cc_dec", "dvbsub", "dvdsub", "pgssub",
    "libzvbi_teletextdec", "png", "bmp", "gif", "webp",
)  # fmt: skip

# Pixels of a decoded picture, 6000x6000: a picture bomb of 750 KB took 800 MB and 7 s before it was refused.
LARGEST_PICTURE = 36_000_000
# A film with forty languages has about that many tracks twice; more is a header flood.
MOST_STREAMS = 100
# Seconds. Longer films exist; longer uploads to a transcode farm are mistakes or lying headers.
LONGEST = 12 * 3600.0
# What an MP4 or MOV file begins with, after four bytes of length.
_MOV_BEGINS = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})


def options() -> list[str]:
    """What stands before `-i` when an upload is read, by ffmpeg and ffprobe alike."""
    return [
        "-protocol_whitelist", "file",
        "-format_whitelist", ",".join(FORMATS),
        "-codec_whitelist", ",".join((*_VIDEO_DECODERS, *_AUDIO_DECODERS, *_BYSTANDERS)),
        "-max_pixels", str(LARGEST_PICTURE),
        "-max_streams", str(MOST_STREAMS),
        # Bytes and microseconds: streams that begin late in a transport stream are found, a flood is not read.
        "-probesize", "20M", "-analyzeduration", "20M",
        # Timestamps for AVI frames that have none; packets that the demuxer knows to be damaged are left out.
        "-fflags", "+genpts+discardcorrupt",
    ]  # fmt: skip


def address(path: Path) -> str:
    """A path that ffmpeg cannot take for an option, a protocol or a pattern."""
    return f"file:{path}"


def begins_like_mov(path: Path) -> bool:
    """Whether a file begins as MP4 and MOV files do; ffmpeg also takes text and noise for broken ones."""
    with path.open("rb") as file:
        return file.read(8)[4:] in _MOV_BEGINS
