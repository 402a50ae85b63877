"""`/api/transcode-types`: what may be asked for. The presets say so; nothing is listed here."""

from apiflask import APIBlueprint

from transcode.presets import Preset
from webapp.api.schemas import TypeList, TypeOut
from webapp.deps import deps

blueprint = APIBlueprint("transcode_types", __name__, tag="Transcode types", url_prefix="/api/transcode-types")


@blueprint.get("")
@blueprint.output(TypeList)
def list_types() -> TypeList:
    """List the transcode types, with what each makes."""
    types = tuple(_shown(preset) for preset in deps().presets.all)
    return TypeList(transcode_types=types, count=len(types))


def _shown(preset: Preset) -> TypeOut:
    return TypeOut(
        name=preset.name,
        description=preset.description,
        description_zh=preset.description_zh,
        media=preset.media,
        codec=preset.codec,
        ext=preset.ext,
        content_type=preset.content_type,
        box=preset.box,
        max_bitrate=preset.max_bitrate,
        has_audio=preset.audio is not None,
        is_default=preset.name in deps().settings.default_transcode_types,
    )
