"""A question whose answer takes time, asked in a thread of its own while the asker goes on. For `fleet` and `post`."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Errand(Generic[Answer]):
    """One question under way. Nobody waits for it: a driver that hangs for ever holds up nothing, not even the end."""

    def __init__(self, question: Callable[[], Answer]) -> None:
        self._question = question
        self._future: Future[Answer] = Future()
        threading.Thread(target=self._go, name="errand", daemon=True).start()

    def _go(self) -> None:
        try:
            self._future.set_result(self._question())
        except Exception as error:
            self._future.set_exception(error)

    @property
    def over(self) -> bool:
        """Whether the answer is there."""
        return self._future.done()

    def answer(self) -> Answer:
        """What came of it; what the question raised comes out of here."""
        return self._future.result(timeout=0)
