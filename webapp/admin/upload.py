"""A file from the visitor's computer goes straight to S3: here it gets the permission, and its task is looked for.

The bucket's event makes the task, as for every upload; the page only watches. S3 holds the browser to one key, one
type and a size, and to a begin within minutes. It wants a CORS rule of the bucket, which `provision` makes.
"""

import re
import secrets
import unicodedata
from contextlib import suppress
from pathlib import PurePosixPath
from urllib.parse import urlencode

from flask import Blueprint, Response, g, jsonify, request, url_for

from transcode import events, keys, logs, outputs, submit
from transcode.clock import timestamp
from transcode.errors import Permanent, ServiceUnavailable, TranscodeError
from transcode.ports import Query
from transcode.task import Task
from webapp.admin import skin
from webapp.admin.wanted import Unfit
from webapp.admin.words import gettext as _
from webapp.admin.words import size
from webapp.deps import deps

log = logs.get(__name__)
blueprint = Blueprint("upload", __name__, url_prefix="/add")

# Bytes that S3 takes in one form.
_LARGEST_FORM = 5 * 1024**3
# Seconds within which an upload must begin; it may last longer.
_BEGINS = 900
# Characters of a file's name that are kept, its suffix not counted.
_LONGEST_NAME = 100
# Newest tasks among which that of an upload is looked for.
_NEWEST = 50
# Seconds between the clocks of API and bridge, at most.
_CLOCKS = 60.0
# Seconds after which a task that has not come is worth a word, and after which nobody looks any more.
_LATE, _GIVEN_UP = 30.0, 1800.0
_TYPES = {
    ".mov": "video/quicktime", ".avi": "video/x-msvideo", ".mkv": "video/x-matroska", ".wmv": "video/x-ms-wmv",
    ".flv": "video/x-flv", ".webm": "video/webm", ".m4v": "video/x-m4v", ".mpeg": "video/mpeg", ".mpg": "video/mpeg",
}  # fmt: skip


def largest() -> int:
    """Bytes that an upload may have."""
    return min(_LARGEST_FORM, deps().settings.max_input_bytes)


def allow() -> None:
    """Let the page's scripts of an operator send to the input buckets."""
    found = deps()
    if g.visitor and g.visitor.may_change:
        with suppress(TranscodeError):
            for bucket in found.settings.input_bucket:
                skin.may_send_to(found.storage.upload_form(bucket, "any", "video/mp4", largest(), _BEGINS).address)


@blueprint.post("/upload")
def permit() -> Response:
    """Give the permission for one file: where it goes, and where its task will be shown. Or a sentence why not."""
    try:
        bucket = request.form.get("bucket", "")
        submit.check_bucket(deps().settings, bucket)
        _check_size(request.form.get("size", ""))
        key = _key(bucket)
        form = deps().storage.upload_form(bucket, key, _content_type(key), largest(), _BEGINS)
    except (Unfit, Permanent, ServiceUnavailable) as reason:
        answer = jsonify(wrong=str(reason))
        answer.status_code = 422
        return answer
    log.info("Change made", what="upload", who=g.caller, input_bucket=bucket, input_key=key)
    return jsonify(address=form.address, fields=dict(form.fields), key=key, follow=_follow(bucket, key, deps().clock()))


def _key(bucket: str) -> str:
    """Where the file goes: the wished prefix and its name, freed of what makes trouble in addresses and shells."""
    name, prefix = request.form.get("name", ""), request.form.get("prefix", "")
    key = prefix + _safe(name)
    if not events.is_video(key):
        told = {"name": name[:100], "known": ", ".join(sorted(events.VIDEO_SUFFIXES))}
        raise Unfit(_("%(name)s is no video by its name; these endings are taken: %(known)s") % told)
    reason = keys.unusable_prefix(prefix) or events.unusable(bucket, key)
    # S3 would put the file's own name in the place of ${filename}.
    if reason or "${" in prefix or outputs.is_own(deps().settings, bucket, key):
        raise Unfit(_("Nothing can be uploaded under this prefix."))
    return key


def _safe(name: str) -> str:
    path = PurePosixPath(unicodedata.normalize("NFC", name).replace("\\", "/"))
    stem = re.sub(r"[^\w.()]+", "-", path.stem).strip("-.")[:_LONGEST_NAME]
    # Files of the same name come from many people, and a permission is given long before its file is there: with a part
    # by chance no upload replaces another.
    return f"{stem or 'video'}-{secrets.token_hex(4)}{path.suffix.lower()}"


def _check_size(text: str) -> None:
    count = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
    if count == 0:
        raise Unfit(_("The file has no bytes."))
    if count > largest():
        told = {"size": size(count), "most": size(largest())}
        raise Unfit(_("The file has %(size)s; at most %(most)s can be uploaded here.") % told)


def _content_type(key: str) -> str:
    return _TYPES.get(PurePosixPath(key).suffix, "video/mp4")


def _follow(bucket: str, key: str, since: float, began: float = 0.0) -> str:
    asked = {"bucket": bucket, "key": key, "since": f"{since:.0f}"} | ({"began": f"{began:.0f}"} if began else {})
    return f"{url_for('admin.upload.follow')}?{urlencode(asked)}"


@blueprint.get("/uploaded")
def follow() -> Response:
    """Show what became of an uploaded file: the task that its event made, watched to its end."""
    known, now = request.args.get("task", ""), deps().clock()
    if known:
        return skin.part("uploaded", task=deps().store.read(known), key="", again="", late=False)
    bucket, key = request.args.get("bucket", ""), request.args.get("key", "")
    since, began = (_number(request.args.get(name, ""), now) for name in ("since", "began"))
    task = _task_of(bucket, key, since)
    again = _follow(bucket, key, since, began) if now - began < _GIVEN_UP else ""
    return skin.part("uploaded", task=task, key=key, again=again, late=now - began > _LATE)


def _number(text: str, default: float) -> float:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 12 else default


def _task_of(bucket: str, key: str, since: float) -> Task | None:
    """The newest task of the object that was made since then; one of an earlier upload is not it."""
    oldest = timestamp(since - _CLOCKS)
    page = deps().store.page(Query(limit=_NEWEST))
    fits = (t for t in page.tasks if (t.input_bucket, t.input_key) == (bucket, key) and t.created_at >= oldest)
    return next(fits, None)
