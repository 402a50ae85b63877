"""Finds the level of each sound track: measure the source, make a trial, measure it, correct. Runs ffmpeg.

The arithmetic is in `loudness`. Trials have sound only, so they take a small part of the encode's time.
"""

from collections.abc import Iterable, Mapping

from transcode.ffmpeg import command, loudness
from transcode.ffmpeg.bench import Bench
from transcode.ffmpeg.loudness import Level, Measured, Target
from transcode.ffmpeg.plan import AudioTrack, Output, Plan, Span

Trials = dict[AudioTrack, list[tuple[Level, Measured]]]


def settle(bench: Bench, plan: Plan) -> dict[AudioTrack, Level]:
    """The level of each track that wants a loudness; tracks of silence and of tiny length get none."""
    wanted = {track: target(track) for track in plan.audios if track.loudness is not None}
    if not wanted or 0 < _length(plan) < loudness.SHORTEST:
        return {}
    begun = _first_levels(bench, plan, wanted)
    return begun | _tried(bench, plan, wanted, {t: level for t, level in begun.items() if level.ceiling is not None})


def target(track: AudioTrack) -> Target:
    """What a track is meant to be; as loud as it is where nothing is asked."""
    return Target(track.loudness or 0.0, track.true_peak)


def warnings(bench: Bench, outputs: Iterable[Output], levels: Mapping[AudioTrack, Level]) -> dict[AudioTrack, str]:
    """What each finished track misses of its target, measured on the file itself."""
    made = {output.audio: output.file_name for output in outputs if output.audio in levels}
    found = {}
    for track, name in made.items():
        measured = _measured(bench, command.measure_made(bench.tools.ffmpeg, bench.job.folder.absolute() / name))
        if track is not None and measured is not None:
            found[track] = target(track).misses(measured)
    return found


def _length(plan: Plan) -> float:
    audio = plan.source.audio
    return (audio.duration if audio else 0.0) or plan.source.duration


def _first_levels(bench: Bench, plan: Plan, wanted: Mapping[AudioTrack, Target]) -> dict[AudioTrack, Level]:
    measured: dict[Span | None, Measured | None] = {}
    levels = {}
    for track, aim in wanted.items():
        if track.clip not in measured:
            measured[track.clip] = _measured_source(bench, plan, track.clip)
        found = measured[track.clip]
        level = loudness.first(found, aim) if found is not None else None
        if level is not None:
            levels[track] = level
    return levels


def _measured_source(bench: Bench, plan: Plan, clip: Span | None) -> Measured | None:
    audio = plan.source.audio
    if audio is None:
        return None
    return _measured(bench, command.measure(bench.tools.ffmpeg, bench.input, audio, plan.span, clip))


def _measured(bench: Bench, line: list[str]) -> Measured | None:
    return loudness.read(bench.encode(line))


def _tried(
    bench: Bench, plan: Plan, wanted: Mapping[AudioTrack, Target], levels: dict[AudioTrack, Level]
) -> dict[AudioTrack, Level]:
    """Try these levels until each meets its target, or often enough."""
    trials: Trials = {track: [] for track in levels}
    for _ in range(loudness.TRIALS):
        if not levels:
            break
        for track, measured in _trial(bench, plan, levels).items():
            trials[track].append((levels[track], measured))
        levels = {
            track: loudness.next_level(trials[track], wanted[track])
            for track in levels
            if trials[track] and not wanted[track].met(trials[track][-1][1])
        }
    return {track: loudness.best(tried, wanted[track]) for track, tried in trials.items() if tried}


def _trial(bench: Bench, plan: Plan, levels: Mapping[AudioTrack, Level]) -> dict[AudioTrack, Measured]:
    """Make the sound with these levels, measure it and throw it away."""
    audio = plan.source.audio
    if audio is None:
        return {}
    line, names = command.trial(bench.tools.ffmpeg, bench.input, plan, audio, levels)
    bench.encode(line)
    found = {}
    for track, name in names.items():
        path = bench.job.folder.absolute() / name
        measured = _measured(bench, command.measure_made(bench.tools.ffmpeg, path))
        path.unlink()
        if measured is not None:
            found[track] = measured
    return found
