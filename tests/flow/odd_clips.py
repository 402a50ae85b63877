"""Odd clips, made with the ffmpeg at hand: what phones, cameras and attackers upload."""

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

from transcode.ffmpeg.binaries import at_hand

# Left brick, right moss, a light grey mark in the middle of the top: tells turned from mirrored. The colours are
# muted because full ones are clipped to the same whatever range or matrix is mistaken.
BRICK, MOSS, MARK = (200, 80, 40), (40, 160, 80), (200, 200, 200)
COLOURS = (
    "color=0xC85028:s=160x240:r=25:d=2,format=gbrp[l];color=0x28A050:s=160x240:r=25:d=2,format=gbrp[r];"
    "[l][r]hstack,drawbox=130:0:60:40:0xC8C8C8:fill"
)
MOVING = "testsrc2=s=320x240:r=25:d=2"
TONE = "sine=f=440:d=2,volume=0.3"
X264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p"


def ffmpeg(folder: Path, words: str, *graphs: str) -> None:
    """Run ffmpeg in a folder; each graph is an input."""
    inputs = [word for text in graphs for word in ("-f", "lavfi", "-i", text)]
    line = [str(at_hand().ffmpeg), "-nostdin", "-v", "error", "-y", *inputs, *words.split()]
    subprocess.run(line, cwd=folder, check=True, timeout=120)


def rotated(folder: Path) -> Path:
    """Turned a quarter clockwise by its track header, as a phone does; ffmpeg 5.1 has no option for it."""
    ffmpeg(folder, f"{X264} clip.mp4", COLOURS)
    path = folder / "clip.mp4"
    data = bytearray(path.read_bytes())
    # The matrix follows 40 bytes of version, times, track, length and layers (ISO 14496-12, tkhd version 0).
    at = data.index(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 240 << 16, 0, 0x40000000)
    path.write_bytes(data)
    return path


def anamorphic(folder: Path) -> Path:
    ffmpeg(folder, f"-vf setsar=64/45 {X264} clip.mp4", MOVING)
    return folder / "clip.mp4"


def odd_sides(folder: Path) -> Path:
    ffmpeg(folder, "-c:v libx264 -preset ultrafast -pix_fmt yuv444p clip.mkv", "testsrc2=s=321x239:r=25:d=2")
    return folder / "clip.mkv"


def sub_second(folder: Path) -> Path:
    ffmpeg(folder, f"-t 0.2 {X264} -c:a aac clip.mp4", MOVING, TONE)
    return folder / "clip.mp4"


def one_frame(folder: Path) -> Path:
    ffmpeg(folder, f"-frames:v 1 {X264} clip.mp4", MOVING)
    return folder / "clip.mp4"


def silent(folder: Path) -> Path:
    ffmpeg(folder, f"-t 2 {X264} -c:a aac clip.mp4", MOVING, "anullsrc=r=48000:cl=stereo")
    return folder / "clip.mp4"


def mute(folder: Path) -> Path:
    ffmpeg(folder, f"{X264} clip.mp4", MOVING)
    return folder / "clip.mp4"


def late_sound(folder: Path) -> Path:
    ffmpeg(folder, "-t 1 -c:a aac sound.m4a", TONE)
    ffmpeg(folder, f"{X264} picture.mp4", MOVING)
    ffmpeg(folder, "-i picture.mp4 -itsoffset 1 -i sound.m4a -map 0 -map 1 -c copy clip.mkv")
    return folder / "clip.mkv"


def uneven(folder: Path) -> Path:
    # Every frame later than the one before by another time, none a multiple of another.
    ffmpeg(folder, f"-vf settb=1/90000,setpts=(N*0.0413+N*N*0.00517)/TB -frames:v 20 -fps_mode passthrough "
           f"-enc_time_base 1:90000 {X264} clip.mp4", MOVING)  # fmt: skip
    return folder / "clip.mp4"


def fast(folder: Path) -> Path:
    ffmpeg(folder, f"{X264} clip.mp4", "testsrc2=s=320x240:r=120:d=1.5")
    return folder / "clip.mp4"


def interlaced(folder: Path) -> Path:
    ffmpeg(folder, f"-vf interlace=scan=tff {X264} -flags +ildct+ilme -x264opts tff=1 clip.mp4",
           "testsrc2=s=320x240:r=50:d=2")  # fmt: skip
    return folder / "clip.mp4"


def motion_jpeg(folder: Path) -> Path:
    ffmpeg(folder, "-vf scale=out_range=pc,format=yuvj420p -c:v mjpeg -q:v 3 -c:a pcm_s16le clip.mov", COLOURS, TONE)
    return folder / "clip.mov"


def full_range(folder: Path) -> Path:
    ffmpeg(folder, "-vf scale=out_range=pc:out_color_matrix=bt709,format=yuv420p,setparams=range=pc:colorspace=bt709:"
           "color_primaries=bt709:color_trc=bt709 -c:v libx264 -preset ultrafast clip.mp4", COLOURS)  # fmt: skip
    return folder / "clip.mp4"


def untagged_hd(folder: Path) -> Path:
    ffmpeg(folder, "-vf scale=1280:720:out_color_matrix=bt709,setsar=1,format=yuv420p,setparams=colorspace=unknown "
           "-t 0.6 -c:v libx264 -preset ultrafast clip.mp4", COLOURS)  # fmt: skip
    return folder / "clip.mp4"


def rgb(folder: Path) -> Path:
    ffmpeg(folder, "-c:v libx264rgb -preset ultrafast clip.mkv", COLOURS)
    return folder / "clip.mkv"


def ten_bit_422(folder: Path) -> Path:
    ffmpeg(folder, "-vf scale=out_color_matrix=bt601,format=yuv422p10le -c:v prores_ks clip.mov", COLOURS)
    return folder / "clip.mov"


def hdr(folder: Path) -> Path:
    ffmpeg(folder, "-vf scale=out_color_matrix=bt709,format=yuv420p,setparams=range=tv:colorspace=bt709:"
           "color_primaries=bt709:color_trc=bt709,zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020,"
           "zscale=t=smpte2084:m=bt2020nc:r=limited:npl=203,format=yuv420p10le -c:v libx265 -preset ultrafast "
           "-x265-params log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc -tag:v hvc1 clip.mp4",
           COLOURS)  # fmt: skip
    return folder / "clip.mp4"


def transport_stream(folder: Path) -> Path:
    ffmpeg(folder, "-c:v mpeg2video -c:a mp2 clip.ts", MOVING, TONE)
    return folder / "clip.ts"


def with_cover(folder: Path) -> Path:
    ffmpeg(folder, "-frames:v 1 cover.png", "color=red:s=100x100")
    ffmpeg(folder, f"{X264} -c:a aac film.mp4", MOVING, TONE)
    # The cover first: who takes the first video stream takes it.
    ffmpeg(folder, "-i cover.png -i film.mp4 -map 0 -map 1 -c copy -disposition:v:0 attached_pic clip.mp4")
    return folder / "clip.mp4"


def cover_only(folder: Path) -> Path:
    ffmpeg(folder, "-frames:v 1 cover.png", "color=red:s=100x100")
    ffmpeg(folder, "-c:a aac sound.m4a", TONE)
    ffmpeg(folder, "-i sound.m4a -i cover.png -map 0 -map 1 -c copy -disposition:v:0 attached_pic clip.mp4")
    return folder / "clip.mp4"


def personal(folder: Path) -> Path:
    ffmpeg(folder, f"{X264} -c:a aac film.mp4", MOVING, TONE)
    (folder / "tags.txt").write_text(
        ";FFMETADATA1\ntitle=Our garden\nlocation=+59.33+018.06/\n[CHAPTER]\nTIMEBASE=1/1\nSTART=0\nEND=1\ntitle=In\n"
    )
    ffmpeg(folder, "-i film.mp4 -i tags.txt -map 0 -map_metadata 1 -map_chapters 1 -timecode 01:00:00:00 -c copy "
           "clip.mov")  # fmt: skip
    return folder / "clip.mov"


def dark_start(folder: Path) -> Path:
    ffmpeg(
        folder,
        f"{X264} -g 25 clip.mp4",
        "color=black:s=320x240:r=25:d=5[a];testsrc2=s=320x240:r=25:d=2[b];[a][b]concat",
    )
    return folder / "clip.mp4"


def dark_end(folder: Path) -> Path:
    ffmpeg(
        folder,
        f"{X264} -g 25 clip.mp4",
        "testsrc2=s=320x240:r=25:d=2[a];color=black:s=320x240:r=25:d=3[b];[a][b]concat",
    )
    return folder / "clip.mp4"


def all_dark(folder: Path) -> Path:
    ffmpeg(folder, f"{X264} clip.mp4", "color=black:s=320x240:r=25:d=2")
    return folder / "clip.mp4"


def cut_off(folder: Path) -> Path:
    """A file that plays, and ends at the half."""
    ffmpeg(folder, f"{X264} -c:a aac -movflags +faststart whole.mp4", "testsrc2=s=320x240:r=25:d=6", "sine=f=440:d=6")
    data = (folder / "whole.mp4").read_bytes()
    (folder / "clip.mp4").write_bytes(data[: len(data) // 2])
    return folder / "clip.mp4"


def without_index(folder: Path) -> Path:
    """The first half of a file whose index comes last."""
    path = mute(folder)
    path.write_bytes(path.read_bytes()[:20_000])
    return path


def wrong_codec(folder: Path) -> Path:
    ffmpeg(folder, "-c:v magicyuv clip.avi", MOVING)
    return folder / "clip.avi"


# Whose first size is what a viewer sees, and whether there is sound.
GOOD: dict[Callable[[Path], Path], tuple[tuple[int, int], bool]] = {
    rotated: ((240, 320), False),
    anamorphic: ((454, 240), False),
    odd_sides: ((320, 238), False),
    sub_second: ((320, 240), True),
    one_frame: ((320, 240), False),
    silent: ((320, 240), True),
    mute: ((320, 240), False),
    late_sound: ((320, 240), True),
    uneven: ((320, 240), False),
    fast: ((320, 240), False),
    interlaced: ((320, 240), False),
    motion_jpeg: ((320, 240), True),
    full_range: ((320, 240), False),
    untagged_hd: ((1280, 720), False),
    rgb: ((320, 240), False),
    ten_bit_422: ((320, 240), False),
    hdr: ((320, 240), False),
    transport_stream: ((320, 240), True),
    with_cover: ((320, 240), True),
    personal: ((320, 240), True),
}
