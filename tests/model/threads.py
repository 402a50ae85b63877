"""`threading` in simulated time, as far as the code under test uses it."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, Self

from greenlet import getcurrent  # type: ignore[import-untyped]

from tests.model.clockwork import Clockwork, Fiber


class SimEvent:
    """`threading.Event` in simulated time."""

    def __init__(self, clock: Clockwork) -> None:
        self._clock, self._set, self._waiting = clock, False, list[Fiber]()

    def is_set(self) -> bool:
        """As in `threading`."""
        return self._set

    def set(self) -> None:
        """As in `threading`."""
        self._set = True
        for fiber in self._waiting:
            self._clock.wake(fiber)

    def wait(self, timeout: float = 1e9) -> bool:
        """As in `threading`."""
        fiber, until = getcurrent(), self._clock.now + timeout
        if not self._set and isinstance(fiber, Fiber):
            self._waiting.append(fiber)
            self._clock.wait_until(until)
            self._waiting.remove(fiber)
        return self._set


class SimLock:
    """`threading.Lock` in simulated time; who waits looks again every tenth of a second."""

    def __init__(self, clock: Clockwork) -> None:
        self._clock, self._held = clock, False

    def __enter__(self) -> None:
        while self._held:
            self._clock.sleep(0.1)
        self._held = True

    def __exit__(self, *_: object) -> None:
        self._held = False


class SimThread:
    """`threading.Thread` as a fiber of the process that starts it."""

    def __init__(self, clock: Clockwork, target: Callable[[], None]) -> None:
        self._clock, self._target, self._done = clock, target, SimEvent(clock)

    def start(self) -> None:
        """As in `threading`."""
        self._clock.start(self._clock.me(), self._main)

    def _main(self) -> None:
        self._target()
        self._done.set()

    def join(self) -> None:
        """As in `threading`."""
        self._done.wait()


class SimThreading:
    """The module `threading`, as far as the code under test uses it."""

    def __init__(self, clock: Clockwork) -> None:
        self._clock = clock

    def Event(self) -> SimEvent:
        """As in `threading`."""
        return SimEvent(self._clock)

    def Lock(self) -> SimLock:
        """As in `threading`."""
        return SimLock(self._clock)

    def Thread(self, target: Callable[[], None], **_: Any) -> SimThread:
        """As in `threading`."""
        return SimThread(self._clock, target)


class SimPool:
    """`ThreadPoolExecutor` that does all at once what it is given, in the fiber that gives it."""

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, act: Callable[..., Any], *given: Any) -> "Future[Any]":
        """As in `concurrent.futures`; the end of a fiber is nothing that a future keeps."""
        future: Future[Any] = Future()
        try:
            future.set_result(act(*given))
        except Exception as exc:
            future.set_exception(exc)
        return future

    def map(self, act: Callable[..., Any], *given: Iterable[Any]) -> Iterator[Any]:
        """As in `concurrent.futures`."""
        futures = [self.submit(act, *one) for one in zip(*given, strict=False)]
        return (future.result() for future in futures)
