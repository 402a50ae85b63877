"""The add page: a bucket of the allow-list, a key, and the types to make."""

from flask import Blueprint, Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as Redirect

from transcode import submit
from transcode.errors import Permanent, ServiceUnavailable
from webapp import errors, trail
from webapp.admin import skin
from webapp.admin.words import gettext as _
from webapp.deps import deps

blueprint = Blueprint("add", __name__, url_prefix="/add")


@blueprint.get("")
def show() -> Response:
    """Show the form; what the address names is filled in."""
    types = request.args.getlist("type") or deps().settings.default_transcode_types
    return _form(request.args.get("bucket", ""), request.args.get("key", ""), tuple(types))


@blueprint.post("")
def make() -> Response | Redirect:
    """Make the task, or show the form again with what is wrong."""
    bucket, key = request.form.get("bucket", ""), request.form.get("key", "")
    types = tuple(request.form.getlist("type"))
    if not types:
        return _form(bucket, key, types, 422, _("Tick at least one type."))
    try:
        task = submit.add(deps().desk, bucket, key, types)
    except (Permanent, ServiceUnavailable) as error:
        return _form(bucket, key, types, errors.problem(error).status, str(error))
    trail.changed("add", task)
    flash(_("The task was added."), "good")
    return redirect(url_for("admin.task.show", task_id=task.task_id))


def _form(bucket: str, key: str, types: tuple[str, ...], status: int = 200, wrong: str = "") -> Response:
    found = deps()
    return skin.page(
        "add", status, bucket=bucket, key=key, types=types, wrong=wrong, buckets=found.settings.input_bucket,
        presets=found.presets.all,
    )  # fmt: skip
