"""How work is fetched and run. Celery lives here.

Touch this to change how messages travel and processes live. It may import `transcode`, never
`webapp`, `cli` or Flask. Decisions about a task are made in `transcode`; a Celery task is a shell.
"""
