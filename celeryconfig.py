"""Every Celery and SQS option of the product, values only. The settings they follow from are in `transcode.settings`.

Only `-P prefork`, `--without-gossip --without-mingle --without-heartbeat` are missing: Celery takes the
last three on the command line alone, and `workers/node.py` gives them. SQS has no such channels.
"""

from kombu import Exchange, Queue

from transcode.settings import load
from workers.mailbox import control_prefix

# The underscore keeps it out of `celery inspect conf`, which prints every other name.
_settings = load()

# --- SQS -------------------------------------------------------------------------------------------

# No host, no key: address and credentials come from the settings, see `settings` below.
broker_url = "sqs://"
broker_transport_options = {
    # Where the transport finds the settings. A name, because options get printed by `inspect stats`.
    "settings": "celeryconfig:_settings",
    # The only queues that exist for us; none is looked up and none is made.
    "queue_urls": _settings.queue_urls,
    # The queue whose messages overtake those of the task queue, where one is set.
    "urgent": {_settings.queue_name: _settings.urgent_queue_name} if _settings.urgent_queue_url else {},
    # The control queues and the topic of this farm; another farm in the account has another.
    "control_prefix": control_prefix(_settings.queue_name),
    # What `celery purge` does first: it cancels the tasks whose messages it deletes.
    "before_purge": "workers.tools:purge",
    # Seconds one poll waits for a message. 20 is SQS's maximum, and the cheapest: 180 calls an hour.
    "wait_time_seconds": _settings.wait_seconds,
    # Seconds between polls. Any other value holds a busy worker back (measured: 1.9 tasks a second
    # instead of 48 with kombu's default of 1).
    "polling_interval": 0,
    # Seconds an idle worker rests between two polls: what POLL_INTERVAL asks for beyond one poll.
    "idle_pause": max(0.0, _settings.poll_interval - _settings.wait_seconds),
    # Seconds until an unanswered poll is given up: the poll itself and ten for the network.
    "poll_timeout": _settings.wait_seconds + 10,
    # Seconds before the first repetition of a failed poll; then 2, 4, 8, 16, 30.
    "retry_pause": 1,
}
# SQS may be down when the machine boots; a worker waits for it, however long that takes.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None

# Where messages can be sent, and what `celery purge` empties. A worker consumes the task queue alone (`-Q`), because
# kombu counts prefetch per queue and would hoard from a second one; the transport asks the urgent one for it.
task_queues = [Queue(_name, Exchange(""), routing_key=_name) for _name in _settings.queue_urls]
task_default_queue = _settings.queue_name
task_default_routing_key = _settings.queue_name
# A queue that a message names and we do not know is a mistake, not a wish.
task_create_missing_queues = False

# --- What a message is -----------------------------------------------------------------------------

# JSON only: a message can come from anybody who may write to the queue, and pickle is code.
accept_content = ["json"]
task_serializer = "json"
result_accept_content = ["json"]
enable_utc = True
timezone = "UTC"

# --- How a message ends ----------------------------------------------------------------------------

# The message is deleted when the task is over, not when it begins: a dead worker's messages come back.
task_acks_late = True
# A pool process that was killed has not finished: its message comes back too.
task_reject_on_worker_lost = True
# A task that raises or runs out of time leaves its message to SQS, which shows it again after its
# visibility and moves it to the dead-letter queue in the end. Celery's default deletes it. (Every end
# that `transcode.run` knows is no exception: it closes the record and returns.)
task_acks_on_failure = False
task_acks_on_timeout = False
# The record in DynamoDB is the result; nothing reads Celery's.
task_ignore_result = True
result_backend = None

# --- How a worker works ----------------------------------------------------------------------------

# A process per task: a crash takes one task along, and time limits and `revoke` can kill it.
worker_pool = "prefork"
worker_concurrency = _settings.max_concurrent_tasks
# Exactly as many messages as run at once. A message that only waits in memory would run out of visibility.
worker_prefetch_multiplier = 1
# After a reconnect the running tasks still count (see `workers/held.py`); Celery's own correction would
# leave free slots idle.
worker_enable_prefetch_count_reduction = False
# A lost connection is no lost lease: the tasks run on. Celery's default in later releases stops them.
worker_cancel_long_running_tasks_on_connection_loss = False
# A countdown holds a message in the worker's memory; we use SQS's delays instead, and `workers/vetting.py`
# refuses messages with an ETA. No limit of them: Celery takes it for one of all messages that are held, so
# that `pool_grow` would make a worker take fewer.
worker_eta_task_limit = None
# `celery inspect` and `control` work over SNS. False: no mailbox is made and no SNS call happens; a worker
# that may not use SNS says so once and works without.
worker_enable_remote_control = _settings.remote_control
# Events (`celery events`, Flower) do not leave a worker on SQS, so none are made.
worker_send_task_events = False
task_send_sent_event = False
# We have none, and looking for them costs time with every message.
worker_disable_rate_limits = True
# RabbitMQ only.
worker_detect_quorum_queues = False
# `transcode.logs` has set logging up; Celery would do it again in its own format.
worker_hijack_root_logger = False
worker_redirect_stdouts = False
