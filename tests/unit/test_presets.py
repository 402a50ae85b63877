import re
from pathlib import Path

import pytest

from transcode.errors import BadPreset, UnknownType
from transcode.presets import LARGEST_FILE, Audio, load

SEVEN = (
    "mp4_standard", "mp4_smooth", "hdlbr_h265", "lcd_h265", "h265_mute", "custom_mute_preview", "thumbnail",
)  # fmt: skip


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own.toml"


def test_the_seven_types_are_there_with_the_numbers_people_know() -> None:
    found = {preset.name: preset for preset in load().all}
    assert tuple(found) == SEVEN
    numbers = {
        name: (p.codec, p.box, p.quality, p.max_bitrate, p.audio and (p.audio.loudness, p.audio.true_peak))
        for name, p in found.items()
    }
    assert numbers == {
        "mp4_standard": ("h264", (848, 480), 23, 800_000, (None, -1.0)),
        "mp4_smooth": ("h264", (640, 360), 25, 400_000, (None, -1.0)),
        "hdlbr_h265": ("hevc", None, 20, 6_000_000, (-17.0, -1.0)),
        "lcd_h265": ("hevc", None, 22, None, (-10.0, -1.0)),
        "h265_mute": ("hevc", None, 23, 2_867_000, None),
        "custom_mute_preview": ("hevc", None, 22, None, None),
        "thumbnail": ("mjpeg", (1280, 720), 3, None, None),
    }
    assert {p.audio.bitrate for p in found.values() if p.audio} == {128_000}
    assert found["thumbnail"].at == 4.0
    assert all(p.description and p.description_zh for p in found.values())


def test_what_an_output_is_follows_from_its_codec() -> None:
    film, picture = load().pick(["lcd_h265", "thumbnail"])
    assert (film.media, film.ext, film.content_type) == ("video", "mp4", "video/mp4")
    assert (picture.media, picture.ext, picture.content_type) == ("image", "jpg", "image/jpeg")


def test_nvenc_quality_lies_above_crf_unless_given(own: Path) -> None:
    own.write_text("[lcd_h265]\ncq = 30\n")
    given, derived = load(own).pick(["lcd_h265", "h265_mute"])
    assert (given.nvenc_cq, derived.nvenc_cq) == (30, 28)


def test_types_are_picked_once_in_the_order_asked() -> None:
    assert [p.name for p in load().pick(["thumbnail", "mp4_smooth", "thumbnail"])] == ["thumbnail", "mp4_smooth"]


def test_an_unknown_type_is_told_what_is_known() -> None:
    with pytest.raises(UnknownType, match=r"Unknown transcode type 'mp5'; the types are: mp4_standard, mp4_smooth, .*"):
        load().pick(["mp4_smooth", "mp5"])


def test_one_entry_is_all_it_takes_to_add_a_type(own: Path) -> None:
    own.write_text('[square]\ncodec = "h264"\nbox = [480, 480]\nfit = "pad"\nquality = 28\n')
    found = load(own)
    assert found.names == (*SEVEN, "square")
    (square,) = found.pick(["square"])
    assert (square.box, square.fit, square.audio) == ((480, 480), "pad", None)


def test_an_override_changes_only_what_it_names(own: Path) -> None:
    own.write_text(
        "[hdlbr_h265]\nquality = 24\naudio.loudness = -16\n\n"
        "[custom_mute_preview]\nstart = 5\nduration = 3\nbox = [480, 270]\n"
    )
    high, preview = load(own).pick(["hdlbr_h265", "custom_mute_preview"])
    assert (high.quality, high.max_bitrate) == (24, 6_000_000)
    assert high.audio == Audio(bitrate=128_000, loudness=-16.0, true_peak=-1.0)
    assert (preview.start, preview.duration, preview.box) == (5.0, 3.0, (480, 270))


def test_false_takes_an_optional_value_away(own: Path) -> None:
    own.write_text("[mp4_standard]\naudio = false\nmax_bitrate = false\nbox = false\n")
    (found,) = load(own).pick(["mp4_standard"])
    assert (found.audio, found.max_bitrate, found.box) == (None, None, None)


def test_windows_line_ends_and_a_byte_order_mark_are_read(own: Path) -> None:
    own.write_bytes(b"\xef\xbb\xbf[mp4_smooth]\r\nquality = 30\r\n")
    assert load(own).pick(["mp4_smooth"])[0].quality == 30


BAD = [
    ("not TOML", "[mp4_smooth]\nquality == 3\n", 2, "this is no TOML"),
    ("cut off", '[mp4_smooth]\ndescription = "', 2, "this is no TOML"),
    ("twice the same", "[mine]\nquality = 3\n[mine]\n", 3, "this is no TOML"),
    ("deep", "x = " + "[" * 5000, 1, "this is no TOML"),
    ("outside", "quality = 3\n", 1, "'quality' stands outside an entry"),
    ("unknown field", "[mp4_smooth]\nbox = [640, 360]\nvf = 3\n", 3, "the field 'vf' is unknown; the fields are: desc"),
    ("unknown sound field", "[mp4_smooth]\naudio.codec = 3\n", 2, "the field 'audio.codec' is unknown"),
    ("text for a number", '[mp4_smooth]\n\nquality = "23"\n', 3, r"quality \(given: '23'\)"),
    ("true for a number", "[mp4_smooth]\nquality = true\n", 2, r"quality \(given: 'True'\)"),
    ("out of range", "[mp4_smooth]\nquality = 99\n", 2, r"quality \(given: '99'\): .*51"),
    ("odd box", "[mp4_smooth]\nbox = [641, 360]\n", 2, r"box \(given: '641'\): .*multiple of 2"),
    ("zero box", "[mp4_smooth]\nbox = [0, 0]\n", 2, r"box \(given: '0'\)"),
    ("negative box", "[mp4_smooth]\nbox = [-2, 360]\n", 2, r"box \(given: '-2'\)"),
    ("huge box", "[mp4_smooth]\nbox = [100000, 360]\n", 2, r"box \(given: '100000'\)"),
    ("one side", "[mp4_smooth]\nbox = [640]\n", 2, "box"),
    ("rate with a unit", '[mp4_smooth]\nmax_bitrate = "5Mx"\n', 2, r"max_bitrate \(given: '5Mx'\)"),
    ("no frames", "[mp4_smooth]\nfps = 0\n", 2, r"fps \(given: '0'\)"),
    ("infinite", "[mp4_smooth]\nfps = inf\n", 2, "fps"),
    ("not a number", "[mp4_smooth]\nstart = nan\n", 2, "start"),
    ("negative start", "[mp4_smooth]\nstart = -1\n", 2, "start"),
    ("codec", '[mine]\nquality = 3\ncodec = "libx264 -vf movie=/etc/passwd"\n', 3, "codec"),
    ("speed", '[mp4_smooth]\nspeed = "turbo"\n', 2, "speed"),
    ("missing", '[mine]\ncodec = "h264"\n', 1, "the field 'quality' is missing"),
    ("name with a slash", '["a/b"]\ncodec = "h264"\nquality = 3\n', 1, "a name is 1 to 40 of the characters"),
    ("name with dots", '["../x"]\ncodec = "h264"\nquality = 3\n', 1, "a name is"),
    ("name with a space", '["a b"]\ncodec = "h264"\nquality = 3\n', 1, "a name is"),
    ("long name", f'[{"a" * 41}]\ncodec = "h264"\nquality = 3\n', 1, "a name is"),
    ("name as a field", '[mine]\nname = "x"\n', 2, "the name is in the brackets"),
    ("picture with sound", "[thumbnail]\naudio.bitrate = 64000\n", 1, "a picture .* has no audio"),
    ("picture quality", "[thumbnail]\nquality = 40\n", 1, "the quality of a picture is 2"),
    ("film with a place", "[mp4_smooth]\nat = 3\n", 1, "only a picture"),
    ("pad without a box", '[lcd_h265]\nfit = "pad"\n', 1, "needs a box"),
    ("sound rate", "[mp4_smooth]\naudio.bitrate = 1\n", 2, r"audio\.bitrate \(given: '1'\)"),
]


@pytest.mark.parametrize(("text", "line", "reason"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_file_is_refused_with_its_line_and_the_reason(own: Path, text: str, line: int, reason: str) -> None:
    own.write_text(text)
    with pytest.raises(BadPreset) as caught:
        load(own)
    sentence = str(caught.value)
    assert sentence.startswith(f"own.toml, line {line}"), sentence
    assert re.search(reason, sentence), sentence
    assert str(own.parent) not in sentence


def test_a_file_that_cannot_be_read_is_refused(own: Path, tmp_path: Path) -> None:
    with pytest.raises(BadPreset, match=r"own\.toml: there is no such file"):
        load(own)
    with pytest.raises(BadPreset, match="cannot be read"):
        load(tmp_path)
    own.write_bytes(b"\xff\xfe[mine]")
    with pytest.raises(BadPreset, match="no UTF-8"):
        load(own)
    own.write_text("#" * (LARGEST_FILE + 1))
    with pytest.raises(BadPreset, match="larger than 64 KB"):
        load(own)
