"""The REST API: the first segment of a path after `/api` is the module.

`schemas` holds the shapes that go in and out. How errors are answered is in `webapp.errors`.
"""

from webapp.api import health, queue, stats, tasks, transcode_types, workers

BLUEPRINTS = (
    health.blueprint,
    queue.blueprint,
    stats.blueprint,
    tasks.blueprint,
    transcode_types.blueprint,
    workers.blueprint,
)
