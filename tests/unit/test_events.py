"""Storage notifications: S3's own, wrapped by SNS, and EventBridge's; and everything that is none."""

import json
from typing import Any

import pytest

from transcode.errors import BadEvent
from transcode.events import Skipped, Upload, is_video, read


def a_record(key: str = "clip.mp4", **changes: Any) -> dict[str, Any]:
    """A record as S3 writes it."""
    found = {
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1",
        "eventTime": "2025-01-15T10:00:00.123Z", "eventName": "ObjectCreated:Put",
        "s3": {
            "bucket": {"name": "uploads", "arn": "arn:aws:s3:::uploads"},
            "object": {"key": key, "size": 5, "eTag": "e1", "versionId": "v1", "sequencer": "0055AED6DCD90281E5"},
        },
    }  # fmt: skip
    found["s3"]["object"] |= changes  # type: ignore[index]
    return found


def told(*records: Any) -> str:
    return json.dumps({"Records": records})


def one(text: str) -> Upload | Skipped:
    [found] = read(text)
    return found


class TestUploads:
    def test_a_record_says_all_that_is_needed(self) -> None:
        assert one(told(a_record())) == Upload(
            bucket="uploads", key="clip.mp4", size=5, etag="e1", version_id="v1", sequencer="0055AED6DCD90281E5",
            time="2025-01-15T10:00:00.123000Z",
        )  # fmt: skip

    @pytest.mark.parametrize("name", ["Put", "Post", "Copy", "CompleteMultipartUpload"])
    @pytest.mark.parametrize("prefix", ["", "s3:"])
    def test_every_kind_of_creation_is_an_upload(self, name: str, prefix: str) -> None:
        record = a_record() | {"eventName": f"{prefix}ObjectCreated:{name}"}
        assert isinstance(one(told(record)), Upload)

    @pytest.mark.parametrize(
        ("key", "meant"),
        [
            ("a%2Bb+c.mp4", "a+b c.mp4"),
            ("%E4%B8%AD.mp4", "中.mp4"),
            ("%252e.mp4", "%2e.mp4"),
            ("a%2Fb/c.mp4", "a/b/c.mp4"),
            ("..%2F..%2Fetc%2Fpasswd", "../../etc/passwd"),
        ],
    )
    def test_keys_are_decoded_once(self, key: str, meant: str) -> None:
        found = one(told(a_record(key)))
        assert isinstance(found, Upload)
        assert found.key == meant

    def test_all_records_of_an_event_are_read_in_order(self) -> None:
        found = read(told(*(a_record(f"{n}.mp4") for n in range(1000))))
        assert [u.key for u in found] == [f"{n}.mp4" for n in range(1000)]

    def test_a_broken_record_takes_no_other_along(self) -> None:
        records = [a_record(f"{n}.mp4") for n in range(10)]
        del records[4]["s3"]["bucket"]
        found = read(told(*records))
        assert [isinstance(u, Upload) for u in found] == [True] * 4 + [False] + [True] * 5

    def test_a_missing_size_is_not_guessed(self) -> None:
        record = a_record()
        del record["s3"]["object"]["size"]
        found = one(told(record))
        assert isinstance(found, Upload)
        assert found.size is None

    def test_sns_may_wrap_it(self) -> None:
        wrapped = {"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Message": told(a_record())}
        assert one(json.dumps(wrapped)) == one(told(a_record()))

    def test_eventbridge_tells_it_in_its_own_words_and_encodes_no_keys(self) -> None:
        body = {
            "source": "aws.s3", "detail-type": "Object Created", "time": "2025-01-15T10:00:00Z",
            "detail": {
                "bucket": {"name": "uploads"},
                "object": {"key": "a+b %41.mp4", "size": 5, "etag": "e1", "version-id": "v1", "sequencer": "00AB"},
            },
        }  # fmt: skip
        assert one(json.dumps(body)) == Upload(
            bucket="uploads", key="a+b %41.mp4", size=5, etag="e1", version_id="v1", sequencer="00AB",
            time="2025-01-15T10:00:00.000000Z",
        )  # fmt: skip


class TestIdentity:
    def upload(self, **changes: Any) -> Upload:
        found = one(told(a_record(**changes)))
        assert isinstance(found, Upload)
        return found

    def test_the_version_id_tells_uploads_apart_best(self) -> None:
        assert self.upload().version == "v1"

    @pytest.mark.parametrize("version", [None, "", "null"])
    def test_without_one_the_sequencer_does_and_then_the_etag(self, version: str | None) -> None:
        assert self.upload(versionId=version).version == "0055AED6DCD90281E5"
        assert self.upload(versionId=version, sequencer=None).version == "e1"
        assert self.upload(versionId=version, sequencer=None, eTag='"e2"').version == "e2"

    def test_a_later_upload_has_the_greater_order(self) -> None:
        orders = [
            self.upload(sequencer=s).order for s in ("0055AED6DCD90281E5", "0055aed6dcd90281e6", "0055AED6DCD90281E60")
        ]
        assert orders == sorted(orders)
        assert orders[0] < orders[1]

    def test_a_shorter_sequencer_counts_as_padded_with_zeros(self) -> None:
        assert self.upload(sequencer="0A").order == self.upload(sequencer="0A00").order


class TestSkipped:
    def test_the_test_event_of_s3(self) -> None:
        text = '{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"uploads"}'
        assert one(text) == Skipped("s3:TestEvent")

    @pytest.mark.parametrize("name", ["ObjectRemoved:Delete", "ObjectRestore:Completed", "s3:ObjectTagging:Put", "", 7])
    def test_other_events(self, name: Any) -> None:
        assert isinstance(one(told(a_record() | {"eventName": name})), Skipped)

    @pytest.mark.parametrize(
        "key", ["%FF%FE.mp4", "%ED%A0%80.mp4", "a%00b.mp4", "a%0Ab.mp4", "a%7F.mp4", "", "x" * 1025]
    )
    def test_keys_that_can_name_no_object(self, key: str) -> None:
        assert isinstance(one(told(a_record(key))), Skipped)

    @pytest.mark.parametrize(
        "record",
        [
            None, 7, "text", [], {}, {"eventName": "ObjectCreated:Put"},
            {"eventName": "ObjectCreated:Put", "s3": None},
            {"eventName": "ObjectCreated:Put", "s3": {"object": {"key": "a.mp4"}}},
            {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": 7}, "object": {"key": "a.mp4"}}},
            {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": 7}}},
            a_record(size="x"), a_record() | {"eventTime": "yesterday"}, a_record() | {"eventTime": 7},
        ],
    )  # fmt: skip
    def test_records_of_another_shape(self, record: Any) -> None:
        assert isinstance(one(told(record)), Skipped)

    @pytest.mark.parametrize("detail", [{}, {"bucket": {}}, {"bucket": {"name": "b"}, "object": {"key": None}}])
    def test_eventbridge_events_of_another_shape(self, detail: Any) -> None:
        body = {"source": "aws.s3", "detail-type": "Object Created", "time": "2025-01-15T10:00:00Z", "detail": detail}
        assert isinstance(one(json.dumps(body)), Skipped)

    def test_other_events_of_eventbridge(self) -> None:
        assert isinstance(one('{"source":"aws.s3","detail-type":"Object Deleted","detail":{}}'), Skipped)


@pytest.mark.parametrize(
    "text",
    [
        "", "not json", "{", "{}", "[]", "null", "7", '"text"', '{"Records": {}}', '{"Records": []}', '{"Records": 1}',
        '{"Message": "hello"}', '{"TopicArn": "t", "Message": "hello"}', '{"task": "x", "id": "y"}',
        '{"source": "aws.s3", "detail": 7}', "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_notification_is_refused(text: str) -> None:
    with pytest.raises(BadEvent):
        read(text)


@pytest.mark.parametrize(
    ("key", "video"),
    [
        ("a.mp4", True), ("a/b.MP4", True), ("a.MoV", True), ("视频.mkv", True), ("a.mpeg", True), ("a.mp4.mpg", True),
        ("a.txt", False), ("a", False), ("a.mp4.exe", False), ("x/", False), ("mp4", False), ("a.mp4 ", False),
    ],
)  # fmt: skip
def test_videos_are_known_by_their_extension(key: str, video: bool) -> None:
    assert is_video(key) is video
