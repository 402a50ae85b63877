"""Each row of the table with the words that ffmpeg 5.1 and 9.0 really said."""

import pytest

from transcode import errors
from transcode.ffmpeg.failures import damage, error
from transcode.ffmpeg.runner import Ended

COMMAND = ["/opt/tools/ffmpeg", "-i", "file:/scratch/task 7/input", "-f", "mp4", "file:mp4_standard.mp4"]

SAID = [
    (
        "full disk, 9.0", errors.DiskFull, "disk is full",
        "[out#0/mp4 @ 0x55] [error] Task finished with error code: -28 (No space left on device)",
    ),
    (
        "no session left", errors.DeviceBusy, "No encode session",
        "[h264_nvenc @ 0x55fa] [error] OpenEncodeSessionEx failed: out of memory (10): (no details)\n"
        "[fc#0 @ 0x564c] [error] Task finished with error code: -12 (Cannot allocate memory)",
    ),
    (
        "memory of the card, decoder", errors.DeviceBusy, "memory of the GPU",
        "[h264 @ 0x5644] [error] decoder->cvdl->cuvidCreateDecoder(&decoder->decoder, params) failed -> "
        "CUDA_ERROR_OUT_OF_MEMORY: out of memory\n[h264 @ 0x5644] [error] Failed setup for format cuda: hwaccel "
        "initialisation returned error.",
    ),
    (
        "memory of the card, encoder", errors.DeviceBusy, "memory of the GPU",
        "[hevc_nvenc @ 0x55bd] [error] InitializeEncoder failed: out of memory (10): Out of device memory.\n"
        "[error] Error initializing output stream 0:0 -- Error while opening encoder for output stream #0:0",
    ),
    (
        "no encoder", errors.DeviceFault, "no video encoder",
        "[hevc_nvenc @ 0x55ba] [error] OpenEncodeSessionEx failed: unsupported device (2): (no details)",
    ),
    (
        "old driver", errors.DeviceFault, "driver 610.00 or newer",
        "[hevc_nvenc @ 0x55ce] [error] Driver does not support the required nvenc API version. Required: 13.1 Found: "
        "11.0\n[hevc_nvenc @ 0x55ce] [error] The minimum required Nvidia driver for nvenc is 610.00 or newer",
    ),
    (
        "no video libraries", errors.DeviceFault, "NVIDIA_DRIVER_CAPABILITIES",
        "[h264_nvenc @ 0x5573] [error] Cannot load libnvidia-encode.so.1\n"
        "[h264_nvenc @ 0x5573] [error] The minimum required Nvidia driver for nvenc is 470.57.02 or newer",
    ),
    (
        "no decoder library", errors.DeviceFault, "NVIDIA_DRIVER_CAPABILITIES",
        "[h264 @ 0x5573] [error] Cannot load libnvcuvid.so.1\n[h264 @ 0x5573] [error] Failed loading nvcuvid.",
    ),
    (
        "encoder broke", errors.DeviceFault, "failed while it worked",
        "[h264_nvenc @ 0x5575] [error] EncodePicture failed!: generic error (20): EncodeAPI Internal Error.",
    ),
    (
        "decoder broke", errors.DeviceFault, "failed while it worked",
        "[h264 @ 0x559e] [error] decoder->cvdl->cuvidDecodePicture(decoder->decoder, &ctx->pic_params) failed -> "
        "CUDA_ERROR_UNKNOWN: CUDA_ERROR_UNKNOWN\n[vist#0:0/h264 @ 0x559e] [dec:h264 @ 0x559e] [error] Error submitting "
        "packet to decoder: Generic error in an external library",
    ),
    (
        "no card", errors.DeviceFault, "finds no NVIDIA GPU",
        "[CUDA @ 0x562f] [error] cu->cuInit(0) failed -> CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected\n"
        "[error] Device creation failed: -542398533.",
    ),
    (
        "no driver", errors.DeviceFault, "finds no NVIDIA GPU",
        "[CUDA @ 0x557b] [error] Cannot load libcuda.so.1\n[CUDA @ 0x557b] [error] Could not dynamically load CUDA\n"
        "[error] Device creation failed: -1.",
    ),
    (
        "decoder refuses", errors.LaneUnfit, "decoder cannot take",
        "[h264 @ 0x5644] [error] No decoder surfaces left",
    ),
    (
        "filters refuse", errors.LaneUnfit, "filters cannot take",
        "[error] Impossible to convert between the formats supported by the filter 'graph 0 input from stream 0:0' and "
        "the filter 'auto_scale_0'\n[error] Error reinitializing filters!",
    ),
    (
        "ten bits", errors.LaneUnfit, "does not take these settings",
        "[h264_nvenc @ 0x563b] [warning] 10 bit encode not supported\n[h264_nvenc @ 0x563b] [fatal] No capable devices "
        "found",
    ),
    (
        "too wide", errors.LaneUnfit, "does not take these settings",
        "[h264_nvenc @ 0x5585] [warning] Width 5000 exceeds 4096\n[h264_nvenc @ 0x5585] [fatal] No capable devices "
        "found",
    ),
    ("card does not open", errors.DeviceFault, "cannot open the GPU", "[error] Device creation failed: -12."),
    (
        "full disk, 5.1", errors.DiskFull, "disk is full",
        "[error] av_interleaved_write_frame(): No space left on device",
    ),
    (
        "reference movie", errors.InputCorrupt, "points to its video in another file",
        "[mov @ 0x5] [warning] Skipped opening external track: stream 0, alias: path='/x/up500.jpg'\n"
        "[vf#0:0 @ 0x5] [error] Cannot determine format of input 0:0 after EOF",
    ),
    (
        "playlist", errors.InputNotMedia, "no media file",
        "[concat @ 0x55] [error] Format not on whitelist 'mov,matroska'\n[error] file:/x/input: Invalid argument",
    ),
    (
        "codec", errors.CodecNotAllowed, "codec magicyuv",
        "[magicyuv @ 0x7f] [error] Codec (magicyuv) not on whitelist 'h264,hevc,aac'",
    ),
    (
        "too many streams", errors.InputTooLarge, "more streams",
        "[mov @ 0x56] [error] Number of streams exceeds max_streams parameter (100), see the documentation if you wish "
        "to increase it\n[error] long.mp4: Cannot allocate memory",
    ),
    (
        "no index", errors.InputTruncated, "before its index",
        "[mov,mp4,m4a,3gp,3g2,mj2 @ 0x7f] [error] moov atom not found\n"
        "[error] file:/x/input: Invalid data found when processing input",
    ),
    ("cut in the header, ts", errors.InputTruncated, "cut off", "[error] file:cut: End of file"),
    (
        "cut in the header, mkv", errors.InputTruncated, "cut off",
        "[error] Truncating packet of size 245 to 3\n[error] file:cut: I/O error",
    ),
    (
        "picture bomb", errors.PictureUnusable, "36 million pixels",
        "[h264 @ 0x56] [IMGUTILS @ 0x7f] [error] Picture size 16000x16000 exceeds specified max pixel count 36000000, "
        "see the documentation if you wish to increase it",
    ),
    ("encoder", errors.BuildLacks, "encoder libx265", "[vost#0:1 @ 0x56] [fatal] Unknown encoder 'libx265'"),
    ("filter", errors.BuildLacks, "filter zscale", "[AVFilterGraph @ 0x56] [error] No such filter: 'zscale'"),
    (
        "decoder", errors.BuildLacks, "decoder for av1",
        "[error] Decoding requested, but no decoder found for: av1",
    ),
    ("memory", errors.EncoderFailed, "enough memory", "[error] Error allocating a packet: Cannot allocate memory"),
    (
        "nothing decodes, 9.0", errors.InputCorrupt, "Not one picture",
        "[vist#0:0/av1 @ 0x7f] [dec:av1 @ 0x7f] [fatal] Decode error rate 1 exceeds maximum 0.666667",
    ),
    (
        "nothing decodes, 5.1", errors.InputCorrupt, "Not one picture",
        "[error] Cannot determine format of input stream 0:0 after EOF\n[fatal] Error marking filters as finished",
    ),
    (
        "damaged, 9.0", errors.InputCorrupt, "so damaged",
        "[vist#0:0/h264 @ 0x5] [error] Error submitting packet to decoder: Invalid data found when processing input",
    ),
    (
        "no media", errors.InputNotMedia, "no media file",
        "[error] file:/x/input: Invalid data found when processing input",
    ),
    ("nothing known", errors.EncoderFailed, "status 1 and no cause", "x265 [error]: odd"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "sentence", "words"), [row[1:] for row in SAID], ids=[row[0] for row in SAID])
def test_what_ffmpeg_says_becomes_an_error_of_ours(
    kind: type[errors.TranscodeError], sentence: str, words: str
) -> None:
    found = error(Ended(1, "", words), COMMAND)
    assert type(found) is kind
    assert sentence in str(found)


@pytest.mark.parametrize(
    ("status", "kind", "sentence"),
    [
        (-9, errors.EncoderCrashed, "SIGKILL. The machine was probably out of memory"),
        (-11, errors.EncoderCrashed, "SIGSEGV."),
        (-25, errors.InputTooLarge, "far larger than its source"),
        (255, errors.EncoderFailed, "status 255"),
    ],
)
def test_a_signal_has_its_name(status: int, kind: type[errors.TranscodeError], sentence: str) -> None:
    found = error(Ended(status, "", ""), COMMAND)
    assert type(found) is kind
    assert sentence in str(found)


def test_paths_of_the_worker_are_left_out_of_command_and_words() -> None:
    found = error(Ended(1, "", "[error] file:/scratch/task 7/input: odd"), COMMAND)
    assert found.command == "ffmpeg -i file:input -f mp4 file:mp4_standard.mp4"
    assert found.output == "[error] file:input: odd"


def test_damaged_places_are_counted() -> None:
    words = (
        "[h264 @ 0x5] [error] error while decoding MB 20 12, bytestream -5\n"
        "[h264 @ 0x5] [warning] concealing 1300 DC, 1300 AC, 1300 MV errors in P frame\n"
        "[warning] something else\n"
    )
    assert damage(words) == 2
    assert damage("") == 0
