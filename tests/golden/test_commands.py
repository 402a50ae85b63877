"""The exact ffmpeg command of every preset, as text beside this file. `make golden` writes them anew."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.ffmpeg.sources import A100, ABLE, PRESETS, T4, answered, preset, source
from transcode.ffmpeg import command, still
from transcode.ffmpeg.lanes import Capabilities, Gpu, Lane, Nvenc
from transcode.ffmpeg.loudness import Level
from transcode.ffmpeg.plan import plan
from transcode.ffmpeg.probe import Colour, Source
from transcode.presets import Audio, Preset

FOLDER = Path(__file__).parent
FFMPEG, FFPROBE, INPUT = Path("ffmpeg"), Path("ffprobe"), Path("/scratch/input")
FILM = source()
# More than golden films need, so that their lengths and threads are seen.
FOUR = Capabilities(ABLE.filters, ABLE.decoders, threads=4)
LEVELS = {-17.0: Level(-3.25), -10.0: Level(6.5, -2.0)}


def lines(words: list[str]) -> str:
    """A command with each option on a line of its own."""
    text = words[0]
    for word in words[1:]:
        text += ("\n" if word.startswith("-") and not word[1:2].isdigit() and word != "-" else " ") + word
    return text.replace(";", ";\n    ") + "\n"


def encoded(film: Source, wanted: list[Preset], gpu: Gpu | None = None, lane: Lane | None = None) -> str:
    made = plan(film, wanted, replace(FOUR, gpu=gpu))
    made = made.on(lane or made.lane, made.outputs)
    sounds = [track for track in made.audios if track.loudness is not None]
    return lines(command.encode(FFMPEG, INPUT, made, {t: f"sound{number}-0.m4a" for number, t in enumerate(sounds)}))


def pictured(film: Source) -> str:
    made = plan(film, PRESETS.pick(["thumbnail"]), FOUR)
    (wanted,) = made.stills
    return "\n".join(lines(still.picture(FFMPEG, INPUT, made, wanted, look)) for look in still.looks(wanted))


def taken() -> str:
    made = plan(FILM, PRESETS.all, FOUR)
    levels = {track: LEVELS[track.loudness] for track in made.audios if track.loudness is not None}
    names = {track: f"sound{number}-0.m4a" for number, track in enumerate(levels)}
    assert FILM.audio is not None
    rehearsed = {track: [level, replace(level, gain=9.0)] for track, level in levels.items() if level.ceiling}
    asked = command.rehearse(FFMPEG, INPUT, made, FILM.audio, rehearsed)
    return lines(asked) + "\n" + lines(command.take(FFMPEG, INPUT, made, FILM.audio, levels, names))


def measured() -> str:
    assert FILM.audio is not None
    asked = command.measure(FFMPEG, INPUT, FILM.audio, None, None)
    return lines(asked) + "\n" + lines(command.measure_made(FFMPEG, Path("/scratch/out/sound0-0.m4a")))


HDR = source(colour=Colour("tv", "bt2020nc", "smpte2084", "bt2020"), interlaced=True, fps=120.0, pix_fmt="yuv420p10le")
CLIP = preset(name="clip", box=(320, 320), fit="pad", fps=25.0, start=5.0, duration=3.0, audio=Audio())
MODEST = replace(T4, encoders={"h264": Nvenc(False, False, False), "hevc": Nvenc(False, False, False)})
FOUR_K = source(width=3840, height=2160, codec="hevc")
CASES = {
    **{p.name: encoded(FILM, [p]) for p in PRESETS.all if p.media == "video"},
    **{f"{p.name}_on_a_card": encoded(FILM, [p], T4) for p in PRESETS.all if p.media == "video"},
    **{f"{p.name}_encoded_on_a_card": encoded(FILM, [p], T4, Lane.NVENC) for p in PRESETS.all if p.media == "video"},
    **{f"{p.name}_decoded_on_a_card": encoded(FOUR_K, [p], A100) for p in PRESETS.all if p.media == "video"},
    "all_seven_on_a_card": encoded(FILM, list(PRESETS.all), T4),
    "all_seven_on_a_modest_card": encoded(FILM, list(PRESETS.all), MODEST),
    "all_seven_of_interlaced_at_120_on_a_card": encoded(source(interlaced=True, fps=120.0), list(PRESETS.all), T4),
    "padded_on_a_card": encoded(FILM, [CLIP, *PRESETS.pick(["mp4_standard"])], T4),
    "thumbnail": pictured(FILM),
    "all_seven": encoded(FILM, list(PRESETS.all)),
    "all_seven_of_a_portrait_without_sound": encoded(answered("portrait_ts"), list(PRESETS.all)),
    "all_seven_of_interlaced_hdr_at_120": encoded(HDR, list(PRESETS.all)),
    "thumbnail_of_rgb": pictured(answered("rgb")),
    "only_a_clip": encoded(FILM, [CLIP]),
    "a_clip_beside_the_whole": encoded(FILM, [CLIP, *PRESETS.pick(["mp4_standard"])]),
    "loudness_measured": measured(),
    "loudness_taken": taken(),
    "probe": lines(command.probe(FFPROBE, INPUT)),
    "check_film": lines(command.check(FFPROBE, Path("/scratch/out/lcd_h265.mp4"))),
    "check_picture": lines(command.check(FFPROBE, Path("/scratch/out/thumbnail.jpg"))),
}


@pytest.mark.parametrize("name", CASES)
def test_the_command_is_the_one_on_record(name: str) -> None:
    path = FOLDER / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(CASES[name])
    assert CASES[name] == path.read_text(), "run `make golden` if this is meant"


def test_no_record_is_left_of_what_is_gone() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(CASES)


def test_every_read_of_an_upload_is_guarded() -> None:
    for name, text in CASES.items():
        for one in text.split("\n\n"):
            if "file:/scratch/input" in one:
                before = one.partition("file:/scratch/input")[0]
                for guard in ("-protocol_whitelist file\n", "-format_whitelist mov,", "-codec_whitelist h264,",
                              "-max_pixels 36000000", "-max_streams 100"):  # fmt: skip
                    assert guard in before, name
