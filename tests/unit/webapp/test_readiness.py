"""What a health check is told, and how long it is made to wait."""

import threading

from tests.fakes import FakeClock
from transcode.errors import ServiceUnavailable
from webapp.readiness import Readiness


def test_an_answer_is_kept_for_five_seconds() -> None:
    clock, looks = FakeClock(), []
    readiness = Readiness({"queue": lambda: looks.append(1)}, clock=clock)
    for seconds in (0, 4.9, 0.2, 1):
        clock.advance(seconds)
        assert readiness.look() == {"queue": "ok"}
    assert len(looks) == 2


def test_a_dependency_that_is_down_says_why() -> None:
    def down() -> None:
        raise ServiceUnavailable("AWS did not answer.")

    assert Readiness({"table": down}).look() == {"table": "AWS did not answer."}


def test_a_look_that_breaks_is_no_readiness_and_no_trace() -> None:
    found = Readiness({"table": lambda: 1 / 0}).look()
    assert found == {"table": "The table could not be looked at; the log says why."}


def test_a_dependency_that_hangs_is_not_waited_for_and_not_asked_twice() -> None:
    clock, asked, answer = FakeClock(), [], threading.Event()

    def hang() -> None:
        asked.append(1)
        assert answer.wait(30)

    readiness = Readiness({"queue": lambda: None, "table": hang}, patience=0.05, clock=clock)
    try:
        assert readiness.look() == {"queue": "ok", "table": "The table did not answer within 0.05 s."}
        clock.advance(5)
        assert readiness.look()["table"].startswith("The table did not answer")
        assert asked == [1]
    finally:
        answer.set()
    patient = Readiness({"table": hang}, patience=30)
    assert patient.look() == {"table": "ok"}
