"""One Celery worker node: `cpu@host`, or one of a fleet's, `gpu0@host`, pinned to its card by the environment.

`python -m workers.node NAME PARENT` is a node of the fleet whose pid is PARENT. Which nodes there are is in `fleet`.
"""

import socket
import sys

from transcode import logs
from transcode.errors import SettingsError, TranscodeError
from transcode.ffmpeg.encoder import FfmpegEncoder
from workers.app import app
from workers.child import end_with
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


def main() -> None:
    """Be a node of a fleet. Errors are sentences: exit status 2 for a bad setting, 1 for everything else."""
    name, parent = sys.argv[1:]
    end_with(int(parent))
    try:
        run(name)
    except SettingsError as exc:
        sys.stderr.write(f"The settings are wrong:\n{exc}\n")
        sys.exit(2)
    except TranscodeError as exc:
        sys.stderr.write(f"{exc}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
