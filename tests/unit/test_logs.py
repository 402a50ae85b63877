import json
import logging
import threading
from collections.abc import Iterator

import pytest

from transcode import logs


@pytest.fixture
def root() -> Iterator[None]:
    """The root logger, as it was afterwards."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logs.structlog.reset_defaults()


@pytest.mark.usefixtures("root")
def test_every_line_names_its_process_also_those_of_other_threads_and_of_libraries(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("INFO", "json", "bridge")
    with logs.bound(task_id="7"):
        logs.get("ours").info("One")
    threads = [
        threading.Thread(target=logs.get("ours").info, args=("Two",)),
        threading.Thread(target=logging.getLogger("theirs").warning, args=("Three",)),
    ]
    for thread in threads:
        thread.start()
        thread.join()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line.get("process")) for line in lines] == [
        ("One", "bridge"), ("Two", "bridge"), ("Three", "bridge"),
    ]  # fmt: skip
    assert lines[0]["task_id"] == "7"
