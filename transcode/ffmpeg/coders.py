"""What each video encoder is told: x264 and x265, and their counterparts on the card. Pure.

A preset says quality, ceiling and effort once; here they become each encoder's own words.
"""

from transcode.ffmpeg.lanes import Nvenc
from transcode.ffmpeg.plan import Plan, Span, VideoTrack

# More threads than this per encoder or decoder bring nothing at our sizes and cost quality.
MOST_THREADS = 16
# Divides by 24000/1001, 30000/1001, 25, 60 and their kin: timestamps of uneven films keep their place.
_FINE_TIME_BASE = "1:120000"
# Effort in x264's words -> NVENC's. p7 takes twice the time of p5 for little; p5 is what p4 to p6 are weighed by.
_EFFORT = {
    "ultrafast": "p1", "superfast": "p2", "veryfast": "p3", "faster": "p4", "fast": "p5", "medium": "p5", "slow": "p6",
    "slower": "p6", "veryslow": "p7",
}  # fmt: skip
# Frames that NVENC looks ahead: each is a picture more in the card's memory.
LOOKAHEAD = 20
B_FRAMES = 3
# Seconds of the ceiling that a buffer lets a film save and spend. Two gave a film of 36 s at its ceiling 0.3 points of
# VMAF more than one, and its worst frames 1.5; below ten seconds it is the other way round, by up to 2.
_BUFFER_MOST, _BUFFER_LEAST, _BUFFER_SHARE = 2.0, 1.0, 0.1
# Seconds where nothing says how long a film is: a longer one forgoes a tenth of its ceiling at most.
_LENGTH_UNTOLD = 10.0
# Seconds. A shorter film may take the bits of one second: a single picture in a 25th of them would be mud.
_LENGTH_LEAST = 1.0


def options(plan: Plan, track: VideoTrack, number: int) -> list[str]:
    """The options of the encode that is the `number`th of its muxer."""
    at = f":v:{number}"
    coder = _nvenc(plan, track, at) if plan.lane.encodes else _software(plan, track, at)
    fine = [f"-enc_time_base{at}", _FINE_TIME_BASE] if plan.uneven and track.fps is None else []
    return [*coder, *_capped(plan, track, at), f"-g{at}", str(track.key_frames), *fine]


def _capped(plan: Plan, track: VideoTrack, at: str) -> list[str]:
    """The ceiling of the mean bit rate, also of a short film.

    -maxrate bounds what flows into the buffer, and what lies in it at the start comes on top: 5 s of grain were given
    1.15 times the ceiling by x264, 1.09 by x265. So the inflow is less by a whole buffer, spread over the film.
    Both start with 0.9 of it and spent up to 0.6 where the end was hardest; NVENC does not say what it does.
    """
    if track.max_bitrate is None:
        return []
    length = max(_LENGTH_LEAST, _length(plan, track) or _LENGTH_UNTOLD)
    buffer = min(_BUFFER_MOST, max(_BUFFER_LEAST, length * _BUFFER_SHARE))
    inflow = track.max_bitrate * length / (length + buffer)
    return [f"-maxrate{at}", str(int(inflow)), f"-bufsize{at}", str(int(inflow * buffer))]


def _length(plan: Plan, track: VideoTrack) -> float:
    """Seconds of the encode, at most; 0 is not known."""
    video = plan.source.video.duration or plan.source.duration
    return (track.clip or Span()).of((plan.span or Span()).of(video))


def _software(plan: Plan, track: VideoTrack, at: str) -> list[str]:
    threads = min(plan.threads, MOST_THREADS)
    if track.codec == "hevc":
        # open-gop=0: each group stands alone. pools: x265 would take every core. hvc1: Apple plays no hev1.
        coder = [
            f"-c{at}", "libx265", f"-x265-params{at}", f"log-level=warning:open-gop=0:pools={threads}",
            f"-tag{at}", "hvc1",
        ]  # fmt: skip
    else:
        coder = [f"-c{at}", "libx264", f"-profile{at}", "high", f"-threads{at}", str(threads)]
    return [*coder, f"-preset{at}", track.speed, f"-crf{at}", str(track.quality)]


def _nvenc(plan: Plan, track: VideoTrack, at: str) -> list[str]:
    takes = plan.gpu.encoders[track.codec] if plan.gpu is not None else Nvenc()
    return [*nvenc(track.codec, takes, _EFFORT[track.speed], at), f"-cq{at}", str(track.cq)]


def nvenc(codec: str, takes: Nvenc, effort: str, at: str) -> list[str]:
    """The options of an encoder of the card, but for quality and ceiling. No level: NVENC refuses where x264 adapts."""
    profile = ["main", f"-tag{at}", "hvc1"] if codec == "hevc" else ["high"]
    b_frames = [f"-bf{at}", str(B_FRAMES), f"-b_ref_mode{at}", "middle"] if takes.b_frames else [f"-bf{at}", "0"]
    return [
        f"-c{at}", f"{codec}_nvenc", f"-preset{at}", effort, f"-tune{at}", "hq", f"-profile{at}", *profile,
        # Constant quality below a ceiling; without -b 0 the encoder would aim at 2 Mb/s.
        f"-rc{at}", "vbr", f"-b{at}", "0",
        # Bits go to flat areas, where blocks are seen, and to what stays on the screen.
        f"-spatial-aq{at}", "1", f"-aq-strength{at}", "8", *([f"-temporal-aq{at}", "1"] if takes.temporal_aq else []),
        *([f"-rc-lookahead{at}", str(LOOKAHEAD)] if takes.lookahead else []), *b_frames,
        # Key frames that players may begin at.
        f"-forced-idr{at}", "1",
    ]  # fmt: skip
