"""The local stand-in for AWS of docker-compose.yml: moto's server on port 4566, in memory, for trying out only.

`cli.embedded_aws` is the same for one machine; there it ends with its parent, here with SIGTERM.
"""

import signal
import sys

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from cli.embedded_aws import OneAtATime

PORT = 4566


class Quiet(WSGIRequestHandler):
    """With connections that stay open; every request would be a line."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    app = OneAtATime(DomainDispatcherApplication(create_backend_app))
    # In a container: whoever shares its network may reach it, and compose publishes no port of it.
    make_server("0.0.0.0", PORT, app, threaded=True, request_handler=Quiet).serve_forever()  # noqa: S104


if __name__ == "__main__":
    main()
