"""`ports.TaskStore`: one suite for the fake and for DynamoDB, then what only DynamoDB can show."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.conftest import Line
from tests.fakes import START, FakeClock, MemoryTasks
from transcode import steps
from transcode.aws import clients, records
from transcode.aws.dynamodb import DynamoTasks
from transcode.clock import timestamp
from transcode.errors import BadCursor, EncoderFailed, NotFound, ServiceUnavailable, Unknown, VersionMoved
from transcode.ports import Query, TaskStore
from transcode.settings import Settings
from transcode.states import Status
from transcode.task import ASIDE, ErrorDetail, InputVersion, Output, Task, made, new_id

DAY = 86400.0
Plant = Callable[[dict[str, Any]], None]


@pytest.fixture(params=["fake", "dynamodb"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(kind: str, clock: FakeClock, request: pytest.FixtureRequest) -> Iterator[TaskStore]:
    if kind == "fake":
        yield MemoryTasks(clock)
    else:
        yield DynamoTasks(request.getfixturevalue("table"), clock)


@pytest.fixture
def plant(kind: str, store: TaskStore, request: pytest.FixtureRequest) -> Plant:
    """Put an item in the table that another program wrote."""
    if isinstance(store, MemoryTasks):
        items = store.items
        return lambda item: items.__setitem__(item["task_id"], dict(item))
    settings: Settings = request.getfixturevalue("account")
    client = clients.dynamodb(settings)
    return lambda item: _put(client, settings, item)


def _put(client: Any, settings: Settings, item: dict[str, Any]) -> None:
    values = {n: records.attribute(v) for n, v in item.items()}
    client.put_item(TableName=settings.dynamodb_table, Item=values)


@pytest.fixture
def dynamo(table: Settings, clock: FakeClock) -> DynamoTasks:
    return DynamoTasks(table, clock)


def a_task(now: float = START, **fields: Any) -> Task:
    given = {
        "input_bucket": "uploads", "input_key": "视频/a b.mov", "output_bucket": "renditions",
        "transcode_types": ("mp4_standard", "thumbnail"),
    } | fields  # fmt: skip
    return made(new_id(now), now, **given)


def a_full_task() -> Task:
    """A record with a value in every attribute that can be awkward."""
    output = Output(key="a/thumbnail.jpg", bytes=12345678901, duration=0.1 + 0.2, bitrate=0)
    error = EncoderFailed("It failed.", command="ffmpeg -i", output="x" * 2000)
    detail = ErrorDetail(transcode_type="mp4_smooth", stage="transcode", error=str(error), timestamp=timestamp(START))
    return a_task().model_copy(
        update={
            "outputs": {"thumbnail": output}, "output_files": {"thumbnail": output.key}, "error_details": (detail,),
            "source": {"fps": 29.97, "size": [1920, 1080], "hdr": False, "title": "", "none": None, "a": {"b": [1.5]}},
            "phases": {"fetch": 1e-9, "encode": 12.25}, "lease_until": START + 1 / 3, "cancel_requested": True,
            "input_version": InputVersion(version_id="v1", etag="e", size=5), "expires_at": int(START),
        }
    )  # fmt: skip


def filled(store: TaskStore, count: int, **fields: Any) -> list[Task]:
    """Tasks a minute apart, newest first."""
    tasks = [a_task(START + 60 * n, **fields) for n in range(count)]
    assert all(store.create(task) for task in tasks)
    return tasks[::-1]


def walked(store: TaskStore, **filters: Any) -> list[str]:
    """The ids of a whole list, page after page; bounded."""
    ids, cursor = [], ""
    for _ in range(40):
        page = store.page(Query(cursor=cursor, **filters))
        ids += [task.task_id for task in page.tasks]
        cursor = page.next_cursor
        if not cursor:
            return ids
    raise AssertionError("the list has no end")


def old_record(task_id: str, created_at: str, status: str, **more: Any) -> dict[str, Any]:
    """As the predecessor wrote it: none of our attributes, times without decimals."""
    return {
        "task_id": task_id, "date_partition": created_at[:10], "input_bucket": "uploads", "input_key": "old.mp4",
        "output_bucket": "renditions", "transcode_types": ["mp4_standard"], "status": status, "created_at": created_at,
        "updated_at": created_at, "error_message": "", "error_details": [], "retry_count": 1, "max_retries": 3,
        "progress": {"mp4_standard": "failed"}, "output_files": {},
    } | more  # fmt: skip


class TestRecords:
    def test_a_created_record_reads_back_the_same(self, store: TaskStore) -> None:
        task = a_full_task()
        assert store.create(task)
        assert store.read(task.task_id) == task

    def test_the_second_creator_of_an_id_is_told_so_and_changes_nothing(self, store: TaskStore) -> None:
        task = a_task()
        assert store.create(task)
        assert not store.create(task)
        assert not store.create(task.model_copy(update={"input_key": "other.mp4"}))
        assert store.read(task.task_id) == task

    def test_an_unknown_id_is_not_found(self, store: TaskStore) -> None:
        with pytest.raises(NotFound, match="nowhere"):
            store.read("nowhere")

    def test_a_save_changes_what_differs(self, store: TaskStore) -> None:
        task = a_task()
        store.create(task)
        claimed = steps.claimed(task, "me", "w1", START + 1)
        store.save(task, claimed)
        assert store.read(task.task_id) == claimed

    def test_a_value_can_be_emptied(self, store: TaskStore) -> None:
        full = a_full_task().model_copy(update={"error_message": "It failed.", "ver": 1})
        store.create(full)
        emptied = full.model_copy(update={"error_message": "", "outputs": {}, "source": {}, "ver": 2, "expires_at": 0})
        store.save(full, emptied)
        assert store.read(full.task_id) == emptied

    def test_the_second_writer_loses(self, store: TaskStore) -> None:
        task = a_task()
        store.create(task)
        first, second = steps.claimed(task, "first", "w1", START), steps.claimed(task, "second", "w2", START)
        store.save(task, first)
        with pytest.raises(VersionMoved):
            store.save(task, second)
        assert store.read(task.task_id) == first

    def test_the_same_write_twice_is_no_conflict(self, store: TaskStore) -> None:
        task = a_task()
        store.create(task)
        claimed = steps.claimed(task, "me", "w1", START)
        store.save(task, claimed)
        store.save(task, claimed)
        assert store.read(task.task_id) == claimed

    def test_a_record_that_is_gone_cannot_be_saved(self, store: TaskStore) -> None:
        task = a_task()
        with pytest.raises(VersionMoved):
            store.save(task, steps.claimed(task, "me", "w1", START))
        with pytest.raises(NotFound):
            store.read(task.task_id)


class TestOldRecords:
    def test_retrying_is_read_and_listed_as_pending(self, store: TaskStore, plant: Plant) -> None:
        plant(old_record("old", "2025-01-15T09:00:00Z", "retrying"))
        assert store.read("old").status is Status.PENDING
        assert walked(store, status=Status.PENDING) == ["old"]

    def test_they_can_be_claimed_and_then_only_once(self, store: TaskStore, plant: Plant) -> None:
        plant(old_record("old", "2025-01-15T09:00:00Z", "retrying"))
        found = store.read("old")
        store.save(found, steps.claimed(found, "first", "w1", START))
        with pytest.raises(VersionMoved):
            store.save(found, steps.claimed(found, "second", "w2", START))
        assert store.read("old").owner == "first"
        assert walked(store, status=Status.PENDING) == []
        assert walked(store, status=Status.PROCESSING) == ["old"]

    def test_pending_and_retrying_make_one_list_newest_first(self, store: TaskStore, plant: Plant) -> None:
        for minute in range(6):
            status = "retrying" if minute % 2 else "pending"
            plant(old_record(f"old-{minute}", f"2025-01-15T10:0{minute}:00Z", status))
        wanted = [f"old-{minute}" for minute in reversed(range(6))]
        for limit in (1, 2, 4, 6, 20):
            assert walked(store, status=Status.PENDING, limit=limit) == wanted

    def test_a_day_has_its_records_of_either_precision(self, store: TaskStore, plant: Plant) -> None:
        for n, time in enumerate(["14T23:59:59", "15T00:00:00", "15T23:59:59", "16T00:00:00"]):
            plant(old_record(f"old-{n}", f"2025-01-{time}Z", "failed"))
        wanted = ["old-2", "old-1"]
        assert walked(store, date="2025-01-15") == wanted
        assert walked(store, date="2025-01-15", status=Status.FAILED, limit=1) == wanted

    def test_equal_times_lose_and_repeat_nobody(self, store: TaskStore, plant: Plant) -> None:
        for n in range(5):
            plant(old_record(f"old-{n}", "2025-01-15T10:00:00Z", "pending" if n % 2 else "retrying"))
        for filters in ({"status": Status.PENDING}, {"date": "2025-01-15"}, {}):
            for limit in (1, 2, 3):
                found = walked(store, limit=limit, **filters)
                assert sorted(found) == [f"old-{n}" for n in range(5)]


class TestLists:
    def test_a_list_is_newest_first_and_pages_tell_each_task_once(self, store: TaskStore) -> None:
        wanted = [task.task_id for task in filled(store, 7)]
        for filters in ({}, {"date": "2025-01-15"}, {"status": Status.PENDING}):
            for limit in (1, 3, 7, 20):
                assert walked(store, limit=limit, **filters) == wanted

    def test_a_full_last_page_has_no_cursor(self, store: TaskStore) -> None:
        filled(store, 4)
        assert store.page(Query(limit=4)).next_cursor == ""
        assert store.page(Query(limit=3)).next_cursor != ""

    def test_filters_combine(self, store: TaskStore) -> None:
        today, yesterday = a_task(START), a_task(START - DAY)
        claimed = a_task(START + 5)
        for task in (today, yesterday, claimed):
            store.create(task)
        store.save(claimed, steps.claimed(claimed, "me", "w1", START))
        assert walked(store, date="2025-01-15") == [claimed.task_id, today.task_id]
        assert walked(store, status=Status.PENDING) == [today.task_id, yesterday.task_id]
        assert walked(store, date="2025-01-15", status=Status.PENDING) == [today.task_id]
        assert walked(store, date="2025-01-14", status=Status.PROCESSING) == []

    def test_a_list_of_one_status_begins_with_the_oldest_on_wish(self, store: TaskStore) -> None:
        tasks = filled(store, 4)
        page = store.page(Query(status=Status.PENDING, limit=3, oldest=True))
        assert [t.task_id for t in page.tasks] == [t.task_id for t in reversed(tasks)][:3]
        assert page.next_cursor == ""

    def test_an_unfiltered_list_walks_back_31_days(self, store: TaskStore) -> None:
        tasks = [a_task(START - n * DAY) for n in (0, 1, 15, 30, 31)]
        for task in tasks:
            store.create(task)
        wanted = [task.task_id for task in tasks[:4]]
        for limit in (1, 2, 20):
            assert walked(store, limit=limit) == wanted

    def test_a_task_that_moves_on_between_pages_breaks_no_cursor(self, store: TaskStore) -> None:
        tasks = filled(store, 4)
        first = store.page(Query(status=Status.PENDING, limit=2))
        store.save(tasks[1], steps.claimed(tasks[1], "me", "w1", START))
        second = store.page(Query(status=Status.PENDING, limit=2, cursor=first.next_cursor))
        assert [t.task_id for t in second.tasks] == [t.task_id for t in tasks[2:]]

    @pytest.mark.parametrize("cursor", ["x", "e30=", "bnVsbA==", "W10=", "中", "eyJmb3IiOjF9", "[" * 5000])
    def test_a_cursor_that_is_none_of_ours_is_refused(self, store: TaskStore, cursor: str) -> None:
        with pytest.raises(BadCursor):
            store.page(Query(cursor=cursor))

    def test_a_cursor_of_other_filters_is_refused(self, store: TaskStore) -> None:
        filled(store, 3)
        cursor = store.page(Query(limit=1)).next_cursor
        for query in (Query(date="2025-01-15", cursor=cursor), Query(status=Status.PENDING, cursor=cursor)):
            with pytest.raises(BadCursor, match="other filters"):
                store.page(query)

    def test_a_truncated_cursor_is_refused(self, store: TaskStore) -> None:
        filled(store, 3)
        cursor = store.page(Query(limit=1)).next_cursor
        with pytest.raises(BadCursor):
            store.page(Query(cursor=cursor[: len(cursor) // 2]))


class TestSideItems:
    def test_values_are_merged_and_the_whole_item_comes_back(self, store: TaskStore) -> None:
        assert store.merge_aside("t1", ASIDE.LIVE, {"percent": 12.5, "cancel": False}) == {
            "percent": 12.5, "cancel": False,
        }  # fmt: skip
        assert store.merge_aside("t1", ASIDE.LIVE, {"percent": 50}) == {"percent": 50, "cancel": False}
        assert store.read_aside("t1", ASIDE.LIVE) == {"percent": 50, "cancel": False}

    def test_an_item_that_was_never_written_is_empty(self, store: TaskStore) -> None:
        assert store.read_aside("t1", ASIDE.PLAN) == {}

    def test_none_takes_an_attribute_away(self, store: TaskStore) -> None:
        store.merge_aside("farm", ASIDE.WORKERS, {"gpu0@a": {"host": "a"}, "gpu0@b": {"host": "b"}, "cpu@c": {}})
        left = {"gpu0@a": {"host": "a", "pid": 2}, "cpu@c": {}}
        assert store.merge_aside("farm", ASIDE.WORKERS, {"gpu0@a": left["gpu0@a"], "gpu0@b": None}) == left
        assert store.merge_aside("farm", ASIDE.WORKERS, {"cpu@c": None, "was-never-there": None}) == {
            "gpu0@a": left["gpu0@a"]
        }
        assert store.read_aside("farm", ASIDE.WORKERS) == {"gpu0@a": left["gpu0@a"]}
        assert store.merge_aside("farm", "empty", {"was-never-there": None}) == {}

    def test_several_items_are_read_at_once_those_that_there_are(self, store: TaskStore) -> None:
        for name, value in (("workers01", 1), ("workers02", 2)):
            store.merge_aside("farm", name, {"a": value})
        found = store.read_asides("farm", ["workers01", "workers02", "workers03"])
        assert sorted(item["a"] for item in found) == [1, 2]

    def test_nested_values_read_back_the_same(self, store: TaskStore) -> None:
        plan = {
            "types": {"thumbnail": {"tags": ["a", "b"], "upload_id": "", "output": {"duration": 0.1}}},
            "failed": [],
        }
        assert store.merge_aside("t1", "plan1", plan) == plan
        assert store.read_aside("t1", "plan1") == plan

    def test_items_of_other_names_and_tasks_stay_apart(self, store: TaskStore) -> None:
        store.merge_aside("t1", ASIDE.LIVE, {"a": 1})
        assert store.read_aside("t1", ASIDE.HISTORY) == {}
        assert store.read_aside("t2", ASIDE.LIVE) == {}

    def test_they_are_in_no_list(self, store: TaskStore) -> None:
        task = a_task()
        store.create(task)
        store.merge_aside(task.task_id, ASIDE.LIVE, {"percent": 1})
        store.add_aside("farm", "ended-2025-01-15", "09-completed")
        for filters in ({}, {"date": "2025-01-15"}, {"status": Status.PENDING}):
            assert walked(store, **filters) == [task.task_id]


class TestDynamo:
    """What only the table can show."""

    def item(self, settings: Settings, key: str) -> dict[str, Any]:
        answer = clients.dynamodb(settings).get_item(
            TableName=settings.dynamodb_table, Key={"task_id": {"S": key}}, ConsistentRead=True
        )
        return dict(answer.get("Item", {}))

    def test_what_has_no_value_is_left_out_of_the_item(self, dynamo: DynamoTasks, account: Settings) -> None:
        task = a_task()
        dynamo.create(task)
        claimed = steps.claimed(task, "me", "w1", START)
        dynamo.save(task, claimed)
        assert {"owner", "phase", "lease_until"} <= self.item(account, task.task_id).keys()
        dynamo.save(claimed, steps.handed_back(claimed, "me", START, 5, counted=True, error=EncoderFailed("Why.")))
        found = self.item(account, task.task_id)
        assert not {"owner", "phase", "expires_at", "completed_at"} & found.keys()
        assert found["status"] == {"S": "pending"}
        assert {"S": ""} not in found.values()

    def test_attributes_that_we_do_not_know_are_left_alone(self, dynamo: DynamoTasks, account: Settings) -> None:
        _put(
            clients.dynamodb(account),
            account,
            old_record("old", "2025-01-15T09:00:00Z", "pending", customer="c1", command_id=7),
        )
        found = dynamo.read("old")
        dynamo.save(found, steps.cancel_asked(found, START))
        item = self.item(account, "old")
        assert (item["customer"], item["command_id"]) == ({"S": "c1"}, {"N": "7"})
        assert item["status"] == {"S": "cancelled"}

    def test_records_with_odd_values_are_still_listed(self, dynamo: DynamoTasks, account: Settings) -> None:
        odd = {
            "input_key": 42, "error_message": None, "progress": {"mp4_standard": "half done"}, "retry_count": "2",
            "error_details": [{"error": "old words", "stage": None}, "words"], "output_files": ["a"], "ver": "x",
        }  # fmt: skip
        _put(clients.dynamodb(account), account, old_record("odd", "2025-01-15T09:00:00Z", "failed", **odd))
        bare = {
            "task_id": "bare",
            "date_partition": "2025-01-15",
            "created_at": "2025-01-15T08:00:00Z",
            "status": "failed",
        }
        _put(clients.dynamodb(account), account, bare)
        tasks = dynamo.page(Query(date="2025-01-15")).tasks
        assert [t.task_id for t in tasks] == ["odd", "bare"]
        assert (tasks[0].input_key, tasks[0].retry_count, tasks[0].progress) == ("42", 2, {})
        assert [d.error for d in tasks[0].error_details] == ["old words"]

    def test_a_record_of_unknown_status_is_left_out_and_not_found(self, dynamo: DynamoTasks, account: Settings) -> None:
        _put(clients.dynamodb(account), account, old_record("odd", "2025-01-15T09:00:00Z", "exploded"))
        task = a_task()
        dynamo.create(task)
        assert walked(dynamo, date="2025-01-15", limit=1) == [task.task_id]
        with pytest.raises(NotFound, match="status"):
            dynamo.read("odd")

    def test_live_items_expire_and_others_with_their_record(self, account: Settings, dynamo: DynamoTasks) -> None:
        dynamo.merge_aside("t1", ASIDE.LIVE, {"percent": 1})
        dynamo.merge_aside("t1", ASIDE.HISTORY, {"a1": "x"})
        assert self.item(account, "t1#live")["expires_at"] == {"N": str(int(START + DAY))}
        assert "expires_at" not in self.item(account, "t1#history")
        keeping = DynamoTasks(account.model_copy(update={"record_retention_days": 9}), FakeClock())
        keeping.merge_aside("t2", ASIDE.HISTORY, {"a1": "x"})
        assert self.item(account, "t2#history")["expires_at"] == {"N": str(int(START + 10 * DAY))}

    def test_a_page_costs_queries_of_its_size_only(self, dynamo: DynamoTasks, line: type[Line]) -> None:
        filled(dynamo, 30)
        calls = line(dynamo._client).calls
        dynamo.page(Query(status=Status.PENDING, limit=5))
        assert calls == ["Query", "Query"]
        calls.clear()
        dynamo.page(Query(date="2025-01-15", limit=5))
        assert calls == ["Query"]
        calls.clear()
        dynamo.page(Query(limit=5))
        assert calls == ["Query"]

    def test_a_save_whose_answer_is_lost_once_succeeds(self, dynamo: DynamoTasks, line: type[Line]) -> None:
        task = a_task()
        dynamo.create(task)
        line(dynamo._client).lose_answers("UpdateItem")
        claimed = steps.claimed(task, "me", "w1", START)
        dynamo.save(task, claimed)
        assert dynamo.read(task.task_id) == claimed

    def test_a_save_without_any_answer_is_unknown(self, dynamo: DynamoTasks, line: type[Line]) -> None:
        task = a_task()
        dynamo.create(task)
        line(dynamo._client).lose_answers("UpdateItem", retried=False)
        claimed = steps.claimed(task, "me", "w1", START)
        with pytest.raises(Unknown):
            dynamo.save(task, claimed)
        assert dynamo.read(task.task_id) == claimed

    @pytest.mark.parametrize("retried", [True, False])
    def test_a_creation_whose_answer_is_lost_is_ours(
        self, dynamo: DynamoTasks, line: type[Line], retried: bool
    ) -> None:
        task = a_full_task()
        line(dynamo._client).lose_answers("PutItem", retried=retried)
        assert dynamo.create(task)

    def test_a_retried_creation_that_came_second_is_not_ours(self, dynamo: DynamoTasks, line: type[Line]) -> None:
        task = a_task()
        dynamo.create(task)
        line(dynamo._client).lose_answers("PutItem")
        assert not dynamo.create(task.model_copy(update={"updated_at": timestamp(START + 1)}))

    def test_refusals_say_what_may_not_be_done_and_where(self, dynamo: DynamoTasks, line: type[Line]) -> None:
        body = b'{"__type":"com.amazon#AccessDeniedException","message":"User arn:aws:iam::1:user/x is not authorized"}'
        line(dynamo._client).answer("GetItem", 400, body)
        with pytest.raises(ServiceUnavailable, match=r"refuses these credentials GetItem on the table tasks-of-ours"):
            dynamo.read("t1")

    def test_a_request_that_dynamodb_finds_wrong_is_an_error_of_ours_too(
        self, dynamo: DynamoTasks, line: type[Line]
    ) -> None:
        line(dynamo._client).answer("Query", 400, b'{"__type":"x#ValidationException","message":"no"}')
        with pytest.raises(ServiceUnavailable, match=r"refused Query on the table .*ValidationException"):
            dynamo.page(Query(date="2025-01-15"))

    def test_a_missing_table_is_named_and_no_address_is_told(self, account: Settings) -> None:
        store = DynamoTasks(account.model_copy(update={"dynamodb_table": "no-such-table"}))
        with pytest.raises(ServiceUnavailable, match="no-such-table does not exist") as caught:
            store.read("t1")
        assert "127.0.0.1" not in str(caught.value)


def test_a_number_beside_a_record_begins_at_zero_and_grows_by_one(store: TaskStore) -> None:
    for _ in range(3):
        store.add_aside("farm", "ended-2025-01-15", "09-completed")
    store.add_aside("farm", "ended-2025-01-15", "10-failed")
    assert store.read_aside("farm", "ended-2025-01-15") == {"09-completed": 3, "10-failed": 1}
