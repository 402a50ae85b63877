"""A visitor of the admin over the fakes."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.security import generate_password_hash
from werkzeug.test import TestResponse

from tests.unit.webapp.conftest import Bench
from transcode import submit
from transcode import task as records
from transcode.clock import timestamp
from transcode.states import Status
from transcode.task import Task

PASSWORD, READ_PASSWORD = "an operator's word", "a reader's word"
HASH, READ_HASH = generate_password_hash(PASSWORD), generate_password_hash(READ_PASSWORD)


@dataclass
class Visitor:
    """A browser without a screen: it keeps cookies, and sends forms with the token that it was given."""

    client: FlaskClient

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.client.get(f"/admin{path}", headers={k.replace("_", "-"): v for k, v in headers.items()})

    def token(self) -> str:
        found = re.search(r'name="token" value="([^"]+)"', self.get("/sign-in?", follow="").text or "")
        return found[1] if found else re.findall(r'name="token" value="([^"]+)"', self.get("").text)[0]

    def post(self, path: str, follow: bool = False, **form: Any) -> TestResponse:
        return self.client.post(f"/admin{path}", data={"token": self.token(), **form}, follow_redirects=follow)

    def sign_in(self, password: str = PASSWORD, **form: str) -> TestResponse:
        return self.post("/sign-in", password=password, **form)


@pytest.fixture
def visitor(client: FlaskClient) -> Visitor:
    """One of an admin that is open, as on a first machine."""
    return Visitor(client)


@pytest.fixture
def closed(make_bench: Callable[..., Bench]) -> Bench:
    """An admin that asks for a password."""
    bench = make_bench(admin_password_hash=HASH, admin_readonly_password_hash=READ_HASH)
    bench.storage.put("videos", "holiday/beach.mp4", b"a video")
    return bench


@pytest.fixture
def stranger(closed: Bench) -> Visitor:
    return Visitor(closed.app().test_client())


def add(bench: Bench, key: str = "holiday/beach.mp4", **fields: Any) -> Task:
    """A task in the store; `fields` change it. Time goes on by a second, so that the next one is newer."""
    bench.clock.advance(1)
    if not fields:
        bench.storage.put("videos", key, b"a video")
        return submit.add(bench.deps().desk, "videos", key)
    now = bench.clock()
    made = records.made(
        records.new_id(now), now, input_bucket="videos", input_key=key, output_bucket="renditions",
        transcode_types=("mp4_standard", "thumbnail"),
    ).model_copy(update=fields)  # fmt: skip
    assert bench.store.create(made)
    return made


def failed(bench: Bench, key: str = "holiday/beach.mp4") -> Task:
    return add(
        bench, key, status=Status.FAILED, error_message="It is <b>no</b> video.", error_code="input_not_media",
        completed_at=timestamp(bench.clock()), attempts=1,
    )  # fmt: skip


@pytest.fixture
def calls(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every read of the store from now on, by name."""
    found: list[str] = []
    for name in ("read", "page", "read_aside", "read_asides"):
        inner: Callable[..., object] = getattr(bench.store, name)

        def counted(*args: object, _name: str = name, _inner: Callable[..., object] = inner) -> object:
            found.append(_name)
            return _inner(*args)

        monkeypatch.setattr(bench.store, name, counted)
    return found
