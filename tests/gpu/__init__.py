"""On a simulated GPU: the real driver libraries' faces, an unmodified ffmpeg, real processes."""
