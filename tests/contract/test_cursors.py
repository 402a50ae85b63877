"""The cursors of DynamoDB's lists: signed, so that nobody else's is taken, and short."""

import base64
import json
from typing import Any

import pytest
from pydantic import SecretStr

from tests.contract.test_task_store import filled
from tests.fakes import FakeClock
from transcode.aws import cursors
from transcode.aws.cursors import Place
from transcode.aws.dynamodb import DynamoTasks
from transcode.errors import BadCursor
from transcode.ports import Query
from transcode.settings import Settings
from transcode.states import Status

ALL = ("", "")
PLACES = {"2025-01-15": Place("2025-01-15T10:00:00.000000Z", "01946a2e-0000-7000-8000-000000000000")}


@pytest.fixture
def store(table: Settings) -> DynamoTasks:
    return DynamoTasks(table, FakeClock())


def other(settings: Settings, **changes: Any) -> DynamoTasks:
    """The same table, as another process or installation reads it."""
    return DynamoTasks(settings.model_copy(update=changes), FakeClock())


def test_a_cursor_reads_back_with_its_key_alone() -> None:
    cursor = cursors.write(PLACES, ALL, b"key")
    assert cursors.read(cursor, ALL, b"key") == PLACES
    with pytest.raises(BadCursor, match="none of ours"):
        cursors.read(cursor, ALL, b"other key")


@pytest.mark.parametrize("place", range(0, 200, 7))
def test_a_cursor_with_one_changed_byte_is_refused(place: int) -> None:
    data = bytearray(base64.urlsafe_b64decode(cursors.write(PLACES, ALL, b"key")))
    data[place % len(data)] ^= 1
    with pytest.raises(BadCursor):
        cursors.read(base64.urlsafe_b64encode(data).decode(), ALL, b"key")


@pytest.mark.parametrize("signature", [b"", b"\0" * 16, b"\0" * 15])
def test_a_place_without_our_signature_is_refused(signature: bytes) -> None:
    body = json.dumps({"for": ALL, "at": {"2025-01-15": ["2025-01-15T10:00:00.000000Z", "x"]}}).encode()
    with pytest.raises(BadCursor):
        cursors.read(base64.urlsafe_b64encode(signature + body).decode(), ALL, b"key")


def test_a_cursor_fits_into_an_address() -> None:
    both = {str(state): PLACES["2025-01-15"] for state in (Status.PENDING, "retrying")}
    assert len(cursors.write(both, ("2025-01-15", "pending"), b"key")) < 400


def test_every_process_of_an_installation_takes_the_same_cursors(store: DynamoTasks, table: Settings) -> None:
    tasks = filled(store, 3)
    cursor = store.page(Query(limit=2)).next_cursor
    assert other(table).page(Query(limit=2, cursor=cursor)).tasks == (tasks[2],)


@pytest.mark.parametrize(
    "changes",
    [
        {"secret_key": SecretStr("a-secret-of-16-characters")},
        {"api_keys": (SecretStr("a-key-of-more-than-16-characters"),)},
        {"admin_password_hash": SecretStr("scrypt:x")},
    ],
)  # fmt: skip
def test_a_cursor_of_another_installation_is_refused(
    store: DynamoTasks, table: Settings, changes: dict[str, Any]
) -> None:
    filled(store, 3)
    cursor = store.page(Query(limit=2)).next_cursor
    with pytest.raises(BadCursor, match="none of ours"):
        other(table, **changes).page(Query(limit=2, cursor=cursor))


def test_with_a_secret_key_the_other_settings_do_not_matter(table: Settings) -> None:
    given = {"secret_key": SecretStr("a-secret-of-16-characters")}
    one = table.model_copy(update=given)
    two = table.model_copy(update=given | {"api_keys": (SecretStr("a-key-of-more-than-16-characters"),)})
    assert one.signing_key("cursors") == two.signing_key("cursors")
    assert one.signing_key("cursors") != one.signing_key("sessions")
