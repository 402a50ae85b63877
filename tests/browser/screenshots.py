"""`make screenshots`: every page of the admin in both languages, light, dark and on a phone, as PNG files.

The farm is real; past hours of the chart are filled with records of their own. Run it as
`python -m tests.browser.screenshots FOLDER`.
"""

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser

from tests.browser.stage import Tab, a_farm, chromium
from tests.clips import make
from tests.farm import Farm, until
from tests.unit.test_dead_letters import celery_message
from transcode import counts, submit, task
from transcode import presets as preset_files
from transcode.aws.callback_queue import CallbackQueue
from transcode.clock import timestamp
from transcode.ports import Query
from transcode.states import Priority, Status
from transcode.submit import Desk, Wishes
from transcode.task import Task
from workers.publisher import Publisher


@dataclass(frozen=True)
class Look:
    """One way to look at the pages."""

    name: str
    locale: str = "en-GB"
    dark: bool = False
    size: tuple[int, int] = (1360, 900)
    touch: bool = False


LOOKS = (
    Look("light"),
    Look("dark", dark=True),
    Look("zh", locale="zh-CN"),
    Look("phone", size=(390, 844), touch=True),
    Look("zh-phone-dark", locale="zh-CN", dark=True, size=(390, 844), touch=True),
)


def main(folder: Path) -> None:
    """Play the farm, take the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, a_farm(Path(scratch)) as farm:
        for name in ("api", "bridge", "worker"):
            farm.start(name)
        farm.ready()
        # The publisher of this process reads them as any other does.
        os.environ.update(farm.environment)
        pages = _play(farm, Path(scratch))
        with chromium() as browser:
            for look in LOOKS:
                _take(browser, farm, look, pages, folder)


def _play(farm: Farm, scratch: Path) -> dict[str, str]:
    """Let things happen, until every page has something to show; the addresses of the pages."""
    desk = Desk(
        farm.store, farm.storage, Publisher(farm.settings), CallbackQueue(farm.settings), preset_files.load(),
        farm.settings, time.time,
    )  # fmt: skip
    _fill_the_chart(farm)
    clip = make(scratch / "clip.mp4", size="1280x720", seconds=6)
    (scratch / "letter.mp4").write_text("Dear reader, this is no film. " * 100)
    farm.upload(clip, "holiday/beach.mp4")
    farm.upload(scratch / "letter.mp4", "letters/dear-reader.mp4")
    types = ("mp4_standard", "mp4_smooth", "hdlbr_h265", "thumbnail")
    done = farm.over(submit.add(desk, "flow-input", "holiday/beach.mp4", types).task_id)
    bad = farm.over(submit.add(desk, "flow-input", "letters/dear-reader.mp4").task_id)
    farm.upload(make(scratch / "long.mp4", size="1920x1080", seconds=60, rate=30), "concerts/片 1.mp4")
    running = until(lambda: _running(farm), "a task runs")
    submit.cancel(desk, submit.add(desk, "flow-input", "holiday/beach.mp4").task_id)
    wishes = Wishes("team-a/", Priority.URGENT, {"order": "4711", "客户": "示例"})
    waiting = submit.add(desk, "flow-input", "holiday/beach.mp4", types, wishes)
    ids = {"done": done, "failed": bad, "running": running, "waiting": waiting}
    pages = {name: f"/admin/tasks/{found.task_id}" for name, found in ids.items()}
    plain = {name: f"/admin/{name}" for name in ("tasks", "queue", "add", "workers")}
    plain |= {"add-browse": "/admin/add?bucket=flow-input&prefix=holiday/"}
    plain |= {"add-like": f"/admin/add?like={waiting.task_id}"}
    return {"dashboard": "/admin", **plain, **{f"task-{name}": path for name, path in pages.items()}}


def _running(farm: Farm) -> Task | None:
    found = farm.store.page(Query(status=Status.PROCESSING)).tasks
    live = found and farm.store.read_aside(found[0].task_id, task.ASIDE.LIVE).get("percent")
    return found[0] if live else None


def _bury(farm: Farm, task_path: str) -> None:
    """Letters in the dead-letter queue, one of a task and one that nobody can read; the bridge soon has them."""
    queue = farm.sqs.get_queue_url(QueueName="flow-tasks-dlq")["QueueUrl"]
    for body in (celery_message([task_path.rsplit("/", 1)[-1]]), "<xml>What is this?</xml>"):
        farm.sqs.send_message(QueueUrl=queue, MessageBody=body)


def _fill_the_chart(farm: Farm) -> None:
    """A day behind us: records that ended hour by hour."""
    now = time.time()
    for hours in range(1, 24):
        for number in range((hours * 7) % 5 + 1):
            at = now - hours * 3600
            status = (Status.FAILED, Status.CANCELLED, *[Status.COMPLETED] * 9)[(hours + number * 3) % 11]
            made = task.made(
                task.new_id(at), at, input_bucket="flow-input", input_key=f"archive/{hours:02d}/{number}.mov",
                output_bucket="flow-output", transcode_types=("mp4_smooth",),
            )  # fmt: skip
            ended = {"started_at": timestamp(at), "completed_at": timestamp(at + 60), "attempts": 1}
            old = made.model_copy(update={"status": status, **ended})
            farm.store.create(old)
            counts.ended(farm.store, old)


def _take(browser: Browser, farm: Farm, look: Look, pages: dict[str, str], folder: Path) -> None:
    width, height = look.size
    context = browser.new_context(
        locale=look.locale, timezone_id="Asia/Shanghai" if look.locale == "zh-CN" else "Europe/London",
        color_scheme="dark" if look.dark else "light", viewport={"width": width, "height": height},
        is_mobile=look.touch, has_touch=look.touch,
    )  # fmt: skip
    tab = Tab(context, f"http://127.0.0.1:{farm.port}")
    tab.open("/admin")
    tab.page.screenshot(path=folder / f"{look.name}-sign-in.png")
    tab.sign_in()
    for name, path in pages.items():
        if name == "queue":
            _bury(farm, pages["task-failed"])
        tab.open(path).wait_for_load_state("load")
        tab.page.screenshot(path=folder / f"{look.name}-{name}.png", full_page=True)
    print(f"{look.name}: {len(pages) + 1} pages, {tab.complaints or 'no complaints'}")  # noqa: T201
    context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots"))
