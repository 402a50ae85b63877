"""Files that no camera makes, written byte by byte: what an attacker would upload."""

import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.flow.odd_clips import MOVING, X264, ffmpeg
from transcode.ffmpeg.binaries import at_hand

# Boxes of an MP4 file on the way to where its data is said to lie.
_TO_DREF = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a RIFF file, padded to an even length."""
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def parts(name: bytes, *bodies: bytes) -> bytes:
    """A list of chunks."""
    return chunk(b"LIST", name + b"".join(bodies))


def jpegs(folder: Path, size: str = "64x48", count: int = 25) -> list[bytes]:
    """Pictures of a moving film."""
    line = [str(at_hand().ffmpeg), "-v", "error", "-f", "lavfi", "-i", f"testsrc2=s={size}:r=25", "-frames:v"]
    line += [str(count), "-pix_fmt", "yuvj420p", "-q:v", "4", "-f", "image2pipe", "-c:v", "mjpeg", "-"]
    data = subprocess.run(line, capture_output=True, check=True, cwd=folder).stdout
    return [b"\xff\xd8" + picture for picture in data.split(b"\xff\xd8")[1:]]


def resized(picture: bytes, width: int, height: int) -> bytes:
    """A JPEG whose header tells another size."""
    at = picture.index(b"\xff\xc0") + 5
    return picture[:at] + struct.pack(">HH", height, width) + picture[at + 4 :]


def avi(
    pictures: Sequence[bytes], width: int = 64, height: int = 48, *, rate: tuple[int, int] = (25, 1), text: bytes = b""
) -> bytes:
    """An AVI of JPEG pictures; `text` goes into a stream of subtitles."""
    most = max(map(len, pictures))
    head = struct.pack("<14I", 40_000, 0, 0, 0x10, len(pictures), 0, 1 + bool(text), most, width, height, 0, 0, 0, 0)
    video = parts(b"strl", _stream(b"vids", b"MJPG", rate, len(pictures)), chunk(b"strf", _bitmap(width, height)))
    texts = parts(b"strl", _stream(b"txts", b"\0" * 4, (25, 1), 1), chunk(b"strf", b"")) if text else b""
    frames = [chunk(b"00dc", picture) for picture in pictures]
    if text:
        frames.insert(0, chunk(b"01tx", text))
    body = parts(b"hdrl", chunk(b"avih", head), video, texts) + parts(b"movi", *frames)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"AVI " + body


def gab2(subtitles: bytes) -> bytes:
    """Subtitles as DivX players take them, which ffmpeg opens as a file inside the file."""
    name = "a".encode("utf-16-le")
    return (
        b"GAB2\0" + struct.pack("<HI", 2, len(name)) + name + struct.pack("<HI", 4, len(subtitles)) + subtitles
    )  # fmt: skip


def pointing_elsewhere(folder: Path, there: str) -> Path:
    """A MOV that says that its film lies in the file `there`, as editing programs do."""
    ffmpeg(folder, f"{X264} -f mov clip.mov", MOVING)
    data = bytearray((folder / "clip.mov").read_bytes())
    path = there.encode()
    alias = struct.pack(">10sB27s12sB63s16sHH16s", b"", 4, b"disk", b"", 5, b"c.mp4", b"", 1, 1, b"")
    alias += struct.pack(">HH", 2, len(path)) + path + b"\0" * (len(path) % 2) + struct.pack(">hH", -1, 0)
    new = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    places, at = [], 0
    for name in _TO_DREF:
        at = data.index(name, at)
        places.append(at - 4)
    entry = at + 12
    old = struct.unpack_from(">I", data, entry)[0]
    data[entry : entry + old] = new
    for place in places:
        struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] + len(new) - old)
    (folder / "clip.mov").write_bytes(data)
    return folder / "clip.mov"


def with_length(folder: Path, units: int) -> Path:
    """An MP4 whose headers tell that many milliseconds, whatever is in it."""
    ffmpeg(folder, f"{X264} clip.mp4", MOVING)
    path = folder / "clip.mp4"
    data = bytearray(path.read_bytes())
    # After version and flags, two times and the unit; `tkhd` has a track and a reserved word instead of the unit.
    for name, after in ((b"mvhd", 16), (b"mdhd", 16), (b"tkhd", 20)):
        struct.pack_into(">I", data, data.index(name) + 4 + after, units)
    path.write_bytes(data)
    return path


def riddled(data: bytes, seed: int, holes: int, width: int = 1) -> bytes:
    """The bytes with some of them replaced, the same for the same seed."""
    damaged = bytearray(data)
    state = seed * 2654435761 % 2**32 or 1
    for _ in range(holes):
        for offset in range(width):
            # Numerical Recipes' generator: the same on every machine and version.
            state = (state * 1664525 + 1013904223) % 2**32
            if not offset:
                at = state % max(1, len(data) - width)
            damaged[at + offset] = state >> 24
    return bytes(damaged)


def _stream(kind: bytes, handler: bytes, rate: tuple[int, int], length: int) -> bytes:
    fields = struct.pack("<IHHI", 0, 0, 0, 0) + struct.pack("<IIII", rate[1], rate[0], 0, length)
    return chunk(b"strh", kind + handler + fields + struct.pack("<III", 0, 0xFFFFFFFF, 0) + b"\0" * 8)


def _bitmap(width: int, height: int) -> bytes:
    return struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", width * height * 3, 0, 0, 0, 0)
