"""The `transcode` command. It may import `transcode`, `workers` and `webapp`; nothing imports it."""
