"""One Celery worker node. Without a GPU a machine has one, `cpu@host`."""

import socket

from transcode import logs
from transcode.ffmpeg.encoder import FfmpegEncoder
from workers.app import app
from workers.tools import desk, read_settings


def run(name: str = "cpu") -> None:
    """Run the node `name@host` until it is stopped; bad settings end it before it takes a message.

    Gossip, mingle and Celery's heartbeat speak to other workers over the broker, which costs SQS requests
    and tells nobody anything here.
    """
    desk()
    found = read_settings()
    logs.configure(found.log_level, found.log_format, "worker")
    # Which ffmpeg, and which walls around it: found by trying, once; the pool's processes inherit the answer.
    FfmpegEncoder.from_settings(found)
    app.worker_main(
        [
            "worker", "--hostname", f"{name}@{socket.gethostname()}", "--pool", "prefork",
            "--concurrency", str(found.max_concurrent_tasks), "--queues", found.queue_name,
            "--loglevel", found.log_level, "--without-gossip", "--without-mingle", "--without-heartbeat",
        ]
    )  # fmt: skip
