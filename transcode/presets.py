"""The shape of a preset, and how the preset files are read and checked.

The values are in `presets.toml`; an operator's file adds entries or overrides them, whole or in part.
A preset holds values only, never options or filter text. What ffmpeg makes of it is in `ffmpeg.plan`.
"""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from transcode.errors import BadPreset, UnknownType

BUILT_IN = Path(__file__).with_name("presets.toml")
# Bytes of a preset file: about 200 entries. More is a mistake or an attack.
LARGEST_FILE = 64 * 1024
_NAME = re.compile(r"[a-z0-9_]{1,40}")

# Pixels of a side: what HEVC encoders and the input guard both take.
Side = Annotated[int, Field(ge=16, le=8192, multiple_of=2)]
# What x264 and x265 call `preset`, from least to most work.
Speed = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"]
# NVENC's CQ that looks like x264's and x265's CRF lies 4 to 6 above it.
_CQ_ABOVE_CRF = 5


class _Value(BaseModel):
    # Strict: "23" is no number and true is no 1.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Audio(_Value):
    """The sound of a rendition: AAC, stereo, 48 kHz. Without `loudness` it is left as loud as it is."""

    bitrate: int = Field(128_000, ge=32_000, le=320_000)
    loudness: float | None = Field(None, ge=-40.0, le=-5.0)
    true_peak: float = Field(-1.0, ge=-9.0, le=0.0)


class Preset(_Value):
    """What one transcode type makes. Units as in `presets.toml`."""

    name: str
    description: str = Field("", max_length=200)
    description_zh: str = Field("", max_length=200)
    codec: Literal["h264", "hevc", "mjpeg"]
    # None: the source's size. Never larger than the source.
    box: tuple[Side, Side] | None = None
    fit: Literal["inside", "pad"] = "inside"
    # CRF of x264 and x265, -q:v of JPEG.
    quality: int = Field(ge=1, le=51)
    cq: int | None = Field(None, ge=1, le=51)
    max_bitrate: int | None = Field(None, ge=50_000, le=200_000_000)
    # None: the source's frame rate, at most 60.
    fps: float | None = Field(None, ge=1.0, le=60.0)
    speed: Speed = "fast"
    # None: no sound at all.
    audio: Audio | None = None
    # A short clip; both are clamped to the source.
    start: float = Field(0.0, ge=0.0, le=43_200.0)
    duration: float | None = Field(None, ge=0.1, le=43_200.0)
    # Where a picture is taken.
    at: float = Field(4.0, ge=0.0, le=43_200.0)

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("a name is 1 to 40 of the characters a-z, 0-9 and _")
        return value

    @field_validator("box", "cq", "max_bitrate", "fps", "audio", "duration", mode="before")
    @classmethod
    def _taken_away(cls, value: object) -> object:
        """TOML has no null: `false` takes an optional value away, so that an override can."""
        return None if value is False else value

    @field_validator("box", mode="before")
    @classmethod
    def _pair(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _together(self) -> "Preset":
        if self.media == "image":
            wrong = sorted({"fps", "audio", "start", "duration", "max_bitrate", "cq", "speed"} & self.model_fields_set)
            if any(getattr(self, field) is not None for field in wrong):
                raise ValueError(f"a picture (codec mjpeg) has no {wrong[0]}")
            if not 2 <= self.quality <= 31:
                raise ValueError("the quality of a picture is 2 (best) to 31")
        elif "at" in self.model_fields_set:
            raise ValueError("only a picture (codec mjpeg) is taken at a time; a clip has start and duration")
        if self.fit == "pad" and self.box is None:
            raise ValueError('fit = "pad" needs a box to pad to')
        return self

    @property
    def media(self) -> Literal["video", "image"]:
        """Whether it is a film or one picture."""
        return "image" if self.codec == "mjpeg" else "video"

    @property
    def ext(self) -> str:
        """The extension of the output, without a dot."""
        return "jpg" if self.media == "image" else "mp4"

    @property
    def content_type(self) -> str:
        """What the output's object says it is."""
        return "image/jpeg" if self.media == "image" else "video/mp4"

    @property
    def nvenc_cq(self) -> int:
        """The CQ for NVENC: as given, else the one that looks like `quality`."""
        return self.cq if self.cq is not None else min(51, self.quality + _CQ_ABOVE_CRF)


@dataclass(frozen=True)
class Presets:
    """All presets, in the order of the files."""

    all: tuple[Preset, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The transcode types that callers may ask for."""
        return tuple(preset.name for preset in self.all)

    def pick(self, names: Iterable[str]) -> tuple[Preset, ...]:
        """The presets of these names, each once, in the order asked.

        Raises:
            UnknownType: it lists what is known.
        """
        known = {preset.name: preset for preset in self.all}
        wanted = tuple(dict.fromkeys(names))
        unknown = [name for name in wanted if name not in known]
        if unknown:
            named = ", ".join(repr(name[:40]) for name in unknown[:5])
            raise UnknownType(f"Unknown transcode type {named}; the types are: {', '.join(self.names)}.")
        return tuple(known[name] for name in wanted)


def load(extra: Path | None = None) -> Presets:
    """The built-in presets, with those of an operator's file over them.

    Raises:
        BadPreset: it names the file, the line and the reason.
    """
    entries = _File(BUILT_IN).entries()
    sources = dict.fromkeys(entries, _File(BUILT_IN))
    if extra is not None:
        own = _File(extra)
        for name, values in own.entries().items():
            entries[name] = _merged(entries.get(name, {}), values)
            sources[name] = own
    return Presets(tuple(sources[name].preset(name, values) for name, values in entries.items()))


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """`new` over `old`, table by table, so that one value of `audio` can be changed alone."""
    merged = dict(old)
    for key, value in new.items():
        both = isinstance(value, dict) and isinstance(old.get(key), dict)
        merged[key] = _merged(old[key], value) if both else value
    return merged


class _File:
    """One preset file, and where in it things stand."""

    def __init__(self, path: Path) -> None:
        self._label = path.name
        self._text = self._read(path)

    def _read(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                data = file.read(LARGEST_FILE + 1)
        except FileNotFoundError:
            raise BadPreset(f"{self._label}: there is no such file.") from None
        except OSError as exc:
            raise BadPreset(f"{self._label} cannot be read: {exc.strerror}.") from None
        if len(data) > LARGEST_FILE:
            raise BadPreset(f"{self._label} is larger than {LARGEST_FILE // 1024} KB; a preset file holds values only.")
        try:
            return data.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError:
            raise BadPreset(f"{self._label} is no UTF-8 text.") from None

    def entries(self) -> dict[str, dict[str, Any]]:
        """The file's tables, unchecked but for being tables."""
        try:
            found = tomllib.loads(self._text)
        except (tomllib.TOMLDecodeError, RecursionError) as exc:
            raise BadPreset(self._not_toml(str(exc))) from None
        for name, values in found.items():
            if not isinstance(values, dict):
                raise self._bad(name, "", f"{name!r} stands outside an entry; an entry begins with its [name]")
        return found

    def preset(self, name: str, values: dict[str, Any]) -> Preset:
        """The entry as a preset."""
        if "name" in values:
            raise self._bad(name, "name", "the name is in the brackets, not a field")
        try:
            return Preset(name=name, **values)
        except ValidationError as exc:
            error = exc.errors(include_url=False, include_context=False)[0]
            path = [str(part) for part in error["loc"] if isinstance(part, str)]
            raise self._bad(name, path[-1] if path else "", _reason(path, error["type"], error)) from None

    def _not_toml(self, words: str) -> str:
        where = re.search(r"\(at line (\d+), column \d+\)", words)
        line = int(where[1]) if where else len(self._text.splitlines())
        reason = re.sub(r"\s*\(at .*\)", "", words)
        return f"{self._label}, line {line}: this is no TOML: {reason}."

    def _bad(self, name: str, field: str, reason: str) -> BadPreset:
        return BadPreset(f"{self._label}, line {self._line(name, field)}, [{name[:40]}]: {reason}.")

    def _line(self, name: str, field: str) -> int:
        """The line of an entry's field; that of its heading where the field is not written there."""
        heading = re.compile(rf"""\s*\[?\s*["']?{re.escape(name)}["']?\s*(?:\.[\w."'\s]+)?(?:\]|=)""")
        wanted = re.compile(rf"""(?:^|[{{,.\[])\s*["']?{re.escape(field)}["']?\s*[=.\]]""")
        inside, first = False, 0
        for number, line in enumerate(self._text.splitlines(), 1):
            if heading.match(line):
                inside, first = True, first or number
            elif line.lstrip().startswith("["):
                inside = False
            if inside and field and wanted.search(line):
                return number
        return first or 1


def _reason(path: list[str], kind: str, error: Any) -> str:
    field = ".".join(path)
    given = "" if kind == "missing" or isinstance(error["input"], dict) else f" (given: {str(error['input'])[:60]!r})"
    match kind:
        case "missing":
            return f"the field {field!r} is missing"
        case "extra_forbidden":
            known = Audio.model_fields if path[0] == "audio" and len(path) > 1 else Preset.model_fields
            return f"the field {field!r} is unknown; the fields are: {', '.join(f for f in known if f != 'name')}"
        case _:
            words = str(error["msg"]).removeprefix("Value error, ")
            return f"{field}{given}: {words}" if field else words
