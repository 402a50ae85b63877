"""An AWS that keeps nothing and answers the calls of one submission after the same short wait each, as AWS does.

    python -m bench.even_aws MILLISECONDS

moto needs all of a core for an answer, so against it everything else looks cheap. Here the wait is like that
of AWS within a region, and costs no processor: what remains is what is ours.
"""

import asyncio
import hashlib
import json
import sys
import uuid

_COUNTS = tuple(f"ApproximateNumberOfMessages{which}" for which in ("", "NotVisible", "Delayed"))


def _answer(method: str, headers: dict[str, str], body: bytes) -> tuple[str, bytes]:
    """Further headers, and the body."""
    if method == "HEAD":
        return 'ETag: "0123"\r\nLast-Modified: Wed, 15 Jan 2025 09:00:00 GMT\r\nContent-Length: 700', b""
    found: dict[str, object] = {}
    action = headers.get("x-amz-target", "").rpartition(".")[2]
    if action == "GetQueueAttributes":
        # kombu asks once, before the first message.
        found = {"Attributes": dict.fromkeys(_COUNTS, "0")}
    elif action == "SendMessage":
        text = json.loads(body)["MessageBody"].encode()
        found = {"MessageId": str(uuid.uuid4()), "MD5OfMessageBody": hashlib.md5(text).hexdigest()}  # noqa: S324
    told = json.dumps(found).encode()
    return f"Content-Type: application/x-amz-json-1.0\r\nContent-Length: {len(told)}", told


class Desk:
    """Where the answers are given."""

    def __init__(self, wait: float) -> None:
        self._wait = wait

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes over one connection, until it ends."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").strip().split("\r\n")
                headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                await asyncio.sleep(self._wait)
                more, told = _answer(first.split()[0], headers, body)
                writer.write(f"HTTP/1.1 200 OK\r\n{more}\r\n\r\n".encode() + told)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def _main(wait: float) -> None:
    server = await asyncio.start_server(Desk(wait).serve, "127.0.0.1", 0)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    # It ends with who started it: then its stdin does.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main(float(sys.argv[1]) / 1000))
