"""The admin in a real browser: Chromium, moto, the real app, a real worker, real ffmpeg; only AWS is replaced."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.browser.stage import CHROMIUM, READ_PASSWORD, Tab, a_farm, chromium
from tests.clips import make
from tests.farm import Farm, until
from transcode.clock import day, timestamp
from transcode.ports import Query
from transcode.states import Status

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no chromium here; `apt-get install chromium` brings it"),
]

# Milliseconds for a task to get through; two cores are shared with other tests.
_LONG = 120_000


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    folder = tmp_path_factory.mktemp("browser")
    with a_farm(folder) as farm:
        for name in ("api", "bridge", "worker"):
            farm.start(name)
        farm.upload(make(folder / "clip.mp4", seconds=4), "holiday/beach.mp4")
        (folder / "letter.mp4").write_text("Dear reader, this is no film. " * 100)
        farm.upload(folder / "letter.mp4", "letters/dear-reader.mp4")
        farm.ready()
        yield farm


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def tab(farm: Farm, browser: Browser) -> Iterator[Tab]:
    """A signed-in operator's tab; whatever it complained about fails the test."""
    context = browser.new_context(locale="en-GB", timezone_id="Asia/Shanghai")
    tab = Tab(context, f"http://127.0.0.1:{farm.port}")
    tab.sign_in()
    yield tab
    context.close()
    assert tab.complaints == []


def add(tab: Tab, key: str, *types: str) -> str:
    """Add a task through the form; its id."""
    page = tab.open("/admin/add")
    page.get_by_label("Key of the video in the bucket").fill(key)
    for box in page.locator("input[name=type]").all():
        box.set_checked(box.get_attribute("value") in types)
    page.get_by_role("button", name="Add the task").click()
    expect(page.get_by_text("The task was added.")).to_be_visible()
    return page.url.rsplit("/", 1)[-1]


def test_an_added_task_is_watched_to_its_end_without_a_reload_and_its_outputs_open(tab: Tab, farm: Farm) -> None:
    task_id = add(tab, "holiday/beach.mp4", "mp4_smooth", "thumbnail")
    page = tab.page
    page.evaluate("window.sameDocument = true")
    expect(page.locator(".head .pill")).to_have_text("completed", timeout=_LONG)
    assert page.evaluate("window.sameDocument")
    picture, film = page.locator("img.still"), page.locator("video")
    picture.scroll_into_view_if_needed()
    until(lambda: picture.evaluate("image => image.complete && image.naturalWidth > 0"), "the thumbnail is shown")
    film.evaluate("video => { video.muted = true; return video.play(); }")
    until(lambda: film.evaluate("video => video.currentTime > 0 && video.videoWidth === 640"), "the film plays")
    done = farm.store.read(task_id)
    # The viewer's zone, eight hours ahead of the record's UTC.
    shown = page.locator("time").first
    hour = (int(done.created_at[11:13]) + 8) % 24
    assert f"{hour:02d}:" in shown.inner_text()


def test_files_are_uploaded_one_after_the_other_and_their_tasks_watched_to_the_end(
    tab: Tab, farm: Farm, tmp_path: Path
) -> None:
    films = [make(tmp_path / f"{name}.mp4", seconds=2) for name in ("first film", "片 2")]
    (tmp_path / "letter.txt").write_text("no film")
    (tmp_path / "empty.mp4").touch()
    page = tab.open("/admin/add")
    page.evaluate("window.sameDocument = true")
    page.get_by_label("Files").set_input_files([*films, tmp_path / "letter.txt", tmp_path / "empty.mp4"])
    page.get_by_role("button", name="Upload", exact=True).click()
    rows = page.locator("#uploads > li")
    expect(rows).to_have_count(4)
    expect(rows.nth(2)).to_contain_text("This is no video by its name.")
    expect(rows.nth(3)).to_contain_text("The file has no bytes.")
    starts = [f"uploads/{day(timestamp(time.time()))}/{name}-" for name in ("first-film", "片-2")]
    for place, start in enumerate(starts):
        expect(rows.nth(place)).to_contain_text(start)
        expect(rows.nth(place).locator(".pill")).to_have_text("completed", timeout=_LONG)
        [key] = farm.storage.keys("flow-input", start, 2)
        assert farm.storage.head("flow-input", key).size == films[place].stat().st_size
        # The event's task, and no second one.
        assert len([one for one in farm.store.page(Query(limit=100)).tasks if one.input_key == key]) == 1
    assert page.evaluate("window.sameDocument")
    rows.first.get_by_role("link", name="To its task").click()
    expect(page.locator(".head .pill")).to_have_text("completed")


def answering(status: int, body: str) -> Callable[[Route], None]:
    """An S3 that answers so."""
    headers = {"Access-Control-Allow-Origin": "*", "Content-Type": "application/xml"}
    return lambda route: route.fulfill(status=status, body=body, headers=headers)


def test_an_upload_that_fails_says_why_and_one_that_takes_long_is_stopped(tab: Tab, farm: Farm, tmp_path: Path) -> None:
    film = make(tmp_path / "film.mp4", seconds=1)
    page = tab.open("/admin/add")
    row = page.locator("#uploads > li")

    def send() -> None:
        page.get_by_label("Files").set_input_files(film)
        page.get_by_role("button", name="Upload", exact=True).click()

    policy = "<Error><Code>AccessDenied</Code><Message>Invalid according to Policy: Policy expired.</Message></Error>"
    large = "<Error><Code>EntityTooLarge</Code><Message>Your proposed upload is too large</Message></Error>"
    other = "<Error><Code>Odd</Code><Message>&lt;b&gt;Something odd</Message></Error>"
    answers = ((403, policy, "has expired"), (400, large, "The file is too large"), (400, other, "Something odd"))
    bucket = f"{farm.settings.aws_endpoint_url}/flow-input*"
    for place, (status, body, words) in enumerate(answers):
        page.route(bucket, answering(status, body))
        send()
        expect(row.nth(place)).to_contain_text(words)
        page.unroute(bucket)
    page.route(bucket, lambda route: route.abort())
    send()
    expect(row.nth(3)).to_contain_text("CORS")
    page.unroute(bucket)
    page.route(bucket, lambda _: None)
    send()
    page.get_by_role("button", name="Stop").click()
    expect(row.nth(4)).to_contain_text("The upload was stopped.")
    page.unroute(bucket)
    # What the browser says of failed requests is meant here.
    tab.complaints.clear()


def test_a_bucket_is_browsed_and_its_videos_added(tab: Tab, farm: Farm) -> None:
    page = tab.open("/admin/add")
    page.locator("input[name=type][value=mp4_smooth]").uncheck()
    page.get_by_text("More wishes").click()
    page.get_by_label("Metadata").fill("order=4711")
    page.locator("#browse").get_by_role("link", name="Look into the bucket").click()
    page.get_by_role("link", name="holiday/").click()
    page.get_by_role("link", name="beach.mp4").click()
    expect(page.get_by_label("Key of the video in the bucket")).to_have_value("holiday/beach.mp4")
    # What was chosen before is still there: only the list was asked for anew.
    expect(page.locator("input[name=type][value=mp4_smooth]")).not_to_be_checked()
    page.get_by_label("Tick holiday/beach.mp4").check()
    page.get_by_role("button", name="Add the ticked").click()
    expect(page.get_by_text("1 task was added.")).to_be_visible()
    page.get_by_role("link", name="holiday/beach.mp4").first.click()
    expect(page.get_by_text("4711", exact=True)).to_be_visible()
    expect(page.locator(".head .pill")).to_have_text("completed", timeout=_LONG)
    [newest] = farm.store.page(Query(limit=1)).tasks
    assert (newest.transcode_types, newest.metadata) == (("thumbnail",), {"order": "4711"})


def test_a_bucket_is_browsed_without_scripts_and_a_folder_added(farm: Farm, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en-GB")
    tab = Tab(context, f"http://127.0.0.1:{farm.port}")
    tab.sign_in()
    page = tab.open("/admin/add")
    expect(page.get_by_text("Uploading needs JavaScript.")).to_be_visible()
    page.locator("#browse").get_by_role("link", name="Look into the bucket").click()
    page.get_by_role("link", name="letters/").click()
    page.get_by_role("link", name="dear-reader.mp4").click()
    expect(page.get_by_label("Key of the video in the bucket")).to_have_value("letters/dear-reader.mp4")
    page.get_by_role("button", name="Add all videos under letters/").click()
    expect(page.get_by_text("1 video is to become a task.")).to_be_visible()
    page.get_by_role("button", name="Yes, add them").click()
    expect(page.get_by_text("1 task was added.")).to_be_visible()
    assert tab.complaints == []
    context.close()


def test_a_dead_letter_is_read_and_deleted(tab: Tab, farm: Farm) -> None:
    # The bridge would set an unreadable one aside.
    farm.stop("bridge")
    try:
        queue = farm.sqs.get_queue_url(QueueName="flow-tasks-dlq")["QueueUrl"]
        farm.sqs.send_message(QueueUrl=queue, MessageBody="<b>what is this?</b>")
        page = tab.open("/admin/queue")
        page.get_by_text("Unreadable message").click()
        expect(page.get_by_text("<b>what is this?</b>")).to_be_visible()
        page.get_by_role("button", name="Delete this dead letter").click()
        page.get_by_role("button", name="Yes, delete").click()
        expect(page.get_by_text("The dead letter was deleted.")).to_be_visible()
        assert not farm.sqs.receive_message(QueueUrl=queue).get("Messages")
    finally:
        farm.start("bridge")


def test_a_failed_task_tells_why_and_is_retried(tab: Tab) -> None:
    page = tab.open("/admin/tasks?status=failed")
    for _ in range(60):
        if page.locator("td .key").count():
            break
        page.wait_for_timeout(1000)
        page.reload()
    page.get_by_role("link", name="letters/dear-reader.mp4").first.click()
    expect(page.get_by_text("no media file").first).to_be_visible()
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("1 task will be tried again.")).to_be_visible()
    expect(page.locator(".head .pill")).to_have_text("failed", timeout=_LONG)


def test_tasks_are_ticked_and_cancelled_after_a_question_and_a_queue_is_purged(tab: Tab, farm: Farm) -> None:
    farm.stop("worker")
    ids = [add(tab, "holiday/beach.mp4", "thumbnail") for _ in range(3)]
    page = tab.open("/admin/tasks?status=pending")
    for task_id in ids[:2]:
        page.locator(f"input[value='{task_id}']").check()
    page.get_by_role("button", name="Cancel the ticked").click()
    expect(page.get_by_text("2 tasks are to be cancelled.")).to_be_visible()
    page.get_by_role("button", name="Yes, cancel").click()
    expect(page.get_by_text("2 tasks are being cancelled.")).to_be_visible()
    assert [farm.store.read(one).status for one in ids[:2]] == [Status.CANCELLED] * 2

    page.get_by_role("link", name="Queue", exact=True).click()
    page.get_by_label("To confirm, type the queue's name:").fill("something else")
    page.get_by_role("button", name="Purge the queue").click()
    expect(page.get_by_text("Nothing was purged")).to_be_visible()
    page.get_by_label("To confirm, type the queue's name:").fill("flow-tasks")
    page.get_by_role("button", name="Purge the queue").click()
    expect(page.get_by_text("The waiting tasks are being cancelled")).to_be_visible()
    until(lambda: farm.store.read(ids[2]).status is Status.CANCELLED, "the purge reaches the task")
    farm.start("worker")


def test_the_pages_refresh_themselves_and_hold_their_language(tab: Tab) -> None:
    page = tab.open("/admin")
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("heading", name="仪表盘")).to_be_visible()
    for path in ("/admin", "/admin/queue", "/admin/workers"):
        with page.expect_request(lambda request: "hx-request" in request.headers):
            tab.open(path)
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="Workers", level=1)).to_be_visible()


def test_a_page_is_read_by_keyboard(tab: Tab) -> None:
    page = tab.open("/admin")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    tab.open("/admin/tasks").get_by_label("Key begins with").fill("letters/")
    page.keyboard.press("Enter")
    page.wait_for_url("**key=letters**")


def test_without_scripts_everything_can_be_read(farm: Farm, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = Tab(context, f"http://127.0.0.1:{farm.port}")
    tab.sign_in(READ_PASSWORD)
    for path, words in (("/admin", "UTC"), ("/admin/tasks", "holiday/beach.mp4"), ("/admin/workers", "cpu@")):
        expect(tab.open(path).get_by_text(words).first).to_be_visible()
    assert tab.complaints == []
    context.close()


def test_who_signs_out_is_out_in_every_tab(farm: Farm, browser: Browser) -> None:
    context = browser.new_context(locale="en-GB")
    watching, leaving = (Tab(context, f"http://127.0.0.1:{farm.port}") for _ in range(2))
    watching.sign_in()
    leaving.open("/admin/tasks").get_by_role("button", name="Sign out").click()
    expect(leaving.page.get_by_label("Password")).to_be_visible()
    # Its next refresh leads the other tab to the door too.
    watching.page.bring_to_front()
    expect(watching.page.get_by_label("Password")).to_be_visible(timeout=_LONG)
    assert watching.complaints + leaving.complaints == []
    context.close()
