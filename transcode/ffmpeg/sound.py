"""Makes the sound tracks that want a loudness, each a file of its own, before the pictures. Runs ffmpeg.

The source is measured, some gains are rehearsed without being encoded, then takes are made as AAC and measured until
one meets its target. That file is what the films get: the one run copies it. The arithmetic is in `loudness`.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from transcode.errors import OutputInvalid
from transcode.ffmpeg import command, failures, loudness
from transcode.ffmpeg.bench import Bench
from transcode.ffmpeg.loudness import Level, Measured, Take, Target
from transcode.ffmpeg.plan import AudioTrack, Plan, Span
from transcode.ffmpeg.probe import Audio

Targets = Mapping[AudioTrack, Target]


@dataclass(frozen=True)
class Sound:
    """A finished track: its file in the job's folder.

    `warning`: what it misses of its target; empty: nothing. `damaged`: complaints about the source while it was made.
    """

    file_name: str
    warning: str
    damaged: int


def make(bench: Bench, plan: Plan) -> dict[AudioTrack, Sound]:
    """The tracks that want a loudness, as files; tracks of silence and of tiny length have none and stay as they are.

    Raises:
        TranscodeError: what ffmpeg's words mean.
    """
    audio = plan.source.audio
    targets = {t: Target(t.loudness, t.true_peak) for t in plan.audios if t.loudness is not None}
    if audio is None or not targets or 0 < (audio.duration or plan.source.duration) < loudness.SHORTEST:
        return {}
    studio = _Studio(bench, plan, audio, targets)
    levels = studio.rehearsed(studio.measured())
    found = {track: loudness.best(takes, targets[track]) for track, takes in studio.takes(levels).items()}
    return {
        track: Sound(one.file_name, targets[track].misses(one.measured), one.damaged) for track, one in found.items()
    }


def clear(bench: Bench, sounds: Mapping[AudioTrack, Sound]) -> None:
    """Remove the files: the films have their own copies."""
    for sound in sounds.values():
        (bench.folder / sound.file_name).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Studio:
    """What all steps need."""

    bench: Bench
    plan: Plan
    audio: Audio
    targets: Targets

    def measured(self) -> dict[AudioTrack, Measured]:
        """What the source has to offer each track; none where it is silent."""
        spans: dict[Span | None, Measured | None] = {}
        for clip in dict.fromkeys(track.clip for track in self.targets):
            line = command.measure(self.bench.tools.ffmpeg, self.bench.input, self.audio, self.plan.span, clip)
            spans[clip] = loudness.read(self.bench.encode(line))
        found = {track: spans[track.clip] for track in self.targets}
        return {track: one for track, one in found.items() if one is not None and not one.silent}

    def rehearsed(self, measured: Mapping[AudioTrack, Measured]) -> dict[AudioTrack, Level]:
        """The level at which each track is expected to meet its target."""
        levels = {track: loudness.first(one, self.targets[track]) for track, one in measured.items()}
        tried = {track: loudness.rehearsals(measured[track], level) for track, level in levels.items()}
        tried = {track: some for track, some in tried.items() if some}
        if not tried:
            return levels
        line = command.rehearse(self.bench.tools.ffmpeg, self.bench.input, self.plan, self.audio, tried)
        heard = iter(loudness.heard(self.bench.encode(line), sum(map(len, tried.values()))))
        for track, some in tried.items():
            levels[track] = loudness.chosen([(level, next(heard)) for level in some], self.targets[track])
        return levels

    def takes(self, levels: Mapping[AudioTrack, Level]) -> dict[AudioTrack, list[Take]]:
        """Takes of each track, until one meets its target or there were enough."""
        found: dict[AudioTrack, list[Take]] = {track: [] for track in levels}
        for number in range(loudness.TAKES):
            if not levels:
                break
            for track, take in self._taken(levels, number).items():
                found[track].append(take)
                self._keep_best(found[track], self.targets[track])
            nexts = {track: loudness.next_level(found[track], self.targets[track]) for track in levels}
            levels = {track: level for track, level in nexts.items() if level is not None}
        return found

    def _taken(self, levels: Mapping[AudioTrack, Level], number: int) -> dict[AudioTrack, Take]:
        names = {track: f"sound-{self._first_type(track)}-{number}.m4a" for track in levels}
        ffmpeg = self.bench.tools.ffmpeg
        words = self.bench.encode(command.take(ffmpeg, self.bench.input, self.plan, self.audio, levels, names))
        damaged = failures.damage(words)
        with ThreadPoolExecutor(len(names), "meter") as pool:
            heard = pool.map(self._heard, names.values())
        return {
            track: Take(level, measured, names[track], damaged)
            for (track, level), measured in zip(levels.items(), heard, strict=True)
        }

    def _first_type(self, track: AudioTrack) -> str:
        """A name that no other track of the job has, also where types are made separately."""
        return next(output.type for output in self.plan.outputs if output.audio == track)

    def _heard(self, name: str) -> Measured:
        line = command.measure_made(self.bench.tools.ffmpeg, self.bench.folder / name)
        measured = loudness.read(self.bench.encode(line))
        if measured is None:
            raise OutputInvalid("The sound that was made cannot be measured.")
        return measured

    def _keep_best(self, takes: list[Take], target: Target) -> None:
        """Remove the files of all others: those of a long film are large."""
        kept = loudness.best(takes, target)
        for take in takes:
            if take is not kept:
                (self.bench.folder / take.file_name).unlink(missing_ok=True)
