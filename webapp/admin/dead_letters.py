"""Dead letters: messages that were received too often. Who reads them, what becomes of them, and a hand's help.

The bridge deals with them by itself (`transcode.reconcile`): a task that waits is sent again, the letter of any other
is dropped, and what nobody can read stays. Here the same is done at once, or one letter is thrown away.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from flask import Blueprint, Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as Redirect

from transcode.errors import NotFound, ServiceUnavailable
from transcode.ports import DeadLetter
from transcode.reconcile import Reconciler
from transcode.states import Status
from transcode.task import Task
from webapp import trail
from webapp.admin import skin
from webapp.admin.words import gettext as _
from webapp.admin.words import ngettext
from webapp.deps import deps

blueprint = Blueprint("dead_letters", __name__, url_prefix="/queue/dead")

# Letters that a page shows, and that are sent again at once.
_SHOWN = 50


@dataclass(frozen=True)
class Entry:
    """A letter, and the task that it speaks of, if there is one."""

    letter: DeadLetter
    task: Task | None = None

    @property
    def fate(self) -> str:
        """What becomes of it by itself."""
        if self.letter.task_id is None:
            return _("Nobody can read it: it stays until SQS drops it, 14 days after it was sent.")
        if self.task is None:
            return _("Its task is gone: it will be dropped.")
        if self.task.status is Status.PENDING:
            return _("Its task waits: it will be sent again.")
        return _("Its task needs no message any more: it will be dropped.")


@dataclass(frozen=True)
class Found:
    """What a look found; `wrong` says why it could not look."""

    entries: Sequence[Entry] = ()
    away: int = 0
    wrong: str = ""


def look() -> Found:
    """The letters with their tasks; 50 at most, so that a look stays cheap."""
    try:
        found = deps().dead_letters.look(_SHOWN)
        return Found([Entry(letter, _task(letter.task_id)) for letter in found.letters], found.away)
    except ServiceUnavailable as error:
        return Found(wrong=str(error))


def _task(task_id: str | None) -> Task | None:
    with suppress(NotFound):
        return deps().store.read(task_id) if task_id else None
    return None


@blueprint.post("/confirm")
def confirm() -> Response:
    """Ask before a letter is deleted, or all are sent again."""
    letter_id = request.form.get("letter", "")
    found = look()
    entries = [one for one in found.entries if one.letter.id == letter_id] if letter_id else found.entries
    return skin.page("dead_letters", letter_id=letter_id, entries=entries, wrong=found.wrong)


@blueprint.post("/redrive")
def redrive() -> Redirect:
    """Do at once what the bridge would do: send tasks that wait again, and drop what needs no message."""
    letters = [one for one in deps().dead_letters.look(_SHOWN).letters if one.task_id is not None]
    reconciler = Reconciler(deps().desk)
    done = [one.id for one in letters if one.task_id and reconciler.dead_letter(one.task_id)]
    gone = deps().dead_letters.delete(done)
    if gone:
        trail.changed("redrive")
    flash(ngettext("%(num)d dead letter was dealt with.", "%(num)d dead letters were dealt with.", gone), "good")
    return redirect(url_for("admin.queue.show"))


@blueprint.post("/delete")
def delete() -> Redirect:
    """Throw one letter away; its task, if it waits, gets a new message from the bridge in any case."""
    if deps().dead_letters.delete([request.form.get("letter", "")]):
        trail.changed("delete dead letter")
        flash(_("The dead letter was deleted."), "good")
    else:
        flash(_("This dead letter is no longer there, or somebody holds it."), "bad")
    return redirect(url_for("admin.queue.show"))
