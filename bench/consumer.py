"""A queue read as a worker reads it, by the product's own transport of Celery."""

from typing import Any

from kombu import Connection, Exchange, Queue
from kombu.asynchronous import Hub, set_event_loop

from transcode.settings import Settings
from workers import transport

# Where the transport looks for them; it is given a name, not a value.
_settings: Settings


class Worker:
    """One message at a time: polled by curl, vetted, handed over, deleted."""

    def __init__(self, settings: Settings) -> None:
        globals()["_settings"] = settings
        transport.register()
        name, self._hub = settings.queue_name, Hub()
        set_event_loop(self._hub)
        options = {"settings": f"{__name__}:_settings", "queue_urls": settings.queue_urls, "polling_interval": 0}
        connection = Connection("sqs://", transport_options=options)
        connection.transport.register_with_event_loop(connection.connection, self._hub)
        queue = Queue(name, Exchange(""), routing_key=name)
        self._got: list[Any] = []
        consumer = connection.Consumer([queue], accept=["json"], on_message=self._got.append)
        consumer.qos(prefetch_count=1)
        consumer.consume()

    def one(self) -> None:
        """Receive a message and delete it."""
        # curl asks for the loop of the process with its first poll; here there are several.
        set_event_loop(self._hub)
        while not self._got:
            self._hub.run_once()
        self._got.pop().ack()
