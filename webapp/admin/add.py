"""The add page: one video by its key, those that were ticked in a folder, or a folder with all that is in it.

What is asked for is in `wanted`, and how a file comes from the visitor's computer in `upload`.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

from flask import Blueprint, Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as Redirect

from transcode import browse, submit, targets
from transcode.browse import Shelf
from transcode.clock import day, timestamp
from transcode.errors import BadCursor, Permanent, ServiceUnavailable
from transcode.events import VIDEO_SUFFIXES, unusable
from transcode.task import Task
from webapp import errors, trail
from webapp.admin import skin, upload, wanted
from webapp.admin.wanted import Unfit, Wanted
from webapp.admin.words import gettext as _
from webapp.admin.words import ngettext
from webapp.api import bulk
from webapp.api.adding import MOST_KEYS
from webapp.api.bulk import Order
from webapp.deps import deps

blueprint = Blueprint("add", __name__, url_prefix="/add")

# Sentences of what failed that are told, and characters of each: a cookie carries them.
_TOLD, _LONGEST = 3, 300


@blueprint.get("")
def show() -> Response:
    """Show the form. What the address names is filled in; `like` names a task that is wanted again."""
    like = request.args.get("like", "")
    if like:
        return _page(wanted.of_task(deps().store.read(like)))
    asked = wanted.read(request.args)
    return _page(replace(asked, types=asked.types or deps().settings.default_transcode_types))


@blueprint.post("")
def make() -> Response | Redirect:
    """Make what was asked for, or show the form again with what is wrong."""
    asked = wanted.read(request.form)
    try:
        return _WAYS.get(request.form.get("what", ""), _make_one)(asked)
    except Unfit as reason:
        return _page(asked, 422, str(reason))
    except (Permanent, ServiceUnavailable) as error:
        return _page(asked, errors.problem(error).status, str(error))


def _make_one(asked: Wanted) -> Redirect:
    if not asked.key:
        raise Unfit(_("Type the key of a video, or choose one in the bucket."))
    [order] = wanted.orders(asked, (asked.key,))
    task = order.make(deps().desk)
    trail.changed("add", task)
    flash(_("The task was added."), "good")
    return redirect(url_for("admin.task.show", task_id=task.task_id))


def _make_ticked(asked: Wanted) -> Redirect:
    asked = _of_the_folder(asked)
    _make_all(wanted.orders(asked, wanted.ticked(request.form)), asked)
    return redirect(url_for("admin.tasks.show"))


def _look_at_folder(asked: Wanted) -> Response:
    """Show what a whole folder would come to, and ask."""
    asked = _of_the_folder(asked)
    orders, after = _under_prefix(asked)
    return skin.page("add_folder", asked=asdict(asked), orders=orders, more=bool(after), folder=_folder())


def _make_folder(asked: Wanted) -> Redirect:
    asked = _of_the_folder(asked)
    orders, after = _under_prefix(asked)
    _make_all(orders, asked)
    if not after:
        return redirect(url_for("admin.tasks.show"))
    flash(_("There are more videos in it; go on below."), "warn")
    return redirect(url_for("admin.add.show", bucket=asked.bucket, prefix=_folder()["prefix"], after=after))


_WAYS: Mapping[str, Callable[[Wanted], Response | Redirect]] = {
    "ticked": _make_ticked, "folder": _look_at_folder, "folder-sure": _make_folder,
}  # fmt: skip


def _folder() -> dict[str, str]:
    """The folder that a whole is made of, and the key after which it goes on."""
    return {name: request.values.get(name, "") for name in ("prefix", "after")}


def _of_the_folder(asked: Wanted) -> Wanted:
    """The bucket of ticks and folders is the one that was browsed, whatever the form beside it says by now."""
    return replace(asked, bucket=request.form.get("browsed", ""), key="")


def _under_prefix(asked: Wanted) -> tuple[list[Order], str]:
    found, folder = deps(), _folder()
    submit.check_bucket(found.settings, asked.bucket)
    found.presets.pick(asked.types)
    keys, after = browse.videos(
        found.storage, found.settings, asked.bucket, folder["prefix"], folder["after"], MOST_KEYS
    )
    orders = wanted.orders(asked, [key for key in keys if not unusable(asked.bucket, key)])
    if not orders:
        raise Unfit(_("No video lies in this folder."))
    return orders, after


def _make_all(orders: list[Order], asked: Wanted) -> None:
    """Make them all, and say what became of them."""
    deps().presets.pick(asked.types)
    made = bulk.make(deps().desk, orders)
    done = [one for one in made if isinstance(one, Task)]
    for task in done:
        trail.changed("add", task)
    if done:
        flash(ngettext("%(num)d task was added.", "%(num)d tasks were added.", len(done)), "good")
    wrong = [f"{order.ask.input_key}: {one}" for order, one in zip(orders, made, strict=True) if one not in done]
    if wrong:
        flash(ngettext("%(num)d video got no task.", "%(num)d videos got no task.", len(wrong)), "bad")
    for sentence in wrong[:_TOLD]:
        flash(sentence[:_LONGEST], "bad")


def _page(asked: Wanted, status: int = 200, wrong: str = "") -> Response:
    found = deps()
    shelf, lost = _shelf(asked)
    upload.allow()
    return skin.page(
        "add", status, asked=asked, wrong=wrong, buckets=found.settings.input_bucket, presets=found.presets.all,
        shelf=shelf, lost=lost, after=request.values.get("after", ""), most=upload.largest(),
        callbacks=tuple(targets.read(found.settings.callback_targets, found.settings.callback_secrets)),
        usual=found.settings.default_callback, suffixes=sorted(VIDEO_SUFFIXES),
        usual_types=found.settings.default_transcode_types,
        uploads=f"uploads/{day(timestamp(found.clock()))}/",
    )  # fmt: skip


def _shelf(asked: Wanted) -> tuple[Shelf | None, str]:
    """The folder that is looked at, if any; or why it cannot be."""
    found = deps()
    bucket = request.values.get("browsed") or asked.bucket or found.settings.input_bucket[0]
    prefix = request.values.get("prefix")
    if prefix is None:
        return None, ""
    try:
        return browse.shelf(found.storage, found.settings, bucket, prefix, request.values.get("cursor", "")), ""
    except (Permanent, ServiceUnavailable, BadCursor) as error:
        return None, str(error)
