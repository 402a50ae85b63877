"""The courier: messages to a real receiver on this machine, which answers well, badly, or not at all."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.unit.conftest import Farm
from transcode import callback, submit
from transcode.aws.sqs import Received
from transcode.errors import ServiceUnavailable
from transcode.ports import Callback
from transcode.targets import Target
from transcode.task import ASIDE, Task
from workers.courier import Courier, Post, Rest


@dataclass
class Box:
    """The callback queue: what was deleted, and for how long what was held."""

    deleted: list[str] = field(default_factory=list)
    held: dict[str, float] = field(default_factory=dict)

    def receive(self, wait: int) -> list[Received]:
        return []

    def delete(self, message: Received) -> None:
        self.deleted.append(message.id)

    def extend(self, message: Received, seconds: float) -> None:
        self.held[message.id] = seconds


class Receiver(ThreadingHTTPServer):
    """It notes what it is sent, and answers with `status`; to 302 with an address of its own."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.got = 204, list[tuple[str, bytes]]()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.headers["webhook-id"], body))
        self.send_response(self.server.status)
        self.send_header("Location", self.server.url)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server
        server.shutdown()


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def courier(farm: Farm, receiver: Receiver, box: Box) -> Courier:
    # Nobody listens at port 9.
    known = {"orders": Target("orders", receiver.url, (b"0123456789abcdef",)),
             "away": Target("away", "http://127.0.0.1:9/hook", (b"0123456789abcdef",))}  # fmt: skip
    return Courier(farm.store, box, known, farm.clock, Post())


def over(farm: Farm, key: str = "film.mp4", target: str = "orders") -> Task:
    """A cancelled task that `target` is to hear of."""
    farm.storage.put("in-bucket", key, b"film")
    made = submit.add(farm.desk, "in-bucket", key)
    farm.store.items[made.task_id]["callback"] = target
    return submit.cancel(farm.desk, made.task_id)


def letter(task: Task, name: str = "m", sent_at: float = 0.0) -> Received:
    asked = Callback(task.task_id, task.generation, task.callback, sent_at)
    return Received(name, f"receipt of {name}", callback.write(asked), 1)


def kept(farm: Farm, task: Task) -> dict[str, object]:
    return farm.store.read_aside(task.task_id, ASIDE.CALLBACK)


def test_an_end_is_delivered_and_its_message_deleted(
    farm: Farm, courier: Courier, receiver: Receiver, box: Box
) -> None:
    task = over(farm)
    courier.deal([letter(task)], Rest())
    assert receiver.got == [(f"{task.task_id}.0", callback.body(task))]
    assert (box.deleted, kept(farm, task)["state"]) == (["m"], "delivered")


def test_copies_of_a_message_deliver_nothing_more(farm: Farm, courier: Courier, receiver: Receiver, box: Box) -> None:
    task = over(farm)
    for name in ("m", "copy"):
        courier.deal([letter(task, name)], Rest())
    assert len(receiver.got) == 1
    assert box.deleted == ["m", "copy"]


@pytest.mark.parametrize("status", [500, 302])
def test_a_receiver_that_refuses_is_tried_again_and_no_redirect_is_followed(
    farm: Farm, courier: Courier, receiver: Receiver, box: Box, status: int
) -> None:
    task, receiver.status = over(farm), status
    courier.deal([letter(task)], Rest())
    assert len(receiver.got) == 1
    assert (box.deleted, box.held) == ([], {"m": 10.0})
    assert kept(farm, task)["error"] == f"The target orders answered {status}."
    farm.clock.advance(10)
    receiver.status = 200
    courier.deal([letter(task)], Rest())
    assert (kept(farm, task)["attempts"], kept(farm, task)["state"], box.deleted) == (2, "delivered", ["m"])


def test_a_target_that_is_away_rests_and_holds_up_no_other(
    farm: Farm, courier: Courier, receiver: Receiver, box: Box
) -> None:
    rest = Rest()
    first, second, other = over(farm, "a.mp4", "away"), over(farm, "b.mp4", "away"), over(farm, "c.mp4")
    courier.deal([letter(first, "first")], rest)
    assert "did not answer" in str(kept(farm, first)["error"])
    courier.deal([letter(second, "second"), letter(other, "other")], rest)
    # It rests: nothing was tried, so nothing counts.
    assert kept(farm, second) == {}
    assert 0 < box.held["second"] <= 31
    assert box.deleted == ["other"]
    # Looked at often, it is held ever longer: SQS counts the looks.
    courier.deal([replace(letter(second, "second"), receive_count=100)], rest)
    assert box.held["second"] == 1000.0
    # A day after its end it is given up, tried or not.
    farm.clock.advance(86401)
    courier.deal([letter(second, "second")], rest)
    assert kept(farm, second)["state"] == "failed"


def test_a_target_rests_the_longer_the_longer_it_is_away() -> None:
    now = [0.0]
    rest = Rest(lambda: now[0])
    lengths = []
    for _ in range(7):
        rest.note("away", well=False)
        rest.note("away", well=False)
        lengths.append(rest.left("away"))
        now[0] += lengths[-1]
    assert lengths == [30, 60, 120, 240, 480, 600, 600]
    rest.note("away", well=True)
    rest.note("away", well=False)
    assert (rest.left("away"), rest.left("other")) == (30, 0)


def test_a_target_that_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.courier._IN_ALL", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            line, _ = server.accept()
            with line, suppress(OSError):
                while True:
                    line.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                    time.sleep(0.1)

        threading.Thread(target=drip, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        began = time.monotonic()
        status, error = Post()(Target("drip", url, (b"0123456789abcdef",)), b"{}", {})
    assert (status, "did not answer" in error) == (0, True)
    assert time.monotonic() - began < 20


def test_a_target_that_is_configured_no_more_is_told_of(farm: Farm, courier: Courier, box: Box) -> None:
    task = over(farm, target="billing")
    courier.deal([letter(task)], Rest())
    assert kept(farm, task)["error"] == "CALLBACK_TARGETS names no 'billing' (any more)."
    assert box.held == {"m": 10.0}


def test_what_is_not_over_waits_and_what_is_pointless_goes(farm: Farm, courier: Courier, box: Box) -> None:
    farm.storage.put("in-bucket", "film.mp4", b"film")
    task = submit.add(farm.desk, "in-bucket", "film.mp4")
    courier.deal([letter(task, "early", farm.clock())], Rest())
    farm.store.items.clear()
    courier.deal([letter(task, "gone")], Rest())
    assert (box.held, box.deleted) == ({"early": 15.0}, ["gone"])


def test_rubbish_and_an_outage_take_no_other_message_along(
    farm: Farm, courier: Courier, receiver: Receiver, box: Box
) -> None:
    task = over(farm)
    courier.deal([Received("rubbish", "r", "no json", 1), letter(task)], Rest())
    assert box.deleted == ["m"]
    later = over(farm, "later.mp4")

    def away(*_: object) -> None:
        raise ServiceUnavailable("no DynamoDB")

    farm.store.read = away  # type: ignore[method-assign, assignment]
    courier.deal([letter(later, "later")], Rest())
    assert (box.deleted, len(receiver.got)) == (["m"], 1)


def test_a_receiver_whose_certificate_nobody_vouches_for_is_told_nothing(receiver: Receiver, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = tmp_path / "own.pem"
    pem.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(Encoding.PEM)
    )
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(pem)
    receiver.socket = own.wrap_socket(receiver.socket, server_side=True)
    target = Target("own", receiver.url.replace("http:", "https:"), (b"0123456789abcdef",))
    assert Post()(target, b"{}", {}) == (0, "The target own did not answer: SSLCertVerificationError.")
    assert receiver.got == []
