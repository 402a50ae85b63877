"""Where numbers were measured, and how they are summed up: what every bench prints beside its own."""

import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PACKAGES = ("apiflask", "boto3", "celery", "gunicorn", "kombu", "moto", "pydantic")


def facts() -> dict[str, Any]:
    """Processor, load (the numbers of a busy machine are worth little) and versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = {line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")}
    return {
        "processor": ", ".join(models) or platform.processor(),
        "cores": os.cpu_count(),
        "load": [round(one, 1) for one in os.getloadavg()],
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile in milliseconds."""
    return {
        "p50_ms": round(statistics.median(seconds) * 1000, 2),
        "p95_ms": round(statistics.quantiles(seconds, n=20)[-1] * 1000, 2),
    }
