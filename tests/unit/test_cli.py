"""The commands over the fakes: what they do, what they print, how they end. As processes: `tests/flow/test_cli.py`."""

import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from structlog.testing import capture_logs

from cli import completing, config, direct, main, paper, services, standing, watching
from cli.direct import Direct
from tests.fakes import FakeClock, FolderStorage, ListQueue, MemoryTasks
from tests.unit.test_roll import FULL
from tests.unit.webapp.conftest import FIELDS, Bench
from tests.unit.webapp.test_api_tasks import UNKNOWN, claim, commit, fail, made, moved, publish
from transcode import roll
from transcode import settings as env
from transcode.errors import ServiceUnavailable
from transcode.ports import Counts
from transcode.settings import Settings
from transcode.states import Priority
from transcode.task import ASIDE, FARM

# Markup of rich, a colour, one without ESC, text that runs backwards, and a line of its own.
HOSTILE = "[red]x[/red][link=http://evil]\x1b[31m\x9b31m\u202e\n\r\tlast.mp4"


@dataclass
class Done:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What the API logs is kept from the terminal by `direct.read_settings`."""
    with capture_logs():
        yield


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    """The farm that a command finds, untouched by the environment and any config.env."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    clock = FakeClock()
    storage = FolderStorage(tmp_path / "s3", clock)
    storage.put("videos", "holiday/beach.mp4", b"a video")
    return Bench(env.load(**FIELDS), clock, MemoryTasks(clock), storage, ListQueue())


@pytest.fixture
def call(bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run the command as its entry point does."""
    monkeypatch.setattr(direct, "connect", lambda: Direct(bench.app()))
    monkeypatch.setattr(direct, "read_settings", lambda: bench.settings)
    monkeypatch.setattr(watching, "_EVERY", 0.0)

    def run(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["transcode", *words])
        with pytest.raises(SystemExit) as ended:
            main.main()
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        code = ended.value.code
        return Done(code if isinstance(code, int) else int(bool(code)), told.out, told.err)

    return run


Call = Callable[..., Done]


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("tasks", "/api/tasks"),
        ("tasks --status failed --limit 1", "/api/tasks?status=failed&limit=1"),
        ("presets", "/api/transcode-types"),
        ("status", "/api/stats"),
        ("task", "/api/tasks/"),
    ],
)
def test_for_programs_it_is_what_the_api_answers(bench: Bench, call: Call, words: str, path: str) -> None:
    task = moved(bench, made(bench), claim, fail)
    made(bench, key="Größe/视频.mp4")
    one = task.task_id if words == "task" else ""
    done = call(*words.split(), *filter(None, [one]), "--json")
    assert (done.status, done.err) == (0, "")
    assert done.json == bench.app().test_client().get(path + one).get_json()
    assert "\\u" not in done.out


@pytest.mark.parametrize("command", ["tasks", "task", "watch"])
@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["people", "programs"])
def test_nothing_of_a_hostile_key_is_obeyed(bench: Bench, call: Call, command: str, flags: tuple[str, ...]) -> None:
    task = moved(bench, made(bench, key=HOSTILE), claim, fail)
    done = call(command, *([] if command == "tasks" else [task.task_id]), *flags)
    shown = done.out + done.err
    assert not [c for c in shown if not c.isprintable() and c != "\n"]
    if command != "watch" or flags:
        assert "[red]x[/red][link=http://evil]" in shown
    if flags:
        told = done.json
        assert (told["tasks"][0] if command == "tasks" else told)["input_key"] == HOSTILE


def test_a_table_fits_a_terminal_and_is_whole_elsewhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(UNKNOWN, "completed", "2025-01-15 10:00", "视频/" + "long/" * 100)]
    titles = ("TASK", "STATUS", "CREATED (UTC)", "INPUT")
    paper.table(titles, rows)
    assert rows[0][3] in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    paper.table(titles, rows)
    line = capsys.readouterr().out.splitlines()[1]
    # Two of the letters are two columns wide.
    assert (len(line) <= 78, line.startswith(UNKNOWN), line.endswith("…")) == (True, True, True)


def test_an_empty_list_is_a_sentence(call: Call) -> None:
    done = call("tasks")
    assert (done.status, done.out, done.err) == (0, "", "There are no such tasks.\n")
    assert call("tasks", "--json").json["tasks"] == []


def test_the_list_goes_on_with_its_cursor(bench: Bench, call: Call) -> None:
    tasks = [made(bench).task_id for _ in range(3)]
    first = call("tasks", "--limit", "2")
    cursor = first.err.split("--cursor ")[1].strip()
    second = call("tasks", "--limit", "2", "--cursor", cursor)
    assert [line.split()[0] for line in (first.out + second.out).splitlines() if "TASK" not in line] == tasks[::-1]
    assert call("tasks", "--cursor", "none-of-ours").status == 2


def test_all_wishes_reach_the_task(bench: Bench, call: Call) -> None:
    words = ["--type", "thumbnail,mp4_smooth", "--type", "lcd_h265", "--prefix", "team-a/", "--priority", "urgent"]
    done = call("submit", "videos", "holiday/beach.mp4", *words, "--metadata", "order=4711", "--metadata", "note=a=b")
    task = bench.store.read(done.out.strip())
    assert task.transcode_types == ("thumbnail", "mp4_smooth", "lcd_h265")
    assert (task.output_prefix, task.priority, task.metadata) == (
        "team-a/",
        Priority.URGENT,
        {"order": "4711", "note": "a=b"},
    )
    assert bench.queue.ids == [task.task_id]


def test_the_same_idempotency_key_makes_one_task(call: Call) -> None:
    words = ["submit", "videos", "holiday/beach.mp4", "--idempotency-key", "monday"]
    assert call(*words).out == call(*words).out
    assert call(*words, "--type", "thumbnail").status == 1
    assert call(*words[:-1], "Mon\ntag").status == 2


def test_many_are_told_one_by_one_and_a_refused_one_shows(bench: Bench, call: Call) -> None:
    bench.storage.put("videos", "2025/good.mp4", b"a video")
    bench.storage.put("videos", "2025/empty.mp4", b"")
    done = call("submit", "videos", "--under", "2025/", "--type", "thumbnail")
    assert done.status == 1
    (line,) = done.out.splitlines()
    assert line.split()[1] == "2025/good.mp4"
    assert "2025/empty.mp4 has no bytes" in done.err
    assert "1 of 2 tasks" in done.err
    assert bench.store.read(line.split()[0]).transcode_types == ("thumbnail",)


def test_more_than_a_request_takes_are_all_added(
    bench: Bench,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("webapp.api.queue.MOST_KEYS", 2)
    for n in range(5):
        bench.storage.put("videos", f"many/{n}.mp4", b"a video")
    done = call("submit", "videos", "--under", "many/")
    assert (done.status, len(done.out.splitlines()), len(bench.queue.ids)) == (0, 5, 5)


@pytest.mark.parametrize(
    "words",
    [
        ["submit", "videos"],
        ["submit"],
        ["submit", "videos", "a.mp4", "--under", "b/"],
        ["submit", "videos", "a.mp4", "--metadata", "word"],
        ["submit", "videos", "a.mp4", "--priority", "soon"],
        ["submit", "videos", "\udcff.mp4"],
        ["submit", "videos", "a" * 1025],
        ["submit", "videos", "a.mp4", "--prefix", "/root"],
        ["tasks", "--status", "done"],
        ["tasks", "--date", "2025-13-40"],
        ["tasks", "--limit", "0"],
        ["task", "no-id"],
        ["task", f"{UNKNOWN}/cancel"],
        ["task"],
        ["cancel"],
        ["watch", "\x1b[31m"],
        ["no-such-command"],
    ],
    ids=lambda words: repr(" ".join(words))[:40],
)
def test_bad_usage_ends_with_2_and_a_sentence(bench: Bench, call: Call, words: list[str]) -> None:
    done = call(*words)
    assert (done.status, done.out) == (2, "")
    assert done.err.rstrip()[-1] in ".'\"?"
    assert "\x1b" not in done.err
    assert bench.queue.ids == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["submit", "videos", "none.mp4"], "none.mp4"),
        (["submit", "elsewhere", "a.mp4"], "is not an input bucket"),
        (["submit", "videos", "holiday/beach.mp4", "--type", "nope"], "the types are"),
        (["submit", "videos", "holiday/beach.mp4", "--callback", "nobody"], "CALLBACK_TARGETS"),
        (["task", UNKNOWN], "No task has the id"),
        (["watch", UNKNOWN], "No task has the id"),
        (["retry", UNKNOWN], "No task has the id"),
    ],
    ids=lambda found: " ".join(found) if isinstance(found, list) else "",
)
def test_what_is_refused_ends_with_1_and_a_sentence(call: Call, words: list[str], sentence: str) -> None:
    done = call(*words)
    assert (done.status, done.out) == (1, "")
    assert sentence in done.err


def test_which_of_several_buckets_is_asked_and_one_alone_is_known(
    bench: Bench,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in FIELDS.items():
        monkeypatch.setenv(name.upper(), ",".join(value) if isinstance(value, tuple) else value)
    done = call("submit", "--under", "holiday/")
    assert (done.status, "name one of videos, more-videos" in done.err) == (2, True)
    monkeypatch.setenv("INPUT_BUCKET", "videos")
    assert call("submit", "--under", "holiday/").out.split()[1] == "holiday/beach.mp4"


def test_one_that_cannot_be_cancelled_leaves_the_others_alone(bench: Bench, call: Call) -> None:
    over, waiting = moved(bench, made(bench), claim, commit, publish), made(bench)
    done = call("cancel", over.task_id, waiting.task_id)
    assert done.status == 1
    assert done.out == f"{waiting.task_id}: The task was cancelled.\n"
    assert over.task_id in done.err
    assert call("retry", waiting.task_id).status == 0
    assert bench.store.read(waiting.task_id).status == "pending"


def test_a_wrong_id_among_others_changes_nothing(bench: Bench, call: Call) -> None:
    task = made(bench)
    assert call("cancel", task.task_id, "no-id").status == 2
    assert bench.store.read(task.task_id).status == "pending"


@pytest.mark.parametrize(("answer", "status"), [("n\n", 1), ("", 1), ("y\n", 0)])
def test_purge_asks_first(
    bench: Bench,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    status: int,
) -> None:
    monkeypatch.setattr(typer, "confirm", lambda *_, abort: answer.startswith("y") or bench_abort(abort))
    done = call("purge")
    assert done.status == status
    assert bool(bench.store.read_aside(FARM, ASIDE.PURGE)) is (status == 0)


def bench_abort(abort: bool) -> bool:
    """What `confirm` does with a no."""
    assert abort
    raise typer.Abort


def test_purge_can_be_told_not_to_ask(bench: Bench, call: Call) -> None:
    assert call("purge", "--yes").out == "The waiting tasks are being cancelled.\n"
    assert bench.store.read_aside(FARM, ASIDE.PURGE)


def test_a_task_is_shown_with_everything(bench: Bench, call: Call) -> None:
    task = moved(bench, made(bench), claim, commit, publish)
    text = call("task", task.task_id).out
    for word in (
        "completed",
        "s3://videos/holiday/beach.mp4",
        "s3://renditions/holiday/beach.mp4/thumbnail.bin",
        "hevc",
    ):
        assert word in text
    failed = moved(bench, made(bench), claim, fail)
    assert "The file cannot be decoded. (input_corrupt)" in call("task", failed.task_id).out


def test_a_running_task_shows_how_far_it_is(bench: Bench, call: Call) -> None:
    task = moved(bench, made(bench), claim)
    live = {"epoch": task.epoch, "phase": "encode", "percent": 41.7, "fps": 120.0, "speed": 4.0, "eta": 12.0}
    bench.store.merge_aside(task.task_id, ASIDE.LIVE, live)
    assert "processing, encode, 42 %, 120 fps, 4.0x, 12 s to go" in call("task", task.task_id).out


def test_a_bar_with_all_it_tells_fits_a_terminal(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    task = moved(bench, made(bench, key="a/long/way/to/the/bright/beach.mp4"), claim)
    live = {"epoch": task.epoch, "phase": "encode", "percent": 41.7, "fps": 120.0, "speed": 4.0, "eta": 12.0}
    bench.store.merge_aside(task.task_id, ASIDE.LIVE, live)
    written = io.StringIO()
    console = Console(file=written, width=80, force_terminal=True)
    monkeypatch.setattr(watching, "Console", lambda: console)
    with watching._progress() as progress:
        watching.Bars(progress).show(Direct(bench.app()).get(f"/api/tasks/{task.task_id}"))
    last = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", written.getvalue()).replace("\r", "\n").rstrip().splitlines()[-1]
    assert last.startswith("…he/bright/beach.mp4 ━")
    assert last.rstrip().endswith("encode, 42 %, 120 fps, 4.0x, 12 s to go")
    assert len(last.rstrip()) <= 80


def test_the_status_tells_services_queue_today_and_workers(
    bench: Bench,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench.counts = Counts(waiting=3, in_flight=2, delayed=1, dead=4)
    bench.store.merge_aside(FARM, roll.page(FULL.node), {FULL.node: roll.told(FULL)})
    bench.store.merge_aside(FARM, "ended-2025-01-15", {"09-completed": 5})
    monkeypatch.setattr(services, "running", lambda _: None)
    text = call("status").out
    assert text.count("does not run") == 3
    assert "3 waiting, 2 in flight, 1 delayed, 4 dead" in text
    assert "5 completed, 0 failed, 0 cancelled" in text
    assert "gpu0@here: running, nvenc+nvdec, 2 of 2 tasks" in text
    assert "gpu1: Tesla T4 is put aside since 2025-01-15 10:00:00: 它坏了" in text
    assert standing.status.__doc__


class Film:
    """A view that keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def show(self, task: dict[str, Any]) -> None:
        self.seen.append(task["status"])


def test_watching_ends_with_the_last_task(bench: Bench, call: Call) -> None:
    good, bad = moved(bench, made(bench), claim, commit, publish), moved(bench, made(bench), claim, fail)
    assert call("watch", good.task_id, good.task_id).status == 0
    done = call("watch", good.task_id, bad.task_id)
    assert (done.status, f"{bad.task_id}: The file cannot be decoded." in done.err) == (1, True)
    assert call("cancel", made(bench).task_id).status == 0


def test_watching_survives_an_outage_but_does_not_begin_in_one(
    bench: Bench,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task, read, calls = moved(bench, made(bench), claim), bench.store.read, iter(range(100))

    def answer(task_id: str) -> Any:
        number = next(calls)
        if number in (1, 2):
            raise ServiceUnavailable("The table does not answer.")
        if number == 4:
            moved(bench, task, commit, publish)
        return read(task_id)

    monkeypatch.setattr(bench.store, "read", answer)
    film = Film()
    (end,) = watching.follow(Direct(bench.app()), [task.task_id], film, every=0)
    assert (film.seen, end["status"]) == (["processing", "processing", "completed"], "completed")
    calls = iter((1, 1))
    assert (call("watch", task.task_id).status, next(calls)) == (1, 1)


def test_for_programs_a_change_is_a_line(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # An address is signed anew each time.
    numbers = iter(range(100))
    monkeypatch.setattr(bench.storage, "address", lambda *_: f"https://s3/x?signature={next(numbers)}")
    task, farm, view = made(bench), Direct(bench.app()), watching.Changes()
    for _ in range(3):
        view.show(farm.get(f"/api/tasks/{task.task_id}"))
    moved(bench, task, claim, commit, publish)
    for _ in range(3):
        view.show(farm.get(f"/api/tasks/{task.task_id}"))
        bench.clock.advance(60)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["status"] for line in lines] == ["pending", "completed"]


def test_the_settings_say_where_they_come_from_and_keep_their_secrets(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "config.env").write_text(
        "AWS_DEFAULT_REGION=eu-west-1\nINPUT_BUCKET=my-in\nOUTPUT_BUCKET=my-out\nDYNAMODB_TABLE=tasks\n"
        "SQS_QUEUE_URL=https://me:verysecret@sqs.x/1/q\nAPI_KEYS=verysecretverysecret\nLOG_LEVEL=\nPOLL_INTERVAL=1m30s\n"
        "CALLBACK_QUEUE_URL=https://sqs.x/1/c\nCALLBACK_TARGETS=a=https://x/y?token=verysecret\n"
        "CALLBACK_SECRETS=a=verysecretverysecret\n"
    )
    monkeypatch.setenv("OUTPUT_BUCKET", "another-out")
    monkeypatch.setenv("SECRET_KEY", "")
    told = {name: (value, source) for name, value, source in config.effective()}
    assert set(told) == {name.upper() for name in Settings.model_fields}
    assert told["AWS_REGION"] == ("eu-west-1", "config.env")
    assert told["OUTPUT_BUCKET"] == ("another-out", "environment")
    assert told["LOG_LEVEL"] == ("INFO", "default")
    assert told["POLL_INTERVAL"] == ("90s", "config.env")
    assert told["API_KEYS"] == ("***", "config.env")
    assert told["SECRET_KEY"] == ("", "default")
    assert told["DEFAULT_TRANSCODE_TYPES"] == ("mp4_standard,mp4_smooth,thumbnail", "default")
    assert told["SQS_QUEUE_URL"][0] == "https://***@sqs.x/1/q"
    assert "verysecret" not in str(told)


def test_a_shell_is_offered_types_and_buckets(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert list(completing.types("mp4")) == ["mp4_standard", "mp4_smooth"]
    assert list(completing.buckets("more")) == []
    for name, value in FIELDS.items():
        monkeypatch.setenv(name.upper(), ",".join(value) if isinstance(value, tuple) else value)
    assert list(completing.buckets("more")) == ["more-videos"]
    extra = tmp_path / "presets.toml"
    extra.write_text('[square]\ndescription = "x"\n')
    monkeypatch.setenv("PRESETS_FILE", str(extra))
    # A file that cannot be used is no reason to offer nothing.
    assert "mp4_standard" in list(completing.types(""))


def test_what_nobody_foresaw_is_a_sentence_too(
    bench: Bench,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(direct, "connect", lambda: 1 / 0)
    done = call("tasks")
    assert (done.status, "ZeroDivisionError" in done.err, "LOG_LEVEL=DEBUG" in done.err) == (1, True, True)
    monkeypatch.setattr(direct, "connect", lambda: Direct(bench.app()))
    monkeypatch.setattr(bench.store, "page", lambda _: 1 / 0)
    done = call("tasks")
    assert (done.status, "nobody foresaw" in done.err) == (1, True)
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    monkeypatch.setattr(direct, "connect", lambda: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["transcode", "tasks"])
    with pytest.raises(ZeroDivisionError):
        main.main()
