"""The same renditions without this product: what somebody with ffmpeg and a shell would write.

Encoders, rates and sizes are those of the product's own plan, so that the pictures are the same. Loudness is ffmpeg's
`loudnorm` in one pass, as scripts have it, or in the one command a gain that its author knows already: the limit.
"""

from collections.abc import Sequence
from pathlib import Path

from transcode.ffmpeg import coders
from transcode.ffmpeg.geometry import Size
from transcode.ffmpeg.plan import Output, Plan

_SOUND = ["-c:a", "aac", "-b:a", "128k", "-ar", "48000", "-ac", "2"]
# What brings the bench's film to each loudness, as somebody found out who had tried before.
_GAINS = {-17.0: "volume=17dB,alimiter=limit=0.79:level=0", -10.0: "volume=28dB,alimiter=limit=0.79:level=0"}


def one_by_one(ffmpeg: Path, source: Path, plan: Plan) -> list[list[str]]:
    """A command for each type."""
    return [*_pictures(ffmpeg, source, plan), *(_one(ffmpeg, source, plan, output) for output in plan.outputs)]


def _pictures(ffmpeg: Path, source: Path, plan: Plan) -> list[list[str]]:
    return [
        [
            *_head(ffmpeg), "-ss", str(still.at), "-i", str(source), "-frames:v", "1", "-vf", _scale(still.frame.outer),
            "-q:v", "3", "-update", "1", still.file_name,
        ]
        for still in plan.stills
    ]  # fmt: skip


def _scale(size: Size) -> str:
    return f"scale={size.width}:{size.height}"


def _head(ffmpeg: Path) -> list[str]:
    return [str(ffmpeg), "-v", "error", "-nostdin", "-y"]


def _one(ffmpeg: Path, source: Path, plan: Plan, output: Output) -> list[str]:
    sound = ["-an"]
    if output.audio is not None:
        loud = f"loudnorm=I={output.audio.loudness}:TP=-1" if output.audio.loudness is not None else "anull"
        sound = [*_SOUND, "-af", loud]
    return [
        *_head(ffmpeg), "-i", str(source), "-vf", f"{_scale(output.video.frame.outer)},format=yuv420p",
        *coders.options(plan, output.video, 0), *sound, "-movflags", "+faststart", f"plain-{output.file_name}",
    ]  # fmt: skip


def at_once(ffmpeg: Path, source: Path, plan: Plan) -> list[list[str]]:
    """One command for all encodes, tuned by hand: one decode, each encode once, nothing measured, nothing checked.

    What shares an encode is copied out of the other's file afterwards.
    """
    firsts = [next(o for o in plan.outputs if o.video == track) for track in plan.videos]
    copied = [(o, next(f for f in firsts if f.video == o.video)) for o in plan.outputs if o not in firsts]
    return [
        *_pictures(ffmpeg, source, plan),
        [
            *_head(ffmpeg), "-i", str(source), "-filter_complex", ";".join(_graph(firsts)),
            *(word for number, output in enumerate(firsts) for word in _written(plan, number, output)),
        ],
        *(
            [*_head(ffmpeg), "-i", f"once-{first.file_name}", "-c", "copy", "-an", f"once-{output.file_name}"]
            for output, first in copied
        ),
    ]  # fmt: skip


def _graph(outputs: Sequence[Output]) -> list[str]:
    heard = [number for number, output in enumerate(outputs) if output.audio]
    chains = _cascade(outputs)
    chains += ["[0:a]aformat=channel_layouts=stereo," + f"asplit={len(heard)}" + "".join(f"[s{n}]" for n in heard)]
    for number, output in enumerate(outputs):
        if output.audio:
            chains.append(f"[s{number}]{_GAINS.get(output.audio.loudness, 'anull')}[a{number}]")
    return chains


def _cascade(outputs: Sequence[Output]) -> list[str]:
    """Each size from the next larger one; `w` and its number is the picture of an output."""
    sizes = sorted({output.video.frame.outer for output in outputs}, key=lambda size: size.area, reverse=True)
    chains, label = [], "[0:v]"
    for place, size in enumerate(sizes):
        labels = [f"[w{number}]" for number, output in enumerate(outputs) if output.video.frame.outer == size]
        labels += [f"[next{place}]"] if size != sizes[-1] else []
        chains.append(f"{label}{_scale(size)},format=yuv420p,split={len(labels)}" + "".join(labels))
        label = f"[next{place}]"
    return chains


def _written(plan: Plan, number: int, output: Output) -> list[str]:
    sound = ["-map", f"[a{number}]", *_SOUND] if output.audio else []
    return [
        "-map", f"[w{number}]", *coders.options(plan, output.video, 0), *sound, "-movflags", "+faststart",
        f"once-{output.file_name}",
    ]  # fmt: skip
