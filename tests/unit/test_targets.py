"""Targets of callbacks as the settings name them: what is taken, what is refused, and that no secret is told."""

import base64

import pytest
from pydantic import SecretStr

from transcode.settings import Settings
from transcode.targets import Target, read

SECRET = "0123456789abcdef"
URL = "https://orders.example.com/hook?source=farm"


def secrets(*texts: str) -> list[SecretStr]:
    return [SecretStr(text) for text in texts]


def test_a_target_has_an_address_and_its_secrets() -> None:
    encoded = "whsec_" + base64.b64encode(b"another secret of sixteen").decode()
    found = read([f"orders={URL}"], secrets(f"orders={SECRET}", f"orders={encoded}"))
    assert found == {"orders": Target("orders", URL, (SECRET.encode(), b"another secret of sixteen"))}
    assert read([], []) == {}


@pytest.mark.parametrize(
    ("targets", "keys", "words"),
    [
        ([URL], [], "not written name=value"),
        (["orders="], [], "not written name=value"),
        ([f"or ders={URL}"], [], "not written name=value"),
        ([f"orders={URL}"], [], "'orders' has no secret"),
        ([f"orders={URL}"] * 2, [f"orders={SECRET}"], "names 'orders' twice"),
        ([f"orders={URL}"], [f"orders={SECRET}", f"billing={SECRET}"], "names 'billing', which is none"),
        (["orders=ftp://example.com/"], [f"orders={SECRET}"], "not written https://host/path"),
        (["orders=https://user:word@example.com/"], [f"orders={SECRET}"], "not written https://host/path"),
        (["orders=https://example.com:99999/"], [f"orders={SECRET}"], "not written https://host/path"),
        (["orders=https://example.com:port/"], [f"orders={SECRET}"], "not written https://host/path"),
        (["orders=https://[::1/"], [f"orders={SECRET}"], "not written https://host/path"),
        (["orders=https://example.com/a b"], [f"orders={SECRET}"], "not written https://host/path"),
        (["orders=https://例.com/"], [f"orders={SECRET}"], "not written https://host/path"),
        (["orders=https:///path"], [f"orders={SECRET}"], "not written https://host/path"),
        ([f"orders={URL}"], ["orders=short"], "too short: 16 bytes"),
        ([f"orders={URL}"], ["orders=whsec_no base64!"], "no base64"),
        ([f"orders={URL}"], [SECRET], "an entry of CALLBACK_SECRETS is not written"),
    ],
)
def test_what_cannot_be_a_target_is_refused_without_telling_a_secret(
    targets: list[str], keys: list[str], words: str
) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        read(targets, secrets(*keys))
    assert SECRET not in str(caught.value)
    assert "word@" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"callback_queue_url": ""}, "CALLBACK_TARGETS needs CALLBACK_QUEUE_URL"),
        ({"default_callback": "billing"}, "DEFAULT_CALLBACK=billing is none of CALLBACK_TARGETS"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings: Settings, changes: dict[str, str], words: str) -> None:
    given = settings.model_dump() | {
        "callback_targets": (f"orders={URL}",), "callback_secrets": (f"orders={SECRET}",),
        "callback_queue_url": "https://sqs.eu-west-1.amazonaws.com/1/callbacks",
    }  # fmt: skip
    assert Settings(**given).callback_targets
    with pytest.raises(ValueError, match=words):
        Settings(**(given | changes))
