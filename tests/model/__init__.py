"""A deterministic simulator that runs the real code of `transcode` under seeded faults. See `play`."""
