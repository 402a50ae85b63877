"""Pieces of filter text that pictures and sounds share. Pure."""

from collections.abc import Iterator

from transcode.ffmpeg.plan import Span


def fan(chains: list[str], split: str, label: str, count: int) -> Iterator[str]:
    """`count` copies of what stands at `label`."""
    if count == 1:
        return iter([label])
    ends = [f"[{label.strip('[]').replace(':', '_')}_{number}]" for number in range(count)]
    chains.append(f"{label}{split}={count}{''.join(ends)}")
    return iter(ends)


def trim(name: str, clip: Span) -> str:
    """The filter that keeps a clip."""
    end = "" if clip.duration is None else f":duration={clip.duration:.3f}"
    return f"{name}=start={clip.start:.3f}{end}"
