"""The names of all numbers that Prometheus may read, as the code makes them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_MADE = re.compile(r'(Counter|Histogram|_gauge|_by)\(\s*"(transcode_\w+)"')
_SERIES = {"Counter": ("_total",), "Histogram": ("_bucket", "_sum", "_count"), "_gauge": ("",), "_by": ("",)}


def known_metrics() -> set[str]:
    """Names of series: a counter's ends with `_total`, a histogram has three."""
    found: set[str] = set()
    for name in ("transcode/metrics.py", "webapp/meters.py", "webapp/gauges.py"):
        for kind, metric in _MADE.findall((ROOT / name).read_text()):
            found |= {metric + end for end in _SERIES[kind]}
    return found
