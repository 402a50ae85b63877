"""The queue page: how much stands where, dead letters, and the purge behind a typed confirmation."""

import hmac

from flask import Blueprint, Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as Redirect

from transcode import submit
from transcode.ports import Query
from transcode.states import Status
from webapp import trail
from webapp.admin import dead_letters, skin
from webapp.admin.words import gettext as _
from webapp.deps import deps

blueprint = Blueprint("queue", __name__, url_prefix="/queue")

_SHOWN = 20


@blueprint.get("")
def show() -> Response:
    """Show the counts, the tasks that failed last with their reasons, and the way to purge."""
    found = deps()
    # The living part comes every few seconds, and a look hides letters for a moment: only the whole page looks.
    return skin.page(
        "queue",
        dead=dead_letters.Found() if "HX-Request" in request.headers else dead_letters.look(),
        queue=found.counts(),
        queue_name=found.settings.queue_name,
        waiting=found.store.page(Query(status=Status.PENDING, limit=_SHOWN)),
        failed=found.store.page(Query(status=Status.FAILED, limit=_SHOWN)),
    )


@blueprint.post("/purge")
def purge() -> Redirect:
    """Cancel every task that waits, if the queue's name was typed."""
    typed, name = request.form.get("name", "").strip(), deps().settings.queue_name
    if not hmac.compare_digest(typed.encode(), name.encode()):
        flash(_("Nothing was purged: what was typed is not the queue's name."), "bad")
        return redirect(url_for("admin.queue.show"))
    submit.purge(deps().desk)
    trail.changed("purge")
    flash(_("The waiting tasks are being cancelled; it takes a few moments."), "good")
    return redirect(url_for("admin.queue.show"))
