"""How a video is read, planned, encoded and checked.

`plan` and `command` are pure; `runner` alone starts processes. Nothing here knows AWS or the record.
"""
