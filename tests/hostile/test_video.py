"""Hostile and broken video against the real ffmpeg: the right refusal, or a right rendition, and no way out.

Around each test stand a file that must not be read and a server that must not be asked (`conftest`). Rows are
those of the list of bad inputs; README.md beside this file says which is tested where.
"""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.flow.odd_clips import MOVING, TONE, X264, ffmpeg
from tests.flow.test_media import frame_times, near, pixel, probed
from tests.hostile import crafted
from tests.hostile.conftest import QUICK, SECRET, Farm
from transcode import errors
from transcode.ffmpeg.binaries import at_hand
from transcode.presets import load

Refusal = tuple[type[errors.TranscodeError], str]
NOT_MEDIA: Refusal = (errors.InputNotMedia, "no media file of an accepted kind")


def refused(farm: Farm, path: Path, refusal: Refusal) -> None:
    """It is refused with this reason, in a sentence without the folders of this machine, and leaves nothing."""
    kind, words = refusal
    with pytest.raises(errors.Permanent, match=words) as caught:
        farm.render(path)
    assert type(caught.value) is kind
    told = f"{caught.value} {caught.value.command} {caught.value.output}"
    assert str(farm.folder) not in told
    assert SECRET.decode() not in told


def made(farm: Farm, path: Path) -> Path:
    """Its film, after both renditions were made and nothing else."""
    renditions = farm.render(path)
    assert {entry.name for entry in (farm.folder / "out").iterdir()} == {one.path.name for one in renditions.values()}
    film = renditions["mp4_smooth"].path
    assert {stream["codec_type"] for stream in probed(film)["streams"]} <= {"video", "audio"}
    return film


# --- what is no video at all (V01, V02, V20) ---


OTHERS: dict[str, bytes] = {
    "one byte": b"x",
    "archive": b"PK\x03\x04\x14\0\0\0\0\0" + bytes(range(256)) * 40 + b"PK\x05\x06" + bytes(18),
    "document": b"%PDF-1.7\n" + b"1 0 obj << /Type /Catalog >> endobj\n" * 100,
    "program": b"\x7fELF\x02\x01\x01" + bytes(9) + bytes(range(256)) * 40,
    "windows program": b"MZ" + bytes(58) + b"\x40\0\0\0" + b"PE\0\0" + bytes(range(256)) * 40,
    "only zeros": bytes(100_000),
    "script": b"#!/bin/sh\ncurl http://169.254.169.254/latest/meta-data/\n",
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_video_is_told_apart(kind: str, farm: Farm) -> None:
    refused(farm, farm.upload(OTHERS[kind], "film.mp4"), NOT_MEDIA)


@pytest.mark.parametrize("form", ["gif", "apng", "image2 -frames:v 1 -c:v png", "image2 -frames:v 1 -c:v mjpeg"])
def test_a_picture_named_as_a_film_is_no_film(form: str, farm: Farm) -> None:
    ffmpeg(farm.folder, f"-f {form} film.mp4", "testsrc2=s=64x64:r=5:d=1")
    refused(farm, farm.folder / "film.mp4", NOT_MEDIA)


# --- what would open other files and addresses (V03, V04) ---


REACHING = {
    "playlist with a key": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{there}"\n#EXTINF:5,\n{there}\n',
    "playlist with a map": '#EXTM3U\n#EXT-X-MAP:URI="{there}"\n#EXTINF:5,\n{there}\n#EXT-X-ENDLIST\n',
    "master playlist": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{there}\n",
    "concat of a part": "ffconcat version 1.0\nfile 'subfile,,start,0,end,9999,,:{there}'\n",
    "concat of concats": "ffconcat version 1.0\nfile 'concat:{there}|{there}'\noption safe 0\n",
    "old concat": "concat:{there}|{there}",
    "manifest with entities": '<?xml version="1.0"?><!DOCTYPE M [<!ENTITY e SYSTEM "{there}">]>'
    '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period>&e;</Period></MPD>',
    "smooth streaming": '<SmoothStreamingMedia><StreamIndex Url="{there}"/></SmoothStreamingMedia>',
    "list of pictures": "{there}%03d.png\n",
    "subtitles": "1\n00:00:00,000 --> 00:00:05,000\n<img src='{there}'>\n\n",
    "song list": "[playlist]\nFile1={there}\nNumberOfEntries=1\n",
}


@pytest.mark.parametrize("kind", REACHING)
def test_a_text_that_points_elsewhere_is_refused(kind: str, farm: Farm) -> None:
    for there in ("canary.mp4", str(farm.canary), f"file://{farm.canary}", f"http://{farm.address}/film.mp4"):
        for name in ("input", "film.mp4", "film.m3u8", "film.ffconcat"):
            refused(farm, farm.upload(REACHING[kind].format(there=there).encode(), name), NOT_MEDIA)


@pytest.mark.parametrize("kind", ["playlist with a map", "concat of a part", "subtitles"])
def test_subtitles_inside_an_avi_open_nothing(kind: str, farm: Farm) -> None:
    pictures = crafted.jpegs(farm.folder)
    for there in (f"file://{farm.canary}", f"http://{farm.address}/film.ts"):
        text = crafted.gab2(REACHING[kind].format(there=there).encode())
        film = made(farm, farm.upload(crafted.avi(pictures, text=text)))
        assert len(frame_times(film)) == len(pictures)
        assert not near(pixel(film, 0.5, 0.5), (255, 0, 255), 40), "the canary's colour"


def test_a_film_that_lies_in_another_file_is_refused(farm: Farm) -> None:
    for there in (str(farm.canary), "canary.mp4", f"http://{farm.address}/film.mov"):
        path = crafted.pointing_elsewhere(farm.folder, there)
        refused(farm, path, (errors.InputCorrupt, "points to its video in another file"))


def test_a_film_that_lies_in_another_file_would_be_read_without_our_limits(farm: Farm) -> None:
    """The file is a real trap: with ffmpeg's own option it opens the canary."""
    path = crafted.pointing_elsewhere(farm.folder, str(farm.canary))
    line = [str(at_hand().ffprobe), "-v", "debug", "-enable_drefs", "1", "-use_absolute_path", "1", str(path)]
    words = subprocess.run(line, capture_output=True, check=False, text=True).stderr
    assert str(farm.canary) in words


# --- codecs, streams and protection (V05, V06, V14, V16) ---


@pytest.mark.parametrize("codec", ["ffv1", "huffyuv", "utvideo", "png", "rawvideo", "qtrle", "ffvhuff", "zmbv"])
def test_a_codec_that_nobody_films_in_is_refused(codec: str, farm: Farm) -> None:
    name = "film.mov" if codec == "qtrle" else "film.mkv"
    ffmpeg(farm.folder, f"-c:v {codec} {name}", "testsrc2=s=64x64:r=5:d=1")
    refused(farm, farm.folder / name, (errors.CodecNotAllowed, f"codec '?{codec}'?, which is not accepted"))


def test_subtitles_alone_are_no_film(farm: Farm) -> None:
    (farm.folder / "words.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhi\n\n")
    ffmpeg(farm.folder, "-i words.srt -c:s srt film.mkv")
    refused(farm, farm.folder / "film.mkv", (errors.NoVideoStream, "only subtitle"))


@pytest.mark.parametrize("kind", ["mkv", "mp4", "ts"])
def test_two_hundred_streams_are_refused(kind: str, farm: Farm) -> None:
    ffmpeg(farm.folder, f"-frames:v 2 {X264} one.mp4", "color=gray:s=64x64:r=5:d=1")
    ffmpeg(farm.folder, "-i one.mp4 " + "-map 0 " * 200 + f"-c copy film.{kind}")
    refused(farm, farm.folder / f"film.{kind}", (errors.InputTooLarge, "streams"))


def test_an_encrypted_film_says_that_it_is(farm: Farm) -> None:
    ffmpeg(farm.folder, f"{X264} whole.mp4", MOVING)
    key = "00112233445566778899aabbccddeeff"
    ffmpeg(farm.folder, f"-i whole.mp4 -c copy -encryption_scheme cenc-aes-ctr -encryption_key {key} "
           f"-encryption_kid {key} film.mp4")  # fmt: skip
    refused(farm, farm.folder / "film.mp4", (errors.CodecNotAllowed, r"encrypted \(DRM\)"))


# --- floods and names inside a file (V14, V15, V21) ---


def test_a_flood_of_words_and_chapters_is_left_out(farm: Farm) -> None:
    ffmpeg(farm.folder, f"{X264} whole.mkv", MOVING)
    chapters = "".join(
        f"[CHAPTER]\nTIMEBASE=1/1000000\nSTART={n}\nEND={n + 1}\ntitle=../evil %s <b>\n" for n in range(10_000)
    )
    words = f";FFMETADATA1\ntitle={'A' * 5_000_000}\nartist=../../evil\\\n%n%s<script>\n{chapters}"
    (farm.folder / "words.txt").write_text(words)
    ffmpeg(farm.folder, "-i whole.mkv -i words.txt -map 0 -map_metadata 1 -c copy film.mkv")
    film = made(farm, farm.folder / "film.mkv")
    found = probed(film)
    assert found["chapters"] == []
    assert "<script" not in json.dumps(found)
    assert film.stat().st_size < 1_000_000


def test_a_file_inside_the_film_is_left_out_whatever_its_name(farm: Farm) -> None:
    (farm.folder / "freight").write_bytes(SECRET * 1_000_000)
    ffmpeg(farm.folder, f"-attach freight -metadata:s:t mimetype=text/plain -metadata:s:t filename=../../evil {X264} "
           "film.mkv", MOVING)  # fmt: skip
    film = made(farm, farm.folder / "film.mkv")
    assert film.stat().st_size < 1_000_000


def test_a_film_that_is_an_archive_and_a_page_too_becomes_a_clean_film(farm: Farm) -> None:
    ffmpeg(farm.folder, f"{X264} whole.mp4", MOVING)
    tail = b"<html><script>alert(1)</script>" + SECRET + b"PK\x03\x04PK\x05\x06" + bytes(18)
    head = (8 + len(tail)).to_bytes(4) + b"free" + tail
    data = (farm.folder / "whole.mp4").read_bytes()
    for mixed in (data + tail, data + head):
        film = made(farm, farm.upload(mixed))
        assert b"<script>" not in film.read_bytes()


# --- broken files (V07, V08, V09, V11) ---


def whole(farm: Farm, kind: str, options: str = "") -> bytes:
    """A film of four seconds with sound."""
    ffmpeg(farm.folder, f"{X264} -g 12 -c:a aac {options} whole.{kind}", "testsrc2=s=320x240:r=25:d=4", "sine=d=4")
    return (farm.folder / f"whole.{kind}").read_bytes()


@pytest.mark.parametrize(("kind", "options"), [("mkv", ""), ("mp4", "-movflags +faststart"), ("mov", "")])
def test_half_a_film_is_a_broken_upload(kind: str, options: str, farm: Farm) -> None:
    data = whole(farm, kind, options)
    refused(farm, farm.upload(data[: len(data) // 2]), (errors.InputTruncated, "cut off"))


def test_half_a_transport_stream_is_a_shorter_film(farm: Farm) -> None:
    """Nothing in it says how long it was; it is as long as what is there."""
    data = whole(farm, "ts")
    film = made(farm, farm.upload(data[: len(data) // 2]))
    assert 1.5 < float(probed(film)["format"]["duration"]) < 3


@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts"])
def test_a_damaged_middle_is_told_beside_the_result(kind: str, farm: Farm) -> None:
    data = whole(farm, kind)
    middle = len(data) // 2
    noise = crafted.riddled(bytes(4000), seed=3, holes=1, width=3999)
    path = farm.upload(data[:middle] + noise + data[middle + len(noise) :])
    rendition = farm.render(path)["mp4_smooth"]
    assert "damaged places" in rendition.warning
    assert rendition.duration > 3.5


def test_damaged_sound_is_told_also_where_it_is_made_before_the_film(farm: Farm) -> None:
    path = farm.upload(whole(farm, "mp4"))
    line = [str(at_hand().ffprobe), "-v", "error", "-select_streams", "a", "-show_entries", "packet=pos,size", "-of"]
    told = subprocess.run([*line, "json", str(path)], capture_output=True, check=True, text=True).stdout
    packets = json.loads(told)["packets"]
    data = bytearray(path.read_bytes())
    for packet in packets[len(packets) // 3 : len(packets) // 2]:
        start, size = int(packet["pos"]), int(packet["size"])
        data[start : start + size] = crafted.riddled(bytes(size), seed=3, holes=1, width=size - 1)
    loud = load().pick(["lcd_h265"])[0].model_copy(update={"speed": "ultrafast"})
    assert "damaged places" in farm.render(farm.upload(bytes(data)), (loud,))["lcd_h265"].warning


def test_a_film_of_noise_in_a_sound_shell_is_corrupt(farm: Farm) -> None:
    data = whole(farm, "mp4", "-movflags +faststart -an")
    begin = data.index(b"mdat") + 4
    noise = crafted.riddled(data[begin:], seed=5, holes=1, width=len(data) - begin - 1)
    refused(farm, farm.upload(data[:begin] + noise), (errors.InputCorrupt, "Not one picture"))


@pytest.mark.parametrize("options", ["-movflags +frag_keyframe+empty_moov", "-movflags +faststart", ""])
def test_every_order_of_index_and_film_works(options: str, farm: Farm) -> None:
    film = made(farm, farm.upload(whole(farm, "mp4", options)))
    assert len(frame_times(film)) == 100


def test_an_edit_list_is_kept_to(farm: Farm) -> None:
    whole(farm, "mp4")
    # Copied from a key frame before the cut; the list says to begin later.
    ffmpeg(farm.folder, "-ss 1.3 -i whole.mp4 -map 0:v -c copy film.mp4")
    film = made(farm, farm.folder / "film.mp4")
    assert float(probed(film)["format"]["duration"]) == pytest.approx(2.7, abs=0.1)


def test_a_picture_that_changes_its_size_is_brought_to_one(farm: Farm) -> None:
    for name, size in (("a", "320x240"), ("b", "160x120")):
        ffmpeg(farm.folder, f"{X264} {name}.ts", f"testsrc2=s={size}:r=25:d=1")
    data = (farm.folder / "a.ts").read_bytes() + (farm.folder / "b.ts").read_bytes()
    found = probed(made(farm, farm.upload(data)))["streams"][0]
    assert (found["width"], found["height"]) == (320, 240)
    assert float(found["duration"]) > 1.8


# --- sizes, rates and times that lie (V10, V12, V13, V18) ---


TOO_MUCH = "36 million pixels"
SIZES: dict[tuple[int, int], Refusal] = {
    (16000, 16000): (errors.PictureUnusable, TOO_MUCH),
    (65500, 1): (errors.PictureUnusable, "65500x1; sides of 16 to 8192"),
    (1, 1): (errors.PictureUnusable, "1x1; sides of 16 to 8192"),
    (8000, 16): (errors.PictureUnusable, "at most 20 times the other"),
    (0, 0): (errors.InputCorrupt, "does not say how large its picture is"),
}


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_an_absurd_picture_is_refused_before_it_is_drawn(size: tuple[int, int], farm: Farm) -> None:
    pictures = [crafted.resized(picture, *size) for picture in crafted.jpegs(farm.folder, count=3)]
    refused(farm, farm.upload(crafted.avi(pictures, *size)), SIZES[size])


def test_a_huge_picture_behind_a_small_header_is_not_drawn(farm: Farm) -> None:
    pictures = [crafted.resized(picture, 16000, 16000) for picture in crafted.jpegs(farm.folder, count=3)]
    refused(farm, farm.upload(crafted.avi(pictures)), (errors.InputCorrupt, "Not one picture"))


@pytest.mark.parametrize("rate", [(1_000_000, 1), (0, 1), (25, 0), (1, 1000), (2**31, 1), (1, 2**31)], ids=str)
def test_no_rate_makes_more_frames_than_there_are(rate: tuple[int, int], farm: Farm) -> None:
    pictures = crafted.jpegs(farm.folder, count=5)
    path = farm.upload(crafted.avi(pictures, rate=rate))
    try:
        film = made(farm, path)
    except (errors.InputTooLarge, errors.PictureUnusable, errors.InputCorrupt):
        return
    assert 1 <= len(frame_times(film)) <= 5


def test_a_million_frames_per_second_are_five_frames(farm: Farm) -> None:
    ffmpeg(farm.folder, f"{X264} -frames:v 5 -video_track_timescale 1000000 film.mp4", "testsrc2=s=64x64:r=1000000")
    assert len(frame_times(made(farm, farm.folder / "film.mp4"))) <= 5


@pytest.mark.parametrize("hours", [1, 10])
def test_two_frames_hours_apart_never_become_more(hours: int, farm: Farm) -> None:
    ffmpeg(farm.folder, f"-vf setpts=N*{hours * 3600}/TB {X264} -frames:v 2 -fps_mode passthrough film.mkv", MOVING)
    try:
        times = frame_times(made(farm, farm.folder / "film.mkv"))
    except errors.InputTruncated:
        # An MP4 with clocks as fine as ours has no room for more than five hours between two frames.
        assert hours > 5
        return
    assert [time - times[0] for time in times] == pytest.approx([0, 3600 * hours])


@pytest.mark.parametrize("milliseconds", [0, 1, 3_600_000, 2**32 - 1], ids=["none", "an instant", "an hour", "weeks"])
def test_a_length_that_lies_is_not_believed_for_the_film(milliseconds: int, farm: Farm) -> None:
    path = crafted.with_length(farm.folder, milliseconds)
    try:
        film = made(farm, path)
    except (errors.InputTooLarge, errors.InputTruncated):
        return
    assert float(probed(film)["format"]["duration"]) == pytest.approx(2.0, abs=0.1)


def test_a_clock_that_wraps_goes_on(farm: Farm) -> None:
    # The clock of a transport stream has 33 bits at 90 kHz and begins anew after 95443.7 seconds.
    ffmpeg(farm.folder, f"{X264} -muxdelay 0 -output_ts_offset 95442.7 film.ts", MOVING)
    times = frame_times(made(farm, farm.folder / "film.ts"))
    assert len(times) == 50
    assert times[-1] - times[0] == pytest.approx(1.96, abs=0.05)


def test_eight_channels_at_192_kilohertz_become_stereo(farm: Farm) -> None:
    ffmpeg(farm.folder, f"{X264} -ac 8 -ar 192000 -c:a flac film.mkv", MOVING, "anoisesrc=d=2:a=0.1:r=192000:seed=1")
    sound = probed(made(farm, farm.folder / "film.mkv"))["streams"][1]
    assert (sound["channels"], sound["sample_rate"]) == (2, "48000")


def test_a_film_with_holes_in_it_is_a_film(farm: Farm) -> None:
    """Transparent pictures have a fourth plane that no rendition knows."""
    ffmpeg(farm.folder, "-vf format=yuva444p10le -c:v prores_ks -profile:v 4444 film.mov", MOVING)
    assert len(frame_times(made(farm, farm.folder / "film.mov"))) == 50


# --- chance (V22, V23, V25) ---


KINDS = {
    "mp4": f"{X264} -c:a aac", "mkv": f"{X264} -c:a libopus", "ts": "-c:v mpeg2video -c:a mp2",
    "avi": "-c:v mpeg4 -c:a libmp3lame", "flv": f"{X264} -c:a aac", "webm": "-c:v libvpx -cpu-used 8 -c:a libopus",
    "wmv": "-c:v wmv2 -c:a wmav2", "mpg": "-c:v mpeg1video -c:a mp2", "mov": "-c:v mjpeg -pix_fmt yuvj420p -c:a alac",
}  # fmt: skip


def ending(farm: Farm, path: Path) -> str:
    """The sentence and command that a file ends with; a hang or a foreign error is none."""
    try:
        return made(farm, path).name
    except (errors.EncoderStalled, errors.EncoderTimeout):
        raise
    except errors.TranscodeError as error:
        return f"{error} {error.command}"


def mutated(farm: Farm, kind: str, rounds: int) -> None:
    """Each damaged copy is refused with an error of ours, or becomes a film."""
    ffmpeg(farm.folder, f"-t 0.5 {KINDS[kind]} film.{kind}", "testsrc2=s=64x64:r=25:d=1", TONE)
    data = (farm.folder / f"film.{kind}").read_bytes()
    for seed in range(1, rounds + 1):
        # A few holes anywhere, or many in the header, where the lengths and counts are.
        damaged = crafted.riddled(data, seed, 1 + seed % 40)
        if seed % 2:
            damaged = crafted.riddled(data[:2000], seed, 1 + seed % 9) + data[2000:]
        assert str(farm.folder) not in ending(farm, farm.upload(damaged))
        farm.untouched()
        for left in (farm.folder / "out").glob("*"):
            left.unlink()


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_copy_ends_as_a_film_or_a_sentence(kind: str, farm: Farm) -> None:
    mutated(farm, kind, rounds=4)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_damaged_copies_end_as_films_or_sentences(kind: str, farm: Farm) -> None:
    mutated(farm, kind, rounds=110)


def test_a_crash_of_ffmpeg_is_told_with_its_signal(farm: Farm) -> None:
    ffmpeg(farm.folder, f"{X264} film.mp4", MOVING)
    script = farm.folder / "crashing-ffmpeg"
    script.write_text("#!/bin/sh\nkill -SEGV $$\n")
    script.chmod(0o755)
    farm.encoder = replace(farm.encoder, tools=replace(farm.encoder.tools, ffmpeg=script))
    with pytest.raises(errors.EncoderCrashed, match="SIGSEGV"):
        farm.render(farm.folder / "film.mp4", QUICK[:1])
