"""What APIFlask's description of the API needs to become true: errors, security, bodies.

The description is made from the routes and their models; here is only what they cannot say.
"""

import json
from typing import Any

from apiflask import APIBlueprint, APIFlask

from webapp import auth
from webapp.errors import PROBLEM_JSON

TITLE = "GPU transcode farm"
VERSION = "1"
_DESCRIPTION = (
    "A video becomes its renditions. Errors are `application/problem+json` (RFC 9457) with a stable `code`. "
    f"Where keys are set, callers send one in `{auth.HEADER}`."
)
_SCHEME = "ApiKey"

CONFIG: dict[str, Any] = {
    "OPENAPI_VERSION": "3.1.0",
    "DESCRIPTION": _DESCRIPTION,
    # A relative address: the description is made once, whatever name the first caller used for us.
    "SERVERS": [{"url": "/"}],
    "AUTO_SERVERS": False,
    "AUTO_OPERATION_ID": True,
    # Errors are described below, as what they are.
    "AUTO_404_RESPONSE": False,
    "AUTO_VALIDATION_ERROR_RESPONSE": False,
    "AUTO_AUTH_ERROR_RESPONSE": False,
    "SECURITY_SCHEMES": {_SCHEME: {"type": "apiKey", "in": "header", "name": auth.HEADER}},
}

_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "Why a request was refused or failed (RFC 9457).",
    "required": ["type", "title", "status", "detail", "errors", "error", "code"],
    "properties": {
        "type": {
            "type": "string",
            "description": "Stable name of the problem.",
            "examples": ["/problems/unknown-type"],
        },
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "One sentence for people."},
        "error": {"type": "string", "description": "The same sentence."},
        "code": {"type": "string", "description": "Stable word for programs.", "examples": ["unknown_type"]},
        "errors": {
            "type": "array",
            "description": "One entry per field that is wrong.",
            "items": {
                "type": "object",
                "required": ["loc", "msg", "type"],
                "properties": {
                    "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                    "msg": {"type": "string"},
                    "type": {"type": "string"},
                },
            },
        },
    },
}

_RETRY_AFTER = {"description": "Seconds after which it is worth another try.", "schema": {"type": "integer"}}


def leave_out_pages(app: APIFlask) -> None:
    """Keep what is for people out of the description; APIFlask asks every blueprint that guards its requests."""
    for blueprint in app.blueprints.values():
        if not isinstance(blueprint, APIBlueprint):
            blueprint.enable_openapi = False  # type: ignore[attr-defined]


def finish(spec: dict[str, Any]) -> dict[str, Any]:
    """The description that APIFlask made, made true. Called once per process."""
    spec = _named_once(spec)
    schemas = spec["components"]["schemas"]
    schemas.pop("HTTPError", None)
    schemas["Problem"] = _PROBLEM
    spec["security"] = [{_SCHEME: []}]
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            _finish_operation(path, method, operation)
    return spec


def _named_once(spec: dict[str, Any]) -> dict[str, Any]:
    """APIFlask keeps a model once for each model that holds it, as `TaskList.TaskOut`; here it gets one name."""
    schemas = spec["components"]["schemas"]
    names = {name: name.rsplit(".", 1)[-1] for name in schemas}
    spec["components"]["schemas"] = {names[name]: schema for name, schema in schemas.items()}
    text = json.dumps(spec)
    for old, new in names.items():
        text = text.replace(f'"#/components/schemas/{old}"', f'"#/components/schemas/{new}"')
    renamed: dict[str, Any] = json.loads(text)
    return renamed


def _finish_operation(path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    _finish_errors(responses, _errors(path, method, operation))
    if "requestBody" in operation:
        operation["requestBody"]["required"] = True
    for parameter in operation["parameters"]:
        if parameter["in"] == "header":
            parameter["name"] = parameter["name"].title()
    if _is_open(path):
        operation["security"] = []
    operation["responses"] = dict(sorted(responses.items()))


def _finish_errors(responses: dict[str, Any], shared: dict[str, str]) -> None:
    for status, description in shared.items():
        responses.setdefault(status, {"description": description})
    for status, response in responses.items():
        if status >= "4":
            response["content"] = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    if "429" in responses:
        responses["429"]["headers"] = {"Retry-After": _RETRY_AFTER}


def _errors(path: str, method: str, operation: dict[str, Any]) -> dict[str, str]:
    """The errors that an operation shares with all others of its kind."""
    found = {"500": "Our fault; the log has it"}
    if not _is_open(path):
        found["401"] = "No key, or an unknown one"
    if method != "get":
        found["429"] = "More changing calls than RATE_LIMIT allows a caller"
    if operation["parameters"] or "requestBody" in operation:
        found["422"] = "A field that does not fit; `errors` names each"
    if "requestBody" in operation:
        found |= {"400": "No JSON that can be read", "413": "More than 64 KB", "415": "Not application/json"}
    return found


def _is_open(path: str) -> bool:
    return path == "/api/health"
