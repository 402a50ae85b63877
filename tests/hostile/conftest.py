"""The trap around every hostile file: a file that must not be read, and a server that must not be asked."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.flow import odd_clips
from tests.flow.test_media import Ear
from transcode.ffmpeg.binaries import at_hand
from transcode.ffmpeg.encoder import FfmpegEncoder
from transcode.ports import RenderJob, Rendition
from transcode.presets import Preset, load

# What stands in the file that must not be read, and in no output.
SECRET = b"the-canary-sings"
# The effort changes nothing that is looked at here.
QUICK = tuple(p.model_copy(update={"speed": "ultrafast"}) for p in load().pick(["mp4_smooth", "thumbnail"]))


@dataclass
class Farm:
    """The encoder in a folder of its own, with the trap beside it."""

    folder: Path
    server: socket.socket
    encoder: FfmpegEncoder = field(default_factory=lambda: FfmpegEncoder(at_hand(), threads=2))

    @property
    def canary(self) -> Path:
        """A film that is somebody else's."""
        return self.folder / "canary.mp4"

    @property
    def address(self) -> str:
        """Where the server listens."""
        return f"127.0.0.1:{self.server.getsockname()[1]}"

    def upload(self, data: bytes, name: str = "input") -> Path:
        """A file as it came from the bucket."""
        path = self.folder / name
        path.write_bytes(data)
        return path

    def render(self, path: Path, presets: tuple[Preset, ...] = QUICK) -> dict[str, Rendition]:
        """The renditions of a file, as a worker makes them."""
        source = self.encoder.probe(path)
        out = self.folder / "out"
        out.mkdir(exist_ok=True)
        job = RenderJob(path, out, source, presets, Ear())
        return {made.type: made for made in self.encoder.render(job) if isinstance(made, Rendition)}

    def untouched(self) -> None:
        """Nobody asked the server, and nothing of the canary is in an output."""
        with pytest.raises(BlockingIOError):
            self.server.accept()
        for path in (self.folder / "out").glob("**/*"):
            assert SECRET not in path.read_bytes(), path.name


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        made = Farm(tmp_path, server)
        odd_clips.ffmpeg(tmp_path, f"{odd_clips.X264} -metadata comment={SECRET.decode()} canary.mp4",
                         "color=magenta:s=160x120:r=25:d=1")  # fmt: skip
        yield made
        made.untouched()
        # Names from the content of a file never become paths.
        assert not list(tmp_path.parent.rglob("evil"))
