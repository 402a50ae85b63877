"""The names of the Celery tasks, as they stand in messages. Never renamed: messages of the old name may wait."""

# Runs one task; its one argument is the task id.
RUN = "transcode.run"
# Takes an S3 notification that came in the task queue; its one argument is the notification.
INGEST = "transcode.ingest"
