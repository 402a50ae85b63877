"""The cursor of a list: where each partition was left, and the filters it was made for, as text with a signature.

Without the signature a caller could write places of their own, and have DynamoDB asked for them.
"""

import base64
import hmac
import json
from dataclasses import dataclass
from typing import Any

from transcode.errors import BadCursor

# Characters; ours have a few hundred.
_LONGEST = 2000
# Bytes of HMAC-SHA-256 that are kept: 128 bits are beyond guessing, and the cursor stays short.
_SIGNED = 16


@dataclass(frozen=True)
class Place:
    """The last task that was shown of a partition."""

    created_at: str
    task_id: str


def write(places: dict[str, Place], made_for: tuple[str, str], key: bytes) -> str:
    """The cursor that continues after `places`."""
    body = {"for": made_for, "at": {name: (p.created_at, p.task_id) for name, p in places.items()}}
    data = json.dumps(body, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_signature(data, key) + data).decode()


def _signature(data: bytes, key: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")[:_SIGNED]


def read(cursor: str, made_for: tuple[str, str], key: bytes) -> dict[str, Place]:
    """The places that a cursor names.

    Raises:
        BadCursor: it is no cursor, not signed with this key, or one of another list.
    """
    try:
        body = _opened(cursor, key)
        filters, places = tuple(body["for"]), {str(n): _place(at, made_for) for n, at in body["at"].items()}
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as exc:
        raise BadCursor("The cursor is none of ours; take next_cursor of an earlier answer.") from exc
    if filters != made_for:
        raise BadCursor("The cursor was made for other filters; start again without it.")
    return places


def _opened(cursor: str, key: bytes) -> Any:
    signed = base64.b64decode(cursor[:_LONGEST].encode("ascii"), b"-_", validate=True)
    signature, data = signed[:_SIGNED], signed[_SIGNED:]
    if not hmac.compare_digest(signature, _signature(data, key)):
        raise ValueError("not signed by us")
    return json.loads(data)


def _place(at: object, made_for: tuple[str, str]) -> Place:
    if not isinstance(at, list):
        raise TypeError("no place")
    created_at, task_id = at
    if not (isinstance(created_at, str) and isinstance(task_id, str) and created_at and task_id):
        raise TypeError("no place")
    date, status = made_for
    if status and not created_at.startswith(date):
        # DynamoDB refuses a start outside the range that is asked for.
        raise ValueError("a place outside the list")
    return Place(created_at, task_id)
