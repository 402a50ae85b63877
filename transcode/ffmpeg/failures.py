"""What ffmpeg's last words mean: one table from its words to our errors. Pure.

The sentence is for the person who uploaded the file or runs the worker; ffmpeg's own words go beside it in
the record, without the paths of this machine.
"""

import re
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path

from transcode.errors import (
    BuildLacks,
    CodecNotAllowed,
    DeviceBusy,
    DeviceFault,
    DiskFull,
    EncoderCrashed,
    EncoderFailed,
    EncoderTimeout,
    InputCorrupt,
    InputNotMedia,
    InputTooLarge,
    InputTruncated,
    LaneUnfit,
    PictureUnusable,
    TranscodeError,
)
from transcode.ffmpeg.runner import Ended

NOT_MEDIA = "The file is no media file of an accepted kind; MP4, MOV, MKV, WebM, AVI, WMV, FLV and MPEG are."

# First match wins: what explains the rest stands first. Groups of a pattern fill the sentence.
_TABLE: tuple[tuple[str, type[TranscodeError], str], ...] = (
    (r"(?m)^bwrap: ", EncoderFailed, "The sandbox could not be set up around ffmpeg."),
    (r"No space left on device", DiskFull, "The worker's scratch disk is full."),
    # The card. Its memory and sessions first: what comes after them sounds like a missing card.
    (
        r"OpenEncodeSessionEx failed: (?:out of memory \(10\)|incompatible client key \(21\))", DeviceBusy,
        "No encode session of the GPU is free.",
    ),
    (
        r"CUDA_ERROR_OUT_OF_MEMORY|(?:InitializeEncoder|Create\w+Buffer) failed: out of memory", DeviceBusy,
        "The memory of the GPU is full.",
    ),
    (
        r"OpenEncodeSessionEx failed: unsupported device", DeviceFault,
        "This GPU has no video encoder (NVENC): A100, H100 and H200 have none, T4, A10, L4 and L40 have.",
    ),
    (
        r"Cannot load libnvidia-encode|Cannot load libnvcuvid|Failed loading nvcuvid", DeviceFault,
        "The driver's video libraries are missing; a container needs NVIDIA_DRIVER_CAPABILITIES=compute,video,utility.",
    ),
    (
        r"minimum required Nvidia driver for nvenc is ([\d.]+)", DeviceFault,
        "This ffmpeg needs the NVIDIA driver {0} or newer; update it, or set FFMPEG_PATH to an older build.",
    ),
    (
        r"Driver does not support the required nvenc API version", DeviceFault,
        "This ffmpeg needs a newer NVIDIA driver; update it, or set FFMPEG_PATH to an older build.",
    ),
    (
        r"CUDA_ERROR_(?:ILLEGAL_ADDRESS|ILLEGAL_INSTRUCTION|LAUNCH_FAILED|LAUNCH_TIMEOUT|ECC_UNCORRECTABLE|UNKNOWN|"
        r"HARDWARE_STACK_ERROR|DEVICE_UNAVAILABLE)|generic error \(20\)|device not exist \(\d+\)", DeviceFault,
        "The GPU failed while it worked.",
    ),
    (
        r"Cannot load libcuda|Could not dynamically load CUDA|CUDA_ERROR_NO_DEVICE|CUDA_ERROR_INVALID_DEVICE|"
        r"No CUDA capable devices found|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH|CUDA_ERROR_NOT_INITIALIZED", DeviceFault,
        "ffmpeg finds no NVIDIA GPU; check the driver with nvidia-smi, and that the container was given the GPU.",
    ),
    (
        r"No decoder surfaces left|cuvidMapVideoFrame.*failed|cuvid\w+ failed|more than 32 .*decode surfaces|"
        r"cuvidCreateDecoder failed|Hardware is lacking required capabilities|not within range from", LaneUnfit,
        "The GPU's decoder cannot take this film.",
    ),
    (
        r"Impossible to convert between the formats|Unsupported (?:input|output) format: |Unsupported conversion",
        LaneUnfit, "The GPU's filters cannot take this film's pictures.",
    ),
    (
        r"10 bit encode not supported|YUV444P not supported|(?:Width|Height) \d+ exceeds|Max B-frames \d+ exceed|"
        r"B frames as references are not supported|Temporal AQ not supported|Lookahead not supported|"
        r"Provided device doesn't support required NVENC features|InitializeEncoder failed: invalid param", LaneUnfit,
        "The GPU's encoder does not take these settings.",
    ),
    (r"Device creation failed", DeviceFault, "ffmpeg cannot open the GPU."),
    (
        r"Skipped opening external track", InputCorrupt,
        "The file only points to its video in another file; a file with the video inside is wanted.",
    ),
    (r"Format not on whitelist", InputNotMedia, NOT_MEDIA),
    (
        r"Codec \((\w+)\) not on whitelist", CodecNotAllowed,
        "The file has a stream in the codec {0}, which is not accepted.",
    ),
    (
        r"Number of streams exceeds max_streams", InputTooLarge,
        "The file has more streams than any film; at most a hundred are accepted.",
    ),
    (
        r"moov atom not found|Truncating packet of size|\[error\] file:.*: End of file", InputTruncated,
        "The file ends before its index: the upload was cut off.",
    ),
    (
        r"Picture size (?:0x\d+|\d+x0) is invalid", InputCorrupt,
        "A picture inside the film has no size; the file is damaged.",
    ),
    (
        r"exceeds specified max pixel count|Picture size \w+ is invalid", PictureUnusable,
        "A picture inside the film is larger than the 36 million pixels that are accepted.",
    ),
    (r"Unknown encoder '([\w-]+)'", BuildLacks, "The ffmpeg of this worker lacks the encoder {0}."),
    (r"No such filter: '([\w-]+)'", BuildLacks, "The ffmpeg of this worker lacks the filter {0}."),
    (
        r"(?:no decoder found for:?|Decoder \(codec) ([\w-]+)", BuildLacks,
        "The ffmpeg of this worker lacks a decoder for {0}.",
    ),
    (r"Unknown decoder", BuildLacks, "The ffmpeg of this worker lacks a decoder that the file needs."),
    (
        r"Cannot allocate memory|[Mm]alloc of size \d+ failed|Error allocating", EncoderFailed,
        "ffmpeg had not enough memory.",
    ),
    (
        r"Output file .*(?:does not contain any stream|is empty)|Empty output|Decode error rate \S+ exceeds|"
        r"Finishing stream without any data written|Cannot determine format of input .* after EOF", InputCorrupt,
        "Not one picture of the film could be decoded.",
    ),
    (
        r"Error while decoding stream|Error submitting packet to decoder", InputCorrupt,
        "The film is so damaged that it cannot be decoded.",
    ),
    (r"Invalid data found when processing input", InputNotMedia, NOT_MEDIA),
)  # fmt: skip
_DAMAGE = re.compile(
    r"error while decoding|concealing \d+|corrupt decoded frame|Error submitting packet|Error while decoding stream|"
    r"File ended prematurely|partial file|Packet corrupt|Invalid NAL unit|exceeds containing master element|"
    r"first byte of an EBML number",
    re.IGNORECASE,
)


def error(ended: Ended, command: Sequence[str]) -> TranscodeError:
    """The error of a run that did not end well."""
    kind, sentence = _cause(ended)
    return kind(sentence, command=shown(command), output=without_paths(ended.words, command))


def explained(found: TranscodeError, ended: Ended, command: Sequence[str]) -> TranscodeError:
    """A fault that was found in an answer, or the picture's size where that is the reason for it.

    ffprobe leaves a picture over the limit out of its answer and ends well.
    """
    better = error(ended, command)
    return better if isinstance(better, PictureUnusable) else found


def _cause(ended: Ended) -> tuple[type[TranscodeError], str]:
    if ended.status == -signal.SIGXFSZ:
        return InputTooLarge, "A rendition would be far larger than its source; the source is not what it says."
    if ended.status == -signal.SIGXCPU:
        return EncoderTimeout, "ffmpeg used all the processor time that it may have."
    for pattern, kind, sentence in _TABLE:
        if match := re.search(pattern, ended.words):
            return kind, sentence.format(*match.groups())
    if ended.status < 0:
        name = signal.Signals(-ended.status).name
        hint = " The machine was probably out of memory." if name == "SIGKILL" else ""
        return EncoderCrashed, f"ffmpeg was ended by {name}.{hint}"
    return EncoderFailed, f"ffmpeg ended with status {ended.status} and no cause that is known."


def damage(words: str) -> int:
    """How many lines of ffmpeg's words tell of damaged places in the source."""
    return sum(1 for line in words.splitlines() if _DAMAGE.search(line))


def of_card(words: str) -> str:
    """What ffmpeg complained of its card in a run that ended well all the same; empty when it did not."""
    found = re.search(r"CUDA_ERROR_\w+|hardware accelerator failed\b.*", words)
    return found[0] if found else ""


def shown(command: Sequence[str]) -> str:
    """The command as one could type it, with the files' names instead of their paths."""
    return shlex.join(without_paths(word, command) for word in command)


def without_paths(text: str, command: Sequence[str]) -> str:
    """Leave out the folders of this machine that the command names."""
    words = [command[0], *(word.removeprefix("file:") for word in command[1:] if word.startswith("file:/"))]
    folders = {f"{Path(word).parent}/" for word in words if word.startswith("/")}
    for folder in sorted(folders, key=len, reverse=True):
        text = text.replace(folder, "")
    return text
