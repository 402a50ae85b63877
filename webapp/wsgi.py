"""The application as a server starts it: `gunicorn -c python:webapp.gunicorn_conf "webapp.wsgi:app()"`."""

import time

from transcode import logs, presets
from transcode import settings as env
from transcode.aws.callback_queue import CallbackQueue
from transcode.aws.dead_letters import SqsDeadLetters
from transcode.aws.dynamodb import DynamoTasks
from transcode.aws.s3 import S3Storage
from transcode.aws.sqs import Queues
from transcode.settings import Settings
from webapp import App, create_app
from webapp.deps import Deps
from webapp.readiness import Probe, Readiness
from workers.publisher import Publisher, read_task_id


def app() -> App:
    """The application over AWS, from the environment and `config.env`.

    Raises:
        SettingsError: a setting is bad, or the API would be open to a network.
        BadPreset: the preset file cannot be used.
    """
    settings = env.load()
    env.check_bind(settings)
    logs.configure(settings.log_level, settings.log_format, "api")
    return create_app(over_aws(settings))


def over_aws(settings: Settings) -> Deps:
    """The dependencies, filled with AWS."""
    store, storage, queues = DynamoTasks(settings), S3Storage(settings), Queues(settings)
    return Deps(
        settings=settings,
        presets=presets.load(settings.presets_file),
        store=store,
        storage=storage,
        queue=Publisher(settings),
        callbacks=CallbackQueue(settings),
        counts=queues.counts,
        dead_letters=SqsDeadLetters(settings, read_task_id),
        readiness=Readiness(probes(settings, store, storage, queues)),
        clock=time.time,
    )


def probes(settings: Settings, store: DynamoTasks, storage: S3Storage, queues: Queues) -> dict[str, Probe]:
    """A look at each dependency, by the name that `/api/health` shows."""

    def look_at_buckets() -> None:
        for bucket in dict.fromkeys((*settings.input_bucket, settings.output_bucket)):
            storage.check_bucket(bucket)

    def look_at_table() -> None:
        # Reading an item that never exists is the cheapest question a table answers.
        store.read_aside("health", "probe")

    callbacks = {"callbacks": CallbackQueue(settings).check} if settings.callback_queue_url else {}
    return {"queue": queues.counts, "table": look_at_table, "buckets": look_at_buckets, **callbacks}
