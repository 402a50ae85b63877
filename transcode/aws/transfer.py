"""How the bytes of an object travel: ranged parallel downloads, parallel uploads of parts.

s3transfer's classic engine is used as such; boto3 would choose another one by itself on some instances,
which knows nothing of the client's endpoint.
"""

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s3transfer.manager import TransferConfig, TransferManager
from s3transfer.subscribers import BaseSubscriber

if TYPE_CHECKING:
    from s3transfer.futures import TransferFuture
    from types_boto3_s3 import S3Client

_MB = 1024 * 1024
# Eight ranges of 16 MB at once fill a 10 Gb/s link from S3; more took memory and no less time.
_DOWNLOAD = TransferConfig(
    # Ranged from the first byte on: only ranged requests are pinned to the ETag.
    multipart_threshold=1,
    multipart_chunksize=16 * _MB,
    max_request_concurrency=8,
    num_download_attempts=5,
)
# S3 wants 5 MB at least. At most 500 parts: their tags lie in one item of 400 KB, of all outputs together.
_SMALLEST_PART, _MOST_PARTS = 8 * _MB, 500
# Parts at once, each in memory while it is sent, and the bytes that all of them may take.
_UPLOADS, _UPLOAD_MEMORY = 4, 128 * _MB
# Seconds between two calls of `on_bytes` while parts are slow: it may want to stop us.
_ASK = 1.0


class _Pinned(BaseSubscriber):
    """Tells s3transfer what we know of the object, so that it does not ask again and find a newer one."""

    def __init__(self, size: int, etag: str, on_bytes: Callable[[int], None]) -> None:
        self._size, self._etag = size, etag
        self._on_bytes = on_bytes
        self._lock = threading.Lock()

    def on_queued(self, future: "TransferFuture", **_: Any) -> None:
        """The transfer is about to begin."""
        future.meta.provide_transfer_size(self._size)
        future.meta.provide_object_etag(self._etag)

    def on_progress(self, future: "TransferFuture", bytes_transferred: int, **_: Any) -> None:  # noqa: ARG002
        """Some thread has got bytes; what we raise ends the transfer and comes out of it."""
        with self._lock:
            self._on_bytes(bytes_transferred)


def download(
    client: "S3Client", bucket: str, key: str, path: Path, found: dict[str, Any], which: dict[str, str],
    on_bytes: Callable[[int], None],
) -> None:  # fmt: skip
    """Write the object that HEAD has `found` to `path`, which appears only when it is whole."""
    if found["ContentLength"] == 0:
        path.touch()
        return
    pinned = _Pinned(found["ContentLength"], found["ETag"], on_bytes)
    with TransferManager(client, _DOWNLOAD) as manager:
        manager.download(bucket, key, str(path), extra_args=which, subscribers=[pinned]).result()


def part_size(size: int) -> int:
    """Bytes per part of a file of `size` bytes: whole megabytes."""
    megabytes = -(-size // (_MOST_PARTS * _MB))
    return max(_SMALLEST_PART, megabytes * _MB)


def upload(
    client: "S3Client", bucket: str, key: str, upload_id: str, path: Path, on_bytes: Callable[[int], None]
) -> list[str]:
    """Send a file's parts; their tags, in order. When it raises, no part is under way any more."""
    size = path.stat().st_size
    length = part_size(size)

    def send(number: int) -> tuple[str, int]:
        data = _slice(path, (number - 1) * length, length)
        answer = client.upload_part(
            Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=data, ChecksumAlgorithm="CRC32"
        )
        return " ".join(filter(None, (answer["ETag"], answer.get("ChecksumCRC32")))), len(data)

    workers = max(1, min(_UPLOADS, _UPLOAD_MEMORY // length))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="upload")
    try:
        parts = [pool.submit(send, number) for number in range(1, max(1, -(-size // length)) + 1)]
        _watch(parts, on_bytes)
        return [part.result()[0] for part in parts]
    finally:
        pool.shutdown(cancel_futures=True)


def _slice(path: Path, start: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(length)


def _watch(parts: list[Future[tuple[str, int]]], on_bytes: Callable[[int], None]) -> None:
    """Tell of each part as it is through, and ask between them whether to go on."""
    waiting = set(parts)
    while waiting:
        done, waiting = wait(waiting, timeout=_ASK, return_when=FIRST_COMPLETED)
        if not done:
            on_bytes(0)
        for part in done:
            on_bytes(part.result()[1])
