"""The workers page: each node with its card, what it runs, and which cards are put aside."""

from flask import Blueprint, Response

from transcode import roll
from transcode.task import FARM
from webapp.admin import skin
from webapp.deps import deps

blueprint = Blueprint("workers", __name__, url_prefix="/workers")


@blueprint.get("")
def show() -> Response:
    """Show the worker nodes, as they last told of themselves."""
    found = deps()
    workers = roll.read(found.store.read_asides(FARM, roll.PAGES), found.clock())
    return skin.page("workers", workers=workers)
