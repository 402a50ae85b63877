"""What a shell may offer when somebody presses Tab: only what costs no request."""

from collections.abc import Iterator

from transcode.errors import SettingsError, TranscodeError


def types(incomplete: str) -> Iterator[str]:
    """Names of transcode types, those of the operator's file too where the settings name one."""
    from transcode import presets, settings

    try:
        known = presets.load(settings.load().presets_file)
    except (SettingsError, TranscodeError):
        known = presets.load()
    yield from (name for name in known.names if name.startswith(incomplete))


def buckets(incomplete: str) -> Iterator[str]:
    """The input buckets, as far as the settings tell."""
    from transcode import settings

    try:
        known = settings.load().input_bucket
    except SettingsError:
        return
    yield from (name for name in known if name.startswith(incomplete))
