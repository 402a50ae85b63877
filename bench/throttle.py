"""A relay before an AWS that lets through so many bytes a second each way, of all connections together.

    python -m bench.throttle

says its address, then reads from stdin lines of `HOST:PORT DOWN UP`: where it leads from now on, and the bytes a second
towards the caller and away from it. It answers each with an empty line.
"""

import asyncio
import subprocess
import sys
from math import isinf
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

# Bytes that pass in one piece: a packet of Ethernet, so that a short call waits for no more of a long transfer than on
# a real line; and where nothing is to be held up.
_PACKET, _PIECE = 1500, 64 * 1024
# Seconds of the line that are made up for when this process wakes too late: a busy machine makes no line narrower.
_LATE = 0.1


class Throttle:
    """The relay as a process. Use as a context."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "bench.throttle"]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._child.stdout  # noqa: S101 - a pipe was asked for
        self.endpoint = self._child.stdout.readline().strip()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        # Its own exit closes the pipes and waits.
        with self._child:
            self._child.terminate()

    def lead(self, endpoint: str, down: float, up: float) -> None:
        """Lead to an endpoint with these bytes a second."""
        assert self._child.stdin  # noqa: S101 - a pipe was asked for
        assert self._child.stdout  # noqa: S101 - a pipe was asked for
        self._child.stdin.write(f"{urlsplit(endpoint).netloc} {down} {up}\n")
        self._child.stdin.flush()
        self._child.stdout.readline()


class _Lane:
    """One direction."""

    def __init__(self) -> None:
        self.rate, self._free = float("inf"), 0.0

    async def carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Pass on what comes until it ends, each piece when its turn on the lane is over."""
        now = asyncio.get_running_loop().time
        try:
            while piece := await source.read(_PIECE if isinf(self.rate) else _PACKET):
                self._free = max(now() - _LATE, self._free) + len(piece) / self.rate
                await asyncio.sleep(self._free - now())
                target.write(piece)
                await target.drain()
        except ConnectionError:
            pass
        finally:
            target.close()


class _Relay:
    def __init__(self) -> None:
        self._down, self._up = _Lane(), _Lane()
        self._place = ("", 0)

    def told(self, line: str) -> None:
        """Take a line of stdin."""
        place, down, up = line.split()
        host, _, port = place.partition(":")
        self._place, self._down.rate, self._up.rate = (host, int(port)), float(down), float(up)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection, both ways."""
        there, back = await asyncio.open_connection(*self._place)
        await asyncio.gather(self._up.carry(reader, back), self._down.carry(there, writer))


async def _main() -> None:
    relay, loop = _Relay(), asyncio.get_running_loop()
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    print("http://{}:{}".format(*server.sockets[0].getsockname()), flush=True)  # noqa: T201
    # It ends with who started it: then its stdin does.
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        relay.told(line)
        print(flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(_main())
