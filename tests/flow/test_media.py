"""Real files through all seven presets with the real ffmpeg: right outputs, or the clear failure."""

import json
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.flow import odd_clips
from tests.flow.odd_clips import BRICK, MARK, MOSS
from transcode import errors
from transcode.ffmpeg.binaries import at_hand
from transcode.ffmpeg.encoder import FfmpegEncoder
from transcode.ports import Progress, RenderJob, Rendition, TypeFailure
from transcode.presets import Preset, load

MEDIA = Path(__file__).parents[3] / "shared" / "media"
PRESETS = load()
# The effort changes neither size nor sound nor colour, and costs most of the time.
QUICK = tuple(preset.model_copy(update={"speed": "ultrafast"}) for preset in PRESETS.all)
FILMS = tuple(preset.name for preset in PRESETS.all if preset.media == "video")
WITH_SOUND = {preset.name for preset in PRESETS.all if preset.audio}

needs_media = pytest.mark.skipif(not MEDIA.is_dir(), reason="the folder with real clips is not here")


@dataclass
class Ear:
    """A watch that hears everything, and stops the run when it is told to."""

    heard: list[Progress] = field(default_factory=list)
    stop: Callable[[], bool] = lambda: False

    def progress(self, progress: Progress) -> None:
        self.heard.append(progress)

    def check(self) -> None:
        if self.stop():
            raise errors.Cancelled("The task was cancelled.")


def encoder() -> FfmpegEncoder:
    return FfmpegEncoder(at_hand(), threads=2)


def job(path: Path, folder: Path, presets: tuple[Preset, ...] = QUICK, **values: Any) -> RenderJob:
    out = folder / "out"
    out.mkdir(exist_ok=True)
    return RenderJob(path, out, encoder().probe(path), presets, values.pop("watch", Ear()), **values)


def rendered(path: Path, folder: Path, presets: tuple[Preset, ...] = QUICK) -> dict[str, Rendition]:
    made = [one for one in encoder().render(job(path, folder, presets)) if isinstance(one, Rendition)]
    return {one.type: one for one in made}


def probed(path: Path) -> dict[str, Any]:
    line = [str(at_hand().ffprobe), "-v", "error", "-show_streams", "-show_format", "-show_chapters", "-of", "json"]
    found: dict[str, Any] = json.loads(subprocess.run([*line, str(path)], capture_output=True, check=True).stdout)
    return found


def pixel(path: Path, x: float, y: float) -> tuple[int, ...]:
    """The colour of the first frame at a share of its width and height."""
    spot = f"crop=2:2:trunc(iw*{x}/2)*2:trunc(ih*{y}/2)*2,format=rgb24"
    line = [str(at_hand().ffmpeg), "-v", "error", "-i", str(path), "-frames:v", "1", "-vf", spot, "-f", "rawvideo", "-"]
    return tuple(subprocess.run(line, capture_output=True, check=True).stdout[:3])


def frame_times(path: Path) -> list[float]:
    line = [str(at_hand().ffprobe), "-v", "error", "-select_streams", "v:0", "-show_entries", "packet=pts_time"]
    words = subprocess.run([*line, "-of", "csv=p=0", str(path)], capture_output=True, check=True, text=True).stdout
    return sorted(float(line.strip(",")) for line in words.split())


def loudness(path: Path) -> tuple[float, float]:
    """Integrated loudness and true peak, by ffmpeg's meter and not by our reader of it."""
    line = [str(at_hand().ffmpeg), "-nostdin", "-i", str(path), "-map", "0:a:0", "-filter:a", "ebur128=peak=true"]
    words = subprocess.run([*line, "-f", "null", "-"], capture_output=True, check=True, text=True).stderr
    summary = words[words.rindex("Summary:") :]
    integrated, peak = re.findall(r"(?:I|Peak): +(-?[\d.]+|-inf) (?:LUFS|dBFS)", summary)
    return float(integrated), float(peak)


def near(colour: tuple[int, ...], wanted: tuple[int, int, int], slack: int = 6) -> bool:
    return all(abs(one - other) <= slack for one, other in zip(colour, wanted, strict=True))


def check_all(made: dict[str, Rendition], size: tuple[int, int], sound: bool) -> None:
    """What is promised of every rendition, seen by another ffprobe call than the product's."""
    assert list(made) == [*sorted(FILMS, key=list(made).index), "thumbnail"]
    assert set(made) == {*FILMS, "thumbnail"}
    assert (made["hdlbr_h265"].width, made["hdlbr_h265"].height) == size
    for name in FILMS:
        found = probed(made[name].path)
        film = found["streams"][0]
        kinds = [stream["codec_type"] for stream in found["streams"]]
        assert kinds == (["video", "audio"] if sound and name in WITH_SOUND else ["video"]), name
        assert film["pix_fmt"] == "yuv420p"
        assert film.get("sample_aspect_ratio", "1:1") == "1:1"
        assert film.get("color_range") == "tv"
        assert film["codec_tag_string"] == ("hvc1" if film["codec_name"] == "hevc" else "avc1")
        assert (film["width"], film["height"]) == (made[name].width, made[name].height)
        assert float(found["format"].get("start_time", 0)) < 0.5
        data = made[name].path.read_bytes()
        assert data.index(b"moov") < data.index(b"mdat"), "the index comes first"


@pytest.mark.parametrize("make", odd_clips.GOOD, ids=lambda make: make.__name__)
def test_an_odd_clip_becomes_seven_right_renditions(make: Callable[[Path], Path], tmp_path: Path) -> None:
    size, sound = odd_clips.GOOD[make]
    check_all(rendered(make(tmp_path), tmp_path), size, sound)


REAL = {
    "encore_test.mp4": ((1280, 720), True),
    "h265_10bits.mp4": ((200, 200), False),
    "nasa_13013.mp4": ((320, 180), True),
    "portrait.ts": ((720, 1280), False),
    "rotated_video.mp4": ((480, 640), True),
    "small_video.mp4": ((426, 240), True),
    "video.webm": ((640, 480), True),
    "video_without_audio_stream.mp4": ((640, 480), False),
}
REFUSED: dict[str, tuple[type[errors.TranscodeError], str]] = {
    "multiple_audio.mp4": (errors.NoVideoStream, "no video, only audio"),
    "video_without_video_stream.mp4": (errors.NoVideoStream, "no video, only audio"),
    "quicktime_jpeg.mov": (errors.InputCorrupt, "points to its video in another file"),
}
# Long ones are cut to these seconds, their streams as they are; `slow` takes them whole.
CUT = {"encore_test.mp4": 1.5, "small_video.mp4": 3.0, "nasa_13013.mp4": 5.0}


@needs_media
def test_every_real_clip_is_accounted_for() -> None:
    assert {path.name for path in MEDIA.iterdir()} == REAL.keys() | REFUSED.keys()


@needs_media
@pytest.mark.parametrize("name", REAL)
def test_a_real_clip_becomes_seven_right_renditions(name: str, tmp_path: Path) -> None:
    path = MEDIA / name
    if name in CUT:
        odd_clips.ffmpeg(tmp_path, f"-i {path} -t {CUT[name]} -map 0 -map -0:d -c copy cut-{name}")
        path = tmp_path / f"cut-{name}"
    check_all(rendered(path, tmp_path), *REAL[name])


@needs_media
@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_a_whole_real_clip_at_full_effort_becomes_seven_right_renditions(name: str, tmp_path: Path) -> None:
    check_all(rendered(MEDIA / name, tmp_path, PRESETS.all), *REAL[name])


@needs_media
@pytest.mark.parametrize("name", REFUSED)
def test_a_real_clip_that_is_no_film_says_so(name: str, tmp_path: Path) -> None:
    kind, words = REFUSED[name]
    with pytest.raises(kind, match=words):
        rendered(MEDIA / name, tmp_path)


@needs_media
@pytest.mark.parametrize("name", [name for name, (_, sound) in REAL.items() if sound])
def test_the_loudness_of_a_whole_real_clip_is_met(name: str, tmp_path: Path) -> None:
    tiny = tuple(
        p.model_copy(update={"speed": "ultrafast", "box": (64, 64)}) for p in PRESETS.pick(["hdlbr_h265", "lcd_h265"])
    )
    made = rendered(MEDIA / name, tmp_path, tiny)
    for type_, wanted in (("hdlbr_h265", -17.0), ("lcd_h265", -10.0)):
        integrated, peak = loudness(made[type_].path)
        assert abs(integrated - wanted) <= 1.0
        assert peak <= -1.0
        assert made[type_].warning == ""


@pytest.mark.parametrize(
    ("sound", "warned"),
    [
        ("sine=f=440:d=3,volume=0.2", False),  # far too quiet
        ("anoisesrc=d=3:c=pink:a=0.9:seed=7", False),  # far too loud
        ("sine=f=1000:d=3,volume=0.9,tremolo=f=2:d=1", False),
        # Clicks in silence: so much peak for so little loudness that no limiter gets there.
        ("aevalsrc='if(lt(mod(t,1.5),0.002),0.9,0)':d=6:s=48000", True),
    ],
)
def test_made_sound_meets_its_loudness_or_says_that_it_does_not(sound: str, warned: bool, tmp_path: Path) -> None:
    odd_clips.ffmpeg(
        tmp_path, f"-shortest {odd_clips.X264} -c:a pcm_s16le clip.mkv", "color=gray:s=64x64:r=5:d=6", sound
    )
    made = rendered(tmp_path / "clip.mkv", tmp_path, QUICK[2:4])
    for type_, wanted in (("hdlbr_h265", -17.0), ("lcd_h265", -10.0)):
        integrated, peak = loudness(made[type_].path)
        assert peak <= -1.0
        missed = abs(integrated - wanted) > 1.0
        assert bool(made[type_].warning) == missed
        assert missed == warned or type_ == "hdlbr_h265"


@pytest.mark.parametrize("make", [odd_clips.silent, odd_clips.sub_second], ids=lambda make: make.__name__)
def test_silence_and_a_blink_of_sound_keep_their_level(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    made = rendered(path, tmp_path, QUICK[3:4])["lcd_h265"]
    assert made.audio_codec == "aac"
    assert made.warning == ""
    assert loudness(made.path)[1] <= loudness(path)[1] + 1.0


@pytest.mark.parametrize(
    "make",
    [
        odd_clips.motion_jpeg, odd_clips.full_range, odd_clips.untagged_hd, odd_clips.rgb, odd_clips.ten_bit_422,
    ],
    ids=lambda make: make.__name__,
)  # fmt: skip
def test_colours_are_right_whatever_the_source_calls_them(make: Callable[[Path], Path], tmp_path: Path) -> None:
    for rendition in rendered(make(tmp_path), tmp_path).values():
        assert near(pixel(rendition.path, 0.25, 0.5), BRICK), rendition.type
        assert near(pixel(rendition.path, 0.75, 0.5), MOSS), rendition.type
        assert near(pixel(rendition.path, 0.5, 0.05), MARK), rendition.type


def test_hdr_becomes_ordinary_colours(tmp_path: Path) -> None:
    for rendition in rendered(odd_clips.hdr(tmp_path), tmp_path, QUICK[:1] + QUICK[-1:]).values():
        red, green, blue = pixel(rendition.path, 0.25, 0.5)
        grey = pixel(rendition.path, 0.5, 0.05)
        # Brick, not the mud of untreated PQ, and a grey without a tint.
        assert red > 2 * green > 2 * blue
        assert max(grey) - min(grey) <= 12
        assert min(grey) > 100


def test_a_turned_phone_film_stands_upright(tmp_path: Path) -> None:
    for rendition in rendered(odd_clips.rotated(tmp_path), tmp_path).values():
        # Turned a quarter clockwise: what was left is up, what was right is down, the mark of the top is right.
        assert near(pixel(rendition.path, 0.5, 0.25), BRICK), rendition.type
        assert near(pixel(rendition.path, 0.5, 0.75), MOSS), rendition.type
        assert near(pixel(rendition.path, 0.95, 0.5), MARK), rendition.type


@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts"])
def test_an_uneven_film_keeps_every_frame_and_its_time(kind: str, tmp_path: Path) -> None:
    path = odd_clips.uneven(tmp_path)
    if kind != "mp4":
        odd_clips.ffmpeg(tmp_path, f"-i clip.mp4 -c copy clip.{kind}")
        path = tmp_path / f"clip.{kind}"
    before = frame_times(path)
    for rendition in rendered(path, tmp_path, QUICK[:1] + QUICK[4:5]).values():
        after = frame_times(rendition.path)
        assert [time - after[0] for time in after] == pytest.approx([time - before[0] for time in before], abs=1e-3)


def test_a_film_of_120_frames_per_second_keeps_every_second_one(tmp_path: Path) -> None:
    made = rendered(odd_clips.fast(tmp_path), tmp_path, QUICK[:1])["mp4_standard"]
    assert len(frame_times(made.path)) == 90


@pytest.mark.parametrize("seconds", [1, 3])
@pytest.mark.parametrize("name", ["mp4_smooth", "h265_mute"])
def test_a_short_film_keeps_its_ceiling_and_uses_it(name: str, seconds: int, tmp_path: Path) -> None:
    # Grain, so that every encoder would take far more.
    grain = f"testsrc2=s=320x240:r=25:d={seconds},noise=alls=40:allf=t:all_seed=1"
    odd_clips.ffmpeg(tmp_path, f"{odd_clips.X264} -crf 10 clip.mp4", grain)
    ceiling = 300_000
    (wanted,) = (p.model_copy(update={"max_bitrate": ceiling}) for p in QUICK if p.name == name)
    film = probed(rendered(tmp_path / "clip.mp4", tmp_path, (wanted,))[name].path)["streams"][0]
    assert 0.5 * ceiling < int(film["bit_rate"]) <= ceiling


def quiet_until(path: Path) -> float:
    """Seconds of silence at the start of a film."""
    line = [str(at_hand().ffmpeg), "-nostdin", "-i", str(path), "-af", "silencedetect=n=-40dB:d=0.5", "-f", "null", "-"]
    words = subprocess.run(line, capture_output=True, check=True, text=True).stderr
    return float(re.findall(r"silence_end: ([\d.]+)", words)[0])


# Encoded in the one run; made before and copied into a film of its own; copied into one of two films at once.
@pytest.mark.parametrize("types", [("mp4_standard",), ("hdlbr_h265",), ("lcd_h265", "custom_mute_preview")])
def test_late_sound_stays_late(types: tuple[str, ...], tmp_path: Path) -> None:
    presets = tuple(preset for preset in QUICK if preset.name in types)
    made = rendered(odd_clips.late_sound(tmp_path), tmp_path, presets)[types[0]]
    assert quiet_until(made.path) == pytest.approx(1.0, abs=0.03)


def test_places_names_and_chapters_are_not_passed_on(tmp_path: Path) -> None:
    path = odd_clips.personal(tmp_path)
    assert "location" in json.dumps(probed(path)).lower()
    for rendition in rendered(path, tmp_path).values():
        text = json.dumps(probed(rendition.path)).lower()
        assert not re.search(r"\"location|garden|\+59|timecode", text.replace(str(rendition.path).lower(), ""))
        assert probed(rendition.path)["chapters"] == []
        assert b"+59.33" not in rendition.path.read_bytes()


@pytest.mark.parametrize("make", [odd_clips.dark_start, odd_clips.dark_end], ids=lambda make: make.__name__)
def test_a_dark_frame_is_passed_over(make: Callable[[Path], Path], tmp_path: Path) -> None:
    made = rendered(make(tmp_path), tmp_path, QUICK[-1:])["thumbnail"]
    assert max(pixel(made.path, 0.25, 0.5)) > 100


def test_a_film_that_is_all_dark_has_a_dark_picture(tmp_path: Path) -> None:
    made = rendered(odd_clips.all_dark(tmp_path), tmp_path, QUICK[-1:])["thumbnail"]
    assert max(pixel(made.path, 0.5, 0.5)) < 16


def test_a_preset_can_ask_for_a_clip_with_bars_at_its_own_rate(tmp_path: Path) -> None:
    mine = Preset(
        name="mine", codec="h264", quality=28, box=(240, 240), fit="pad", fps=10.0, start=0.5, duration=1.0,
        speed="ultrafast",
    )  # fmt: skip
    path = odd_clips.mute(tmp_path)
    alone = rendered(path, tmp_path, (mine,))["mine"]
    beside = rendered(path, tmp_path, (mine, QUICK[0]))["mine"]
    for made in (alone, beside):
        assert (made.width, made.height) == (240, 240)
        assert len(frame_times(made.path)) == 10
        assert near(pixel(made.path, 0.5, 0.05), (0, 0, 0))


BAD: dict[Callable[[Path], Path], tuple[type[errors.TranscodeError], str]] = {
    odd_clips.cover_only: (errors.NoVideoStream, "only a cover picture and audio"),
    odd_clips.cut_off: (errors.InputTruncated, "lasts 6.0 seconds, but only"),
    odd_clips.without_index: (errors.InputTruncated, "cut off"),
    odd_clips.wrong_codec: (errors.CodecNotAllowed, "magicyuv"),
}


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_a_bad_clip_fails_with_its_reason(make: Callable[[Path], Path], tmp_path: Path) -> None:
    kind, words = BAD[make]
    with pytest.raises(kind, match=words) as caught:
        rendered(make(tmp_path), tmp_path)
    assert str(tmp_path) not in f"{caught.value} {caught.value.command} {caught.value.output}"


LIES = {
    "playlist": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{there}\n",
    "concat": "ffconcat version 1.0\nfile '{there}'\n",
    "session": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "manifest": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet>'
    '<Representation id="1"><BaseURL>{there}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "drawing": '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><image href="{there}"/></svg>',
    "text": "Dear farm,\nplease transcode {there}.\n",
    "web page": "<html><video src='{there}'></html>",
}


@pytest.mark.parametrize("kind", LIES)
@pytest.mark.parametrize("name", ["input", "film.mp4", "film.m3u8", "film.ans"])
def test_a_text_that_says_it_is_a_film_opens_nothing(kind: str, name: str, tmp_path: Path) -> None:
    odd_clips.mute(tmp_path).rename(tmp_path / "secret.mp4")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        for there in ("secret.mp4", str(tmp_path / "secret.mp4"), f"http://127.0.0.1:{port}/secret.mp4"):
            (tmp_path / name).write_text(LIES[kind].format(there=there, port=port))
            with pytest.raises(errors.InputNotMedia):
                encoder().probe(tmp_path / name)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_an_empty_file_and_noise_are_no_films(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"")
    with pytest.raises(errors.InputEmpty):
        encoder().probe(tmp_path / "input")
    (tmp_path / "input").write_bytes(bytes(range(1, 256)) * 400)
    with pytest.raises(errors.InputNotMedia):
        encoder().probe(tmp_path / "input")


def test_progress_rises_and_ends_before_hundred(tmp_path: Path) -> None:
    odd_clips.ffmpeg(tmp_path, f"{odd_clips.X264} clip.mp4", "testsrc2=s=640x360:r=50:d=4")
    ear = Ear()
    slow = tuple(p.model_copy(update={"speed": "medium"}) for p in QUICK[:3])
    work = job(tmp_path / "clip.mp4", tmp_path, slow, watch=ear)
    list(encoder().render(work))
    told = [progress.percent for progress in ear.heard]
    assert told == sorted(told)
    assert 0 <= told[0] < told[-1] <= 99
    assert set(work.phases) == {"loudness", "encode", "verify"}


def running_in(folder: Path) -> list[str]:
    """Processes whose working folder is this one."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink() == folder:
                found.append(entry.name)
        except OSError:
            continue
    return found


def test_a_cancelled_run_leaves_no_ffmpeg(tmp_path: Path) -> None:
    odd_clips.ffmpeg(tmp_path, f"{odd_clips.X264} clip.mp4", "testsrc2=s=1280x720:r=50:d=10")
    begun: list[str] = []
    ear = Ear(stop=lambda: bool(begun))
    slow = (QUICK[2].model_copy(update={"speed": "veryslow"}),)
    work = job(tmp_path / "clip.mp4", tmp_path, slow, watch=ear)

    def note() -> bool:
        begun.extend(running_in(work.folder))
        return bool(begun)

    ear.stop = note
    with pytest.raises(errors.Cancelled):
        list(encoder().render(work))
    assert begun
    assert running_in(work.folder) == []


def failing(folder: Path, words: str) -> FfmpegEncoder:
    """The real ffmpeg, but for commands with these words."""
    script = folder / "failing-ffmpeg"
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *"{words}"*) echo "x265 [error]: it is Monday" >&2; exit 1;; esac\n'
        f'exec "{at_hand().ffmpeg}" "$@"\n'
    )
    script.chmod(0o755)
    return FfmpegEncoder(replace(at_hand(), ffmpeg=script), threads=2)


def test_made_separately_one_bad_type_takes_no_other_along(tmp_path: Path) -> None:
    work = job(odd_clips.mute(tmp_path), tmp_path, separately=True)
    made = list(failing(tmp_path, "-crf:v:0 22").render(work))
    failed = {one.type: one.error for one in made if isinstance(one, TypeFailure)}
    assert set(failed) == {"lcd_h265", "custom_mute_preview"}
    assert "it is Monday" in failed["lcd_h265"].output
    assert {one.type for one in made if isinstance(one, Rendition)} == {*FILMS, "thumbnail"} - set(failed)


def test_made_together_one_bad_type_ends_the_run_with_command_and_words(tmp_path: Path) -> None:
    work = job(odd_clips.mute(tmp_path), tmp_path)
    with pytest.raises(errors.EncoderFailed) as caught:
        list(failing(tmp_path, "-crf:v:0 22").render(work))
    assert "-filter_complex" in caught.value.command
    assert "it is Monday" in caught.value.output
    assert str(tmp_path) not in caught.value.command


def test_a_picture_that_fails_is_a_type_that_fails(tmp_path: Path) -> None:
    work = job(odd_clips.mute(tmp_path), tmp_path, QUICK[:1] + QUICK[-1:], separately=True)
    made = list(failing(tmp_path, "-c:v mjpeg").render(work))
    assert {type(one): one.type for one in made} == {TypeFailure: "thumbnail", Rendition: QUICK[0].name}


def test_picture_and_sound_are_made_at_the_same_time(tmp_path: Path) -> None:
    odd_clips.ffmpeg(tmp_path, f"{odd_clips.X264} -c:a aac clip.mp4", odd_clips.MOVING, "anoisesrc=d=2:c=pink:a=0.3")
    # Each waits for the other to begin.
    begun = f'"{tmp_path}/picture" "{tmp_path}/meter"'
    script = tmp_path / "meeting-ffmpeg"
    script.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *"-c:v mjpeg"*) touch "{tmp_path}/picture";; *ebur128*) touch "{tmp_path}/meter";;\n'
        f'*) exec "{at_hand().ffmpeg}" "$@";; esac\n'
        f"for _ in $(seq 200); do ls {begun} >/dev/null 2>&1 && break; sleep 0.1; done\n"
        f'ls {begun} >/dev/null && exec "{at_hand().ffmpeg}" "$@"\n'
    )
    script.chmod(0o755)
    work = job(tmp_path / "clip.mp4", tmp_path)
    made = list(FfmpegEncoder(replace(at_hand(), ffmpeg=script), threads=2).render(work))
    assert {one.type for one in made} == {*FILMS, "thumbnail"}


def test_made_separately_each_type_has_its_own_loudness(tmp_path: Path) -> None:
    odd_clips.ffmpeg(tmp_path, f"{odd_clips.X264} -c:a aac clip.mp4", odd_clips.MOVING, "anoisesrc=d=2:c=pink:a=0.3")
    work = job(tmp_path / "clip.mp4", tmp_path, QUICK[2:4], separately=True)
    made = {one.type: one.path for one in encoder().render(work) if isinstance(one, Rendition)}
    assert loudness(made["hdlbr_h265"])[0] == pytest.approx(-17.0, abs=1.0)
    assert loudness(made["lcd_h265"])[0] == pytest.approx(-10.0, abs=1.0)


def test_the_cpu_is_had_for_each_encode_and_for_nothing_else(tmp_path: Path) -> None:
    work = job(odd_clips.mute(tmp_path), tmp_path, QUICK[:3] + QUICK[-1:], separately=True)
    had: list[set[str]] = []

    @contextmanager
    def cpu() -> Iterator[None]:
        before = set(work.phases)
        yield
        had.append(before)

    made = list(encoder().render(replace(work, cpu=cpu)))
    assert len(made) == 4
    assert had == [{"thumbnail", "loudness"}, *[{"thumbnail", "loudness", "encode", "verify"}] * 2]


def test_nothing_but_the_renditions_is_left_in_the_folder(tmp_path: Path) -> None:
    # Loud enough to need a limiter, and so a rehearsal.
    odd_clips.ffmpeg(tmp_path, f"{odd_clips.X264} -c:a aac clip.mp4", odd_clips.MOVING, "anoisesrc=d=2:c=pink:a=0.3")
    made = rendered(tmp_path / "clip.mp4", tmp_path)
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == {one.path.name for one in made.values()}
