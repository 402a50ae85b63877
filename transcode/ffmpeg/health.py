"""What a card is suspected of, known to all processes of the host. What is done about it is decided elsewhere.

A suspicion is a line of a small file, appended in one write, so that processes neither wait for each other nor
lose what a killed one had written. The file lies in the card's folder beside the places of `admission`.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from transcode import logs

log = logs.get(__name__)

# One fault may be the file's, or a cosmic ray; a second one before the card has passed a test is the card's.
_SICK = 2
# Characters of a suspicion; a line stays far below the 4096 bytes that a file system writes as one.
_LONGEST = 500


@dataclass(frozen=True)
class Health:
    """The suspicions against one card, in its folder."""

    folder: Path

    def suspect(self, why: str) -> None:
        """Note a fault of the card. A disk that is full is logged: the fault itself must not be hidden by it."""
        line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}\t{' '.join(why.split())[:_LONGEST]}\n"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Unbuffered: one write, which the kernel puts at the end whoever else writes.
            with self._file.open("ab", buffering=0) as file:
                file.write(line.encode())
        except OSError as error:
            log.warning("Suspicion not kept", card=self.folder.name, why=why, error=error.strerror)

    def clear(self) -> None:
        """Forget everything: the card has passed a test."""
        self._file.unlink(missing_ok=True)

    def suspicions(self) -> tuple[str, ...]:
        """What was noted since the last clear, oldest first."""
        try:
            text = self._file.read_text(errors="replace")
        except OSError:
            return ()
        return tuple(line.partition("\t")[2] for line in text.splitlines() if "\t" in line)

    @property
    def sick(self) -> bool:
        """Whether the faults repeat, so that the card is to be put aside."""
        return len(self.suspicions()) >= _SICK

    @property
    def _file(self) -> Path:
        return self.folder / "suspicions"
