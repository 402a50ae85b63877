"""Files that lie, and names that are traps, against the real ffmpeg: what is refused, what is made of the rest."""
