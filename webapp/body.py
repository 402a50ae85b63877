"""How a request body becomes a value. Only here is JSON from outside read, and it is read strictly.

Python's reader takes what other readers refuse or read differently: NaN, a key twice, half a surrogate
pair. What two programs may read differently is refused before anything is decided on it.
"""

import json
import math
from itertools import accumulate
from typing import Any

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from webapp.errors import BadField, Problem, Refused

# Levels of nesting. Our deepest body, a list of objects with metadata each, has four.
DEEPEST = 20


class JsonRequest(Request):
    """A request whose JSON body is an object, read strictly; APIFlask asks for it through `get_json`."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:  # noqa: ARG002
        """The body as an object. The arguments are Flask's; none of them softens the reading."""
        data = self._whole()
        if not data.strip():
            raise _refused("body_missing", "The request has no body; a JSON object is wanted.")
        if self.mimetype != "application/json":
            raise Refused(Problem(415, "media_type", "The body's Content-Type must be application/json."))
        return read(data)

    def _whole(self) -> bytes:
        """The body. One that comes in chunks is cut at the limit by werkzeug without a word: that is no body."""
        data = self.get_data()
        if self.content_length is None and len(data) >= (self.max_content_length or math.inf):
            raise RequestEntityTooLarge
        return data


def read(data: bytes) -> dict[str, Any]:
    """The JSON object that `data` holds.

    Raises:
        Refused: 400 when it is no strict JSON, 422 when it is no object.
    """
    text = _text(data)
    _check_depth(text)
    value = _parsed(text)
    if not isinstance(value, dict):
        sentence = "The body is not a JSON object."
        field = BadField(("body",), "A JSON object is wanted.", "object_expected")
        raise Refused(Problem(422, "object_expected", sentence, (field,)))
    return value


def _refused(code: str, sentence: str) -> Refused:
    return Refused(Problem(400, code, sentence))


def _text(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        raise _refused("encoding", f"The body is not UTF-8 (byte {exc.start}).") from None
    if "\0" in text:
        # Half of UTF-16 text is NULs; JSON never has one.
        raise _refused("encoding", "The body is not UTF-8 text: it holds NUL characters.")
    return text


def _check_depth(text: str) -> None:
    # Before parsing: the parser would recurse. What lies in strings is cut out first.
    outside = "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])
    steps = (1 if char in "[{" else -1 for char in outside if char in "[]{}")
    if max(accumulate(steps), default=0) > DEEPEST:
        raise _refused("json_too_deep", f"The body is nested deeper than {DEEPEST} levels.")


def _parsed(text: str) -> Any:
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
        # Half a surrogate pair, as \ud800, is no text: it cannot be written back.
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno}, column {exc.colno}"
        raise _refused("json_invalid", f"The body is not JSON: {exc.msg} ({where}).") from None
    except UnicodeEncodeError:
        raise _refused("encoding", "The body holds half a surrogate pair, which is no text.") from None
    except ValueError:
        # Python refuses to read integers of more than 4,300 digits.
        raise _refused("json_invalid", "The body holds a number that is too long.") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _refused("json_duplicate_key", f"The body has the key {key[:40]!r} twice in one object.")
        found[key] = value
    return found


def _constant(word: str) -> float:
    raise _refused("json_invalid", f"The body is not JSON: {word} is no JSON number.")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _refused("json_invalid", f"The body holds a number that is too large: {text[:40]}.")
    return number
