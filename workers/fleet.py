"""The worker of a machine: one node for each healthy GPU, one on the CPU where there is none.

A node is pinned to its card by CUDA_VISIBLE_DEVICES, so that nothing it starts can reach another one. Here is
which nodes there are and what becomes of signals; a card's story is in `post`, a process's in `child`.
"""

import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import FrameType

from transcode import logs, metrics, settings
from transcode.clock import Clock
from transcode.ffmpeg import binaries, gpu, nvml, seen
from transcode.ffmpeg.binaries import Tools
from transcode.ffmpeg.health import Health
from transcode.ffmpeg.nvml import Card
from transcode.settings import Settings
from workers import roster
from workers.child import Child, Command, node_command
from workers.errand import Errand
from workers.post import Canary, Post
from workers.roster import Roster, Stage

log = logs.get(__name__)

# Seconds between looks at nodes and health: nobody notices, and it costs a few system calls.
_TICK = 1.0
# Seconds between looks for cards that came or went. Both are rare, and NVML takes a lock of the driver.
LOOK_EVERY = 60.0
# Seconds in which a node that hands its tasks back must have ended. It promises half a minute; one that takes
# four times as long hangs in a driver, and only its death gives its tasks to others.
_PATIENCE = 120.0
# What a process ends with whose settings are bad.
_BAD_SETTINGS = 2
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

Look = Callable[[], tuple[Card, ...]]


def run() -> int:
    """Run this machine's worker until it is stopped; its exit status.

    Also a lone node on the CPU has this process over it: Celery's main process can end by itself, as when a pool
    process is killed while it reconnects.

    Raises:
        SettingsError: settings are bad.
    """
    found = settings.load()
    logs.configure(found.log_level, found.log_format, "fleet")
    if found.metrics_port:
        # Before any node starts: they find the folder in their environment.
        metrics.serve(found.metrics_port, metrics.share(found.metrics_port, found.temp_dir))
    cards = visible_cards()
    if not cards:
        log.info("No GPU, the CPU does the work", why=nvml.trouble() or "Driver or CUDA_VISIBLE_DEVICES leave none.")
    return keep(Fleet(found, cards, lambda card: gpu.canary(_tools(found), card, found.card_folder(card.uuid))))


@cache
def _tools(found: Settings) -> Tools:
    """The programs with which cards are tried; where there is no card none are looked for."""
    tools = binaries.find(found)
    return replace(tools, sandbox=seen.sandbox(found.sandbox, tools.ffmpeg, tools.ffprobe))


def visible_cards() -> tuple[Card, ...]:
    """The cards of this machine that CUDA_VISIBLE_DEVICES leaves to us; NVML does not know that variable."""
    return visible(nvml.cards(), os.environ.get("CUDA_VISIBLE_DEVICES"))


def visible(cards: tuple[Card, ...], wanted: str | None) -> tuple[Card, ...]:
    """The cards that `wanted` names; all of them where it is None.

    Read as CUDA reads it: indices or beginnings of UUIDs, and the first word that names no card ends the list.
    Indices are counted as NVML counts them, by PCI address.
    """
    if wanted is None:
        return cards
    found: list[Card] = []
    for word in wanted.split(","):
        card = next((card for card in cards if _names(word.strip(), card)), None)
        if card is None:
            break
        if card not in found:
            found.append(card)
    return tuple(found)


def _names(word: str, card: Card) -> bool:
    return word == str(card.index) or (word.startswith("GPU-") and card.uuid.startswith(word))


class Fleet:
    """The nodes of a machine with GPUs. `tick` moves everything one step and never waits.

    Args:
        found: the settings.
        cards: those that are there now.
        canary: tries a card.
        look: asked from time to time which cards are there.
        command: the command line of a node.
        clock: the time that is told to people.
    """

    def __init__(
        self, found: Settings, cards: tuple[Card, ...], canary: Canary, *, look: Look = visible_cards,
        command: Command = node_command, clock: Clock = time.time,
    ) -> None:  # fmt: skip
        self._settings = found
        self._canary, self._command, self._clock = canary, command, clock
        # A node that finishes its tasks first may take hours.
        self._patience = _PATIENCE if found.shutdown_mode == "handback" else None
        self.posts: dict[str, Post] = {}
        self.cpu = Child("cpu", {"CUDA_VISIBLE_DEVICES": ""}, command, self._patience)
        self._find, self._looked = look, float("-inf")
        self._search: Errand[tuple[Card, ...]] | None = None
        self._missing: frozenset[str] = frozenset()
        self._told: Roster | None = None
        self._stopping, self._bad_settings = False, False
        self._last: list[Child] = []
        self._welcome(cards)

    @property
    def children(self) -> list[Child]:
        """All nodes, those that do not run included."""
        return [*(post.child for post in self.posts.values()), self.cpu]

    @property
    def over(self) -> bool:
        """Whether it was stopped and no node runs any more."""
        return self._stopping and not any(child.running for child in self.children)

    @property
    def status(self) -> int:
        """The exit status, once it is over: 0 when every node that was told to end did so properly."""
        return _BAD_SETTINGS if self._bad_settings else int(any(child.failed for child in self._last))

    def tick(self, now: float) -> None:
        """Look at everything once and do what is due."""
        if self._stopping:
            for child in self.children:
                child.look(now)
            return
        self._look_around(now)
        for post in list(self.posts.values()):
            post.tick(now)
            if post.stage is Stage.GONE and not post.child.running:
                del self.posts[post.card.uuid]
        self._keep_cpu(now)
        self._judge(now)
        self._tell()

    def stop(self, now: float, number: int = signal.SIGTERM) -> None:
        """Pass a signal on to every node, each time that one comes; nothing is started any more."""
        if not self._stopping:
            log.info("Worker stops", signal=signal.Signals(number).name)
            self._stopping, self._last = True, [child for child in self.children if child.running]
        for child in self.children:
            child.end(now, number)

    def close(self) -> None:
        """Take away what was told of the cards."""
        roster.remove(self._settings.temp_dir)

    def _look_around(self, now: float) -> None:
        if self._search is None and now - self._looked >= LOOK_EVERY:
            self._looked, self._search = now, Errand(self._find)
        elif self._search is not None and self._search.over:
            search, self._search = self._search, None
            cards = _found(search)
            if cards is not None:
                self._saw(cards, now)

    def _saw(self, cards: tuple[Card, ...], now: float) -> None:
        there = {card.uuid for card in cards}
        missing = frozenset(uuid for uuid in self.posts if uuid not in there)
        # Twice in a row: one unanswered question is not to stop the nodes of a whole machine.
        for uuid in missing & self._missing:
            if self.posts[uuid].stage is not Stage.GONE:
                self.posts[uuid].gone(now)
        self._missing = missing
        self._welcome(cards)

    def _welcome(self, cards: tuple[Card, ...]) -> None:
        for card in cards:
            if card.uuid not in self.posts:
                name = self._free_name(card)
                log.info("GPU found", gpu=card.uuid, name=card.name, driver=card.driver, node=name)
                health = Health(self._settings.card_folder(card.uuid))
                self.posts[card.uuid] = Post(card, self._child(name, card), health, self._canary, self._clock)

    def _free_name(self, card: Card) -> str:
        """`gpu` and its index. Indices move when a card falls out, and no two nodes may share a name."""
        taken = {post.child.name for post in self.posts.values()}
        number = card.index
        while f"gpu{number}" in taken:
            number += 1
        return f"gpu{number}"

    def _child(self, name: str, card: Card) -> Child:
        pinned = {"CUDA_VISIBLE_DEVICES": card.uuid, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        return Child(name, pinned, self._command, self._patience)

    def _keep_cpu(self, now: float) -> None:
        """The CPU takes the work only where no card can, and first waits a little for new ones."""
        posts = self.posts.values()
        if not self.cpu.wanted and not any(post.hopeful(now) for post in posts):
            log.warning("No GPU is fit, the CPU takes the work", node=self.cpu.name)
            self.cpu.want()
        elif self.cpu.wanted and any(post.stage is Stage.WORKS for post in posts):
            log.info("A GPU is fit again, the CPU hands its work back", node=self.cpu.name)
            self.cpu.end(now)
        self.cpu.look(now)

    def _judge(self, now: float) -> None:
        """Settings that are bad from the start end everything: to try again would not help."""
        if any(child.settled(now) for child in self.children):
            return
        if any(child.starts == 1 and child.status == _BAD_SETTINGS for child in self.children):
            self._bad_settings = True
            self.stop(now)

    def _tell(self) -> None:
        cards = tuple(post.standing for post in self.posts.values())
        told = Roster(socket.gethostname(), os.getpid(), self.cpu.wanted, cards)
        if told != self._told:
            told.write(self._settings.temp_dir)
            self._told = told


def _found(search: Errand[tuple[Card, ...]]) -> tuple[Card, ...] | None:
    """The cards that a search found; None where it came to nothing, which says nothing of the cards."""
    try:
        return search.answer()
    except Exception:
        log.exception("Search for GPUs failed")
        return None


def keep(fleet: Fleet) -> int:
    """Run a fleet until a signal ends it; its exit status."""
    came: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        # Only noted: an exception from here could come out of any line.
        came.append(number)

    for number in _SIGNALS:
        signal.signal(number, note)
    try:
        while not fleet.over:
            while came:
                fleet.stop(time.monotonic(), came.pop(0))
            fleet.tick(time.monotonic())
            time.sleep(_TICK)
    finally:
        # Nodes that are left, by a fault of ours, end with this process.
        fleet.close()
    return fleet.status
