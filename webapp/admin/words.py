"""How values are written for people, in their language: statuses, sizes, times. Only here is a language chosen.

Times are written in UTC; a few lines of script show them in the viewer's zone.
"""

from collections.abc import Callable, Mapping

from apiflask import APIFlask
from flask import request
from flask_babel import (  # type: ignore[import-untyped]  # it ships no types; only here is it named
    Babel,
    LazyString,
    format_decimal,
    format_percent,
    get_locale,
    get_translations,
    lazy_gettext,
)
from markupsafe import Markup

from transcode.callback import State as Delivery
from transcode.clock import seconds, timestamp
from transcode.presets import Preset
from transcode.roll import State
from transcode.states import Priority, Status, TypeState

# As the catalogues are named, and as each calls itself.
LANGUAGES = {"en": "English", "zh_Hans_CN": "中文"}
COOKIE = "transcode_language"

# For texts that stand in a table, before anybody has asked.
lazy = _ = lazy_gettext
STATUS: Mapping[Status | TypeState, LazyString] = {
    Status.PENDING: _("pending"),
    Status.PROCESSING: _("processing"),
    Status.COMPLETED: _("completed"),
    Status.FAILED: _("failed"),
    Status.CANCELLED: _("cancelled"),
}
PRIORITY: Mapping[Priority, LazyString] = {
    Priority.NORMAL: _("normal"),
    Priority.URGENT: _("urgent: before the others"),
}
STATE: Mapping[State, LazyString] = {
    State.RUNNING: _("running"),
    State.SILENT: _("silent"),
    State.ENDED: _("ended"),
}
DELIVERY: Mapping[Delivery, LazyString] = {
    Delivery.WAITING: _("waiting"),
    Delivery.DELIVERED: _("delivered"),
    Delivery.FAILED: _("given up"),
}
# Phases of the work, by the names that the record has.
PHASE: Mapping[str, LazyString] = {
    "waiting": _("waiting"),
    "fetch": _("fetching"),
    "probe": _("examining"),
    "thumbnail": _("taking the thumbnail"),
    "loudness": _("measuring loudness"),
    "encode": _("encoding"),
    "verify": _("verifying"),
    "upload": _("uploading"),
    "publishing": _("publishing"),
    "working": _("working"),
}
# What the record knows of the source, in the order in which it is shown.
FACT: Mapping[str, LazyString] = {
    "format": _("Container"),
    "duration": _("Length"),
    "size": _("Size"),
    "width": _("Width"),
    "height": _("Height"),
    "codec": _("Video codec"),
    "fps": _("Frames per second"),
    "pix_fmt": _("Pixel format"),
    "rotation": _("Rotation"),
    "interlaced": _("Interlaced"),
    "hdr": _("HDR"),
    "videos": _("Video tracks"),
    "audios": _("Audio tracks"),
    "audio_codec": _("Audio codec"),
    "channels": _("Channels"),
    "sample_rate": _("Sample rate"),
}


def install(app: APIFlask) -> None:
    """Let the admin speak the visitor's language."""
    Babel(app, locale_selector=_choose, default_translation_directories="translations")


def _choose() -> str:
    wanted = request.cookies.get(COOKIE, "")
    if wanted in LANGUAGES:
        return wanted
    best = request.accept_languages.best_match(("en", "zh"), "en")
    return "zh_Hans_CN" if best == "zh" else "en"


def gettext(text: str) -> str:
    """A text of ours in the visitor's language."""
    return str(get_translations().ugettext(text))


def ngettext(one: str, many: str, num: int) -> str:
    """A text that counts something."""
    return str(get_translations().ungettext(one, many, num)) % {"num": num}


def language() -> str:
    """The language of this request, as HTML names it."""
    return "zh-CN" if str(get_locale()).startswith("zh") else "en"


def described(preset: Preset) -> str:
    """What a transcode type makes, in the visitor's language."""
    return preset.description_zh if language() == "zh-CN" and preset.description_zh else preset.description


def time(stamp: str | float) -> Markup:
    """A time as an element that the script can localise; RFC 3339 or Unix seconds."""
    text = timestamp(stamp) if isinstance(stamp, float | int) else stamp
    if not text:
        return Markup("–")
    return Markup('<time datetime="{}">{} UTC</time>').format(text, text[:16].replace("T", " "))


def number(value: float, digits: int = 0) -> str:
    """A number with the separators of the language."""
    return str(format_decimal(round(value, digits) if digits else round(value)))


def share(part: float, whole: float) -> str:
    """A part of a whole in per cent; a dash where there is no whole."""
    return str(format_percent(part / whole)) if whole else "–"


def size(count: float) -> str:
    """Bytes, in decimal units as storage is sold."""
    return _scaled(count, ("B", "kB", "MB", "GB", "TB"))


def rate(bits: float) -> str:
    """Bits per second."""
    return _scaled(bits, ("b/s", "kb/s", "Mb/s", "Gb/s"))


def _scaled(value: float, units: tuple[str, ...]) -> str:
    step = 0
    while value >= 999.5 and step < len(units) - 1:
        value, step = value / 1000, step + 1
    return f"{number(value, 1 if step and value < 100 else 0)} {units[step]}"


def span(length: float) -> str:
    """Seconds as people say them: 4.2 s, 3:05, 1:02:03."""
    if length < 60:
        return f"{number(length, 1)} s"
    minutes, secs = divmod(round(length), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"


def between(start: str, end: str) -> str:
    """The time from one timestamp to another; a dash where one is missing."""
    return span(max(0.0, seconds(end) - seconds(start))) if start and end else "–"


def fact(name: str, value: object) -> str:
    """One fact of a source."""
    if isinstance(value, bool):
        return "✓" if value else "–"
    if isinstance(value, int | float):
        return _UNITS[name](value) if name in _UNITS else number(value, 3)
    return str(value) or "–"


_UNITS: Mapping[str, Callable[[float], str]] = {
    "duration": span,
    "size": size,
    "rotation": lambda found: f"{number(found)}°",
    "sample_rate": lambda found: f"{number(found)} Hz",
}
