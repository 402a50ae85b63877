"""`ports.ObjectStorage`: one suite for the fake and for S3, then what only S3 can show."""

import base64
import json
import os
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.contract.conftest import INPUT, OUTPUT, Line
from tests.fakes import FolderStorage
from transcode.aws import clients, transfer
from transcode.aws.s3 import S3Storage
from transcode.clock import seconds
from transcode.errors import BadCursor, InputAccessDenied, InputChanged, InputNotFound, Permanent, ServiceUnavailable
from transcode.ports import Folder, ObjectStorage, UploadForm
from transcode.settings import Settings
from transcode.task import InputVersion

KEY = "视频/a b+c.mp4"
ANY = InputVersion()
MB = 1024 * 1024
Put = Callable[[str, bytes], None]


def nothing(_: int) -> None:
    """Progress that nobody watches."""


class Stop(Exception):
    """What a caller may raise to stop a transfer."""


def stop(_: int) -> None:
    raise Stop("enough")


@pytest.fixture(params=["fake", "s3"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def buckets(account: Settings) -> Settings:
    """An AWS with an input and an output bucket."""
    for bucket in (INPUT, OUTPUT):
        where = {"LocationConstraint": account.aws_region}
        clients.s3(account).create_bucket(Bucket=bucket, CreateBucketConfiguration=where)  # type: ignore[arg-type]
    return account


@pytest.fixture
def storage(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStorage:
    if kind == "fake":
        return FolderStorage(tmp_path / "storage")
    return S3Storage(request.getfixturevalue("buckets"))


@pytest.fixture
def put(kind: str, storage: ObjectStorage, request: pytest.FixtureRequest) -> Put:
    """Upload an object to the input bucket, as a client does."""
    if isinstance(storage, FolderStorage):
        fake = storage
        return lambda key, data: (fake.put(INPUT, key, data), None)[1]
    client = clients.s3(request.getfixturevalue("buckets"))
    return lambda key, data: (client.put_object(Bucket=INPUT, Key=key, Body=data), None)[1]


@pytest.fixture
def s3(buckets: Settings) -> S3Storage:
    return S3Storage(buckets)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A rendition: several parts for the fake, one for S3."""
    path = tmp_path / "rendition.mp4"
    path.write_bytes(os.urandom(150_000))
    return path


class TestReading:
    def test_head_tells_size_tag_and_time(self, storage: ObjectStorage, put: Put) -> None:
        put(KEY, b"hello")
        facts = storage.head(INPUT, KEY)
        assert facts.size == 5
        assert facts.etag.strip('"') == "5d41402abc4b2a76b9719d911017c592"
        assert facts.version_id == ""
        assert seconds(facts.modified) > 0

    def test_what_is_not_there_is_not_found(self, storage: ObjectStorage, tmp_path: Path) -> None:
        with pytest.raises(InputNotFound):
            storage.head(INPUT, KEY)
        with pytest.raises(InputNotFound):
            storage.fetch(INPUT, KEY, ANY, tmp_path / "input", nothing)
        assert not (tmp_path / "input").exists()

    def test_keys_under_a_prefix_come_in_the_order_of_their_bytes(self, storage: ObjectStorage, put: Put) -> None:
        for key in ("b/2", "b/10", "b/é 中", "b/a+b&c", "b", "c", "b/视频/x.mp4", "a/1"):
            put(key, b"x")
        under = ("b/10", "b/2", "b/a+b&c", "b/é 中", "b/视频/x.mp4")
        assert storage.keys(INPUT, "b/", 1000) == under
        assert storage.keys(INPUT, "b/", 2) == under[:2]
        assert storage.keys(INPUT, "b/", 1000, "b/2") == under[2:]
        assert storage.keys(INPUT, "b/", 3, "b/3") == under[2:]
        assert storage.keys(INPUT, "b/", 1000, "c") == storage.keys(INPUT, "d", 1000) == ()
        assert storage.keys(INPUT, "", 2) == ("a/1", "b")

    def test_a_folder_shows_what_lies_directly_in_it(self, storage: ObjectStorage, put: Put) -> None:
        for key in ("视频/", "视频/b+c.mp4", "视频/a/1.mp4", "视频/a/2.mp4", "视频/d e/", "视频/x/y/z.mp4", "top.mp4"):
            put(key, b"12345")
        root = storage.folder(INPUT, "", 1000)
        assert (root.folders, [one.key for one in root.objects], root.next_cursor) == (("视频/",), ["top.mp4"], "")
        under = storage.folder(INPUT, "视频/", 1000)
        assert under.folders == ("视频/a/", "视频/d e/", "视频/x/")
        assert [(one.key, one.size) for one in under.objects] == [("视频/b+c.mp4", 5)]
        assert seconds(under.objects[0].modified) > 0
        assert storage.folder(INPUT, "视频/a/2", 1000).objects[0].key == "视频/a/2.mp4"
        assert storage.folder(INPUT, "nowhere/", 1000) == Folder((), ())

    def test_pages_of_a_folder_follow_each_other_without_a_gap(self, storage: ObjectStorage, put: Put) -> None:
        for key in ("a/1", "a/2", "b", "c/1", "c/2", "d"):
            put(key, b"x")
        names, cursor = list[str](), ""
        while True:
            page = storage.folder(INPUT, "", 2, cursor)
            assert len(page.folders) + len(page.objects) <= 2
            names += sorted([*page.folders, *(one.key for one in page.objects)])
            cursor = page.next_cursor
            if not cursor:
                break
        assert names == ["a/", "b", "c/", "d"]

    def test_fetch_writes_the_bytes_and_tells_of_each(self, storage: ObjectStorage, put: Put, tmp_path: Path) -> None:
        data, told = os.urandom(200_000), list[int]()
        put(KEY, data)
        facts = storage.head(INPUT, KEY)
        version = InputVersion(etag=facts.etag, size=facts.size)
        storage.fetch(INPUT, KEY, version, tmp_path / "input", told.append)
        assert (tmp_path / "input").read_bytes() == data
        assert sum(told) == len(data)

    def test_a_replaced_object_is_not_fetched(self, storage: ObjectStorage, put: Put, tmp_path: Path) -> None:
        put(KEY, b"first")
        facts = storage.head(INPUT, KEY)
        put(KEY, b"other")
        with pytest.raises(InputChanged):
            storage.fetch(INPUT, KEY, InputVersion(etag=facts.etag, size=5), tmp_path / "input", nothing)
        assert not (tmp_path / "input").exists()

    def test_a_fetch_stops_when_it_is_told_to(self, storage: ObjectStorage, put: Put, tmp_path: Path) -> None:
        put(KEY, os.urandom(200_000))
        with pytest.raises(Stop, match="enough"):
            storage.fetch(INPUT, KEY, ANY, tmp_path / "input", stop)
        assert [p.name for p in tmp_path.iterdir() if p.is_file()] == []

    def test_an_address_opens_the_object(self, storage: ObjectStorage, put: Put) -> None:
        put(KEY, b"hello")
        with urllib.request.urlopen(storage.address(INPUT, KEY, 60), timeout=10) as answer:
            assert answer.read() == b"hello"


class TestPublishing:
    def test_parts_are_invisible_until_they_are_completed(self, storage: ObjectStorage, file: Path) -> None:
        told = list[int]()
        upload_id, tags = storage.send_parts(OUTPUT, KEY, file, "video/mp4", told.append)
        assert sum(told) == file.stat().st_size
        with pytest.raises(InputNotFound):
            storage.head(OUTPUT, KEY)
        storage.complete(OUTPUT, KEY, upload_id, tags)
        assert storage.head(OUTPUT, KEY).size == file.stat().st_size

    def test_the_object_has_the_bytes_of_the_file(self, storage: ObjectStorage, file: Path, tmp_path: Path) -> None:
        storage.complete(OUTPUT, KEY, *storage.send_parts(OUTPUT, KEY, file, "video/mp4", nothing))
        storage.fetch(OUTPUT, KEY, ANY, tmp_path / "back", nothing)
        assert (tmp_path / "back").read_bytes() == file.read_bytes()

    def test_completing_again_is_harmless(self, storage: ObjectStorage, file: Path) -> None:
        sent = storage.send_parts(OUTPUT, KEY, file, "video/mp4", nothing)
        storage.complete(OUTPUT, KEY, *sent)
        storage.complete(OUTPUT, KEY, *sent)
        assert storage.head(OUTPUT, KEY).size == file.stat().st_size

    def test_a_new_upload_replaces_the_object(self, storage: ObjectStorage, file: Path) -> None:
        storage.complete(OUTPUT, KEY, *storage.send_parts(OUTPUT, KEY, file, "video/mp4", nothing))
        file.write_bytes(b"newer")
        storage.complete(OUTPUT, KEY, *storage.send_parts(OUTPUT, KEY, file, "video/mp4", nothing))
        assert storage.head(OUTPUT, KEY).size == 5

    def test_aborting_leaves_nothing_and_again_is_harmless(self, storage: ObjectStorage, file: Path) -> None:
        upload_id, _ = storage.send_parts(OUTPUT, KEY, file, "video/mp4", nothing)
        storage.abort(OUTPUT, KEY, upload_id)
        storage.abort(OUTPUT, KEY, upload_id)
        with pytest.raises(InputNotFound):
            storage.head(OUTPUT, KEY)

    def test_what_was_aborted_cannot_be_completed(self, storage: ObjectStorage, file: Path) -> None:
        upload_id, tags = storage.send_parts(OUTPUT, KEY, file, "video/mp4", nothing)
        storage.abort(OUTPUT, KEY, upload_id)
        with pytest.raises(ServiceUnavailable):
            storage.complete(OUTPUT, KEY, upload_id, tags)

    def test_a_sending_stops_when_it_is_told_to(self, storage: ObjectStorage, file: Path) -> None:
        with pytest.raises(Stop, match="enough"):
            storage.send_parts(OUTPUT, KEY, file, "video/mp4", stop)
        assert unfinished(storage) == []


def unfinished(storage: ObjectStorage) -> list[str]:
    """Ids of uploads that were begun and neither completed nor aborted."""
    if isinstance(storage, FolderStorage):
        return list(storage.unfinished)
    assert isinstance(storage, S3Storage)
    found = storage._client.list_multipart_uploads(Bucket=OUTPUT).get("Uploads", [])
    return [upload["UploadId"] for upload in found]


class TestOrder:
    """Two tasks that write the same key: the newest stands, however late the older one comes."""

    def upload(self, storage: ObjectStorage, file: Path, text: str, order: str) -> tuple[str, list[str]]:
        file.write_text(text)
        return storage.send_parts(OUTPUT, KEY, file, "video/mp4", nothing, order)

    def test_an_object_tells_its_order(self, storage: ObjectStorage, file: Path) -> None:
        assert storage.order(OUTPUT, KEY) == ""
        assert storage.complete(OUTPUT, KEY, *self.upload(storage, file, "one", "2025#1"), "2025#1")
        assert storage.order(OUTPUT, KEY) == "2025#1"

    def test_an_older_one_never_replaces_a_newer_one(self, storage: ObjectStorage, file: Path) -> None:
        older = self.upload(storage, file, "older", "2025#1")
        newer = self.upload(storage, file, "newer", "2025#2")
        assert storage.complete(OUTPUT, KEY, *newer, "2025#2")
        assert not storage.complete(OUTPUT, KEY, *older, "2025#1")
        assert storage.order(OUTPUT, KEY) == "2025#2"
        assert storage.head(OUTPUT, KEY).size == 5

    def test_a_newer_one_replaces_an_older_one_and_again_is_harmless(self, storage: ObjectStorage, file: Path) -> None:
        for text, order in (("older", "2025#1"), ("the newer", "2025#2")):
            sent = self.upload(storage, file, text, order)
            assert storage.complete(OUTPUT, KEY, *sent, order)
            assert storage.complete(OUTPUT, KEY, *sent, order)
        assert storage.head(OUTPUT, KEY).size == 9

    def test_equal_bytes_of_an_older_one_do_not_let_the_one_in_between_replace_them(
        self, storage: ObjectStorage, file: Path
    ) -> None:
        texts = {"2025#1": "the film", "2025#2": "another version", "2025#3": "the film"}
        sent = {order: self.upload(storage, file, text, order) for order, text in texts.items()}
        shown = [storage.complete(OUTPUT, KEY, *sent[order], order) for order in ("2025#1", "2025#3", "2025#2")]
        assert shown == [True, True, False]
        assert storage.order(OUTPUT, KEY) == "2025#3"

    def test_an_object_of_somebody_else_is_replaced(self, storage: ObjectStorage, file: Path) -> None:
        assert storage.complete(OUTPUT, KEY, *self.upload(storage, file, "foreign", ""))
        assert storage.complete(OUTPUT, KEY, *self.upload(storage, file, "ours", "2025#1"), "2025#1")
        assert storage.order(OUTPUT, KEY) == "2025#1"


def send_form(form: UploadForm, data: bytes) -> int:
    """What a browser does with a form: the fields, and the file as the last of them. The answer's status."""
    parts = [f'--line\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in form.fields.items()]
    head = '--line\r\nContent-Disposition: form-data; name="file"; filename="f"\r\nContent-Type: video/mp4\r\n\r\n'
    body = "".join((*parts, head)).encode() + data + b"\r\n--line--\r\n"
    request = urllib.request.Request(form.address, body, {"Content-Type": "multipart/form-data; boundary=line"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(answer.status)


class TestS3:
    """What only S3 can show."""

    def test_a_bucket_that_is_missing_or_refused_is_named(self, s3: S3Storage, line: type[Line]) -> None:
        s3.check_bucket(INPUT)
        with pytest.raises(ServiceUnavailable, match="bucket no-such-bucket does not exist"):
            s3.check_bucket("no-such-bucket")
        line(s3._client).answer("HeadBucket", 403)
        with pytest.raises(ServiceUnavailable, match=f"refuses these credentials s3:HeadBucket on the bucket {INPUT}"):
            s3.check_bucket(INPUT)

    def test_a_version_is_fetched_after_it_was_replaced(self, buckets: Settings, s3: S3Storage, tmp_path: Path) -> None:
        client = clients.s3(buckets)
        client.put_bucket_versioning(Bucket=INPUT, VersioningConfiguration={"Status": "Enabled"})
        client.put_object(Bucket=INPUT, Key=KEY, Body=b"first")
        first = s3.head(INPUT, KEY)
        client.put_object(Bucket=INPUT, Key=KEY, Body=b"second")
        assert first.version_id not in ("", "null")
        version = InputVersion(version_id=first.version_id, etag=first.etag, size=5)
        s3.fetch(INPUT, KEY, version, tmp_path / "input", nothing)
        assert (tmp_path / "input").read_bytes() == b"first"
        client.delete_object(Bucket=INPUT, Key=KEY, VersionId=first.version_id)
        with pytest.raises(InputNotFound):
            s3.fetch(INPUT, KEY, version, tmp_path / "again", nothing)

    def test_an_object_replaced_while_it_is_fetched_is_noticed(
        self, buckets: Settings, s3: S3Storage, tmp_path: Path
    ) -> None:
        client = clients.s3(buckets)
        client.put_object(Bucket=INPUT, Key=KEY, Body=b"first")
        facts = s3.head(INPUT, KEY)
        replace = lambda **_: client.put_object(Bucket=INPUT, Key=KEY, Body=b"other") and None  # noqa: E731
        s3._client.meta.events.register("before-call.s3.GetObject", replace)
        with pytest.raises(InputChanged):
            s3.fetch(INPUT, KEY, InputVersion(etag=facts.etag, size=5), tmp_path / "input", nothing)
        assert not (tmp_path / "input").exists()

    def test_an_object_of_other_size_is_another(self, buckets: Settings, s3: S3Storage, tmp_path: Path) -> None:
        clients.s3(buckets).put_object(Bucket=INPUT, Key=KEY, Body=b"first")
        with pytest.raises(InputChanged):
            s3.fetch(INPUT, KEY, InputVersion(size=6), tmp_path / "input", nothing)

    def test_an_empty_object_makes_an_empty_file(self, buckets: Settings, s3: S3Storage, tmp_path: Path) -> None:
        clients.s3(buckets).put_object(Bucket=INPUT, Key=KEY, Body=b"")
        s3.fetch(INPUT, KEY, ANY, tmp_path / "input", nothing)
        assert (tmp_path / "input").read_bytes() == b""

    def test_large_files_go_and_come_in_parts(self, s3: S3Storage, tmp_path: Path) -> None:
        file, told = tmp_path / "large", list[int]()
        file.write_bytes(os.urandom(18 * MB + 1))
        upload_id, tags = s3.send_parts(OUTPUT, KEY, file, "video/mp4", told.append)
        assert len(tags) == 3
        assert sum(told) == 18 * MB + 1
        s3.complete(OUTPUT, KEY, upload_id, tags)
        back, told = tmp_path / "back", []
        s3.fetch(OUTPUT, KEY, ANY, back, told.append)
        assert back.read_bytes() == file.read_bytes()
        assert sum(told) == 18 * MB + 1

    def test_the_content_type_is_kept(self, s3: S3Storage, file: Path) -> None:
        s3.complete(OUTPUT, KEY, *s3.send_parts(OUTPUT, KEY, file, "image/jpeg", nothing))
        assert s3._client.head_object(Bucket=OUTPUT, Key=KEY)["ContentType"] == "image/jpeg"

    @pytest.mark.parametrize("retried", [True, False])
    def test_a_completion_whose_answer_is_lost_is_one(
        self, s3: S3Storage, file: Path, line: type[Line], retried: bool
    ) -> None:
        sent = s3.send_parts(OUTPUT, KEY, file, "video/mp4", nothing)
        line(s3._client).lose_answers("CompleteMultipartUpload", retried=retried)
        s3.complete(OUTPUT, KEY, *sent)
        assert s3.head(OUTPUT, KEY).size == file.stat().st_size

    def test_a_completion_that_found_its_upload_gone_looks_for_the_object(
        self, s3: S3Storage, file: Path, line: type[Line]
    ) -> None:
        sent = s3.send_parts(OUTPUT, KEY, file, "video/mp4", nothing)
        s3.complete(OUTPUT, KEY, *sent)
        gone = b"<Error><Code>NoSuchUpload</Code><Message>gone</Message></Error>"
        line(s3._client).answer("CompleteMultipartUpload", 404, gone)
        s3.complete(OUTPUT, KEY, *sent)
        with pytest.raises(ServiceUnavailable, match=r"upload of .* is gone"):
            s3.complete(OUTPUT, KEY, sent[0], [sent[1][0].replace(sent[1][0][1:9], "00000000")])

    def test_one_that_was_overtaken_between_look_and_completion_looks_again(
        self, s3: S3Storage, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """S3 checks the condition in the moment of completing; what stands there then decides."""
        older = s3.send_parts(OUTPUT, KEY, file, "video/mp4", nothing, "2025#1")
        file.write_bytes(b"newer")
        newer = s3.send_parts(OUTPUT, KEY, file, "video/mp4", nothing, "2025#2")
        look = s3._standing

        def overtaken(bucket: str, key: str) -> dict[str, object]:
            found = look(bucket, key)
            monkeypatch.setattr(s3, "_standing", look)
            assert s3.complete(OUTPUT, KEY, *newer, "2025#2")
            return found

        monkeypatch.setattr(s3, "_standing", overtaken)
        assert not s3.complete(OUTPUT, KEY, *older, "2025#1")
        assert s3.order(OUTPUT, KEY) == "2025#2"

    @pytest.mark.parametrize(("checksum", "ours"), [("rDHRtA==-2", True), ("AAAAAA==-2", False), ("rDHRtA==-1", False)])
    def test_where_etags_are_no_digests_the_checksum_proves_the_object(
        self, s3: S3Storage, line: type[Line], checksum: str, ours: bool
    ) -> None:
        gone = b"<Error><Code>NoSuchUpload</Code><Message>gone</Message></Error>"
        line(s3._client).answer("CompleteMultipartUpload", 404, gone)
        line(s3._client).answer("HeadObject", 200, etag='"of-kms-2"', x_amz_checksum_crc32=checksum)
        # CRC32 of b"first" and b"second".
        tags = ['"8b04d5e3775d298e78455efc5ca404d5" knHuVw==', '"a9f0e61a137d86aa9db53465e0801612" th8RaQ==']
        if ours:
            s3.complete(OUTPUT, KEY, "u1", tags)
        else:
            with pytest.raises(ServiceUnavailable):
                s3.complete(OUTPUT, KEY, "u1", tags)

    def test_a_refusal_to_read_is_the_inputs_error(self, s3: S3Storage, line: type[Line], tmp_path: Path) -> None:
        line(s3._client).answer("HeadObject", 403)
        with pytest.raises(InputAccessDenied, match=INPUT):
            s3.head(INPUT, KEY)

    def test_a_refusal_to_list_names_the_permission(self, s3: S3Storage, line: type[Line]) -> None:
        line(s3._client).answer("ListObjectsV2", 403, b"<Error><Code>AccessDenied</Code></Error>")
        with pytest.raises(InputAccessDenied, match=f"{INPUT} .*s3:ListBucket"):
            s3.keys(INPUT, "", 1000)

    def test_a_folder_that_may_not_be_listed_or_not_go_on_there_says_so(self, s3: S3Storage, line: type[Line]) -> None:
        sent = line(s3._client)
        sent.answer("ListObjectsV2", 403, b"<Error><Code>AccessDenied</Code></Error>")
        with pytest.raises(InputAccessDenied, match=f"{INPUT} .*s3:ListBucket"):
            s3.folder(INPUT, "", 1000)

    def test_a_wrong_cursor_of_a_folder_is_the_callers_error(self, s3: S3Storage, line: type[Line]) -> None:
        line(s3._client).answer("ListObjectsV2", 400, b"<Error><Code>InvalidArgument</Code></Error>")
        with pytest.raises(BadCursor):
            s3.folder(INPUT, "", 1000, "made up")

    def test_a_listing_that_comes_in_pieces_is_put_together(self, s3: S3Storage) -> None:
        for number in range(7):
            s3._client.put_object(Bucket=INPUT, Key=f"many/{number}", Body=b"x")

        def send_little(params: dict[str, int], **_: object) -> None:
            params["MaxKeys"] = min(params["MaxKeys"], 2)

        s3._client.meta.events.register("provide-client-params.s3.ListObjectsV2", send_little)
        assert s3.keys(INPUT, "many/", 1000) == tuple(f"many/{number}" for number in range(7))
        assert s3.keys(INPUT, "many/", 3, "many/1") == ("many/2", "many/3", "many/4")

    def test_a_refusal_to_write_names_action_and_bucket(self, s3: S3Storage, line: type[Line], file: Path) -> None:
        line(s3._client).answer("CreateMultipartUpload", 403, b"<Error><Code>AccessDenied</Code></Error>")
        with pytest.raises(ServiceUnavailable, match=f"s3:CreateMultipartUpload on the bucket {OUTPUT}"):
            s3.send_parts(OUTPUT, KEY, file, "video/mp4", nothing)

    def test_expired_credentials_are_not_the_inputs_error(
        self, buckets: Settings, s3: S3Storage, line: type[Line], tmp_path: Path
    ) -> None:
        clients.s3(buckets).put_object(Bucket=INPUT, Key=KEY, Body=b"first")
        line(s3._client).answer("GetObject", 403, b"<Error><Code>ExpiredToken</Code></Error>")
        with pytest.raises(ServiceUnavailable, match="ExpiredToken"):
            s3.fetch(INPUT, KEY, ANY, tmp_path / "input", nothing)

    def test_an_archived_object_says_what_to_do(self, buckets: Settings, s3: S3Storage, tmp_path: Path) -> None:
        clients.s3(buckets).put_object(Bucket=INPUT, Key=KEY, Body=b"cold", StorageClass="GLACIER")
        with pytest.raises(Permanent, match="restore it"):
            s3.head(INPUT, KEY)
        with pytest.raises(Permanent, match="restore it"):
            s3.fetch(INPUT, KEY, ANY, tmp_path / "input", nothing)

    def test_a_store_that_is_away_is_unavailable_and_its_address_is_not_told(self, account: Settings) -> None:
        # Port 9 is the discard port: nobody listens there.
        away = S3Storage(account.model_copy(update={"aws_endpoint_url": "http://127.0.0.1:9"}))
        away._client.meta.events.unregister("needs-retry.s3", unique_id="retry-config-s3")
        with pytest.raises(ServiceUnavailable) as caught:
            away.head(INPUT, KEY)
        assert "127.0.0.1" not in str(caught.value)

    def test_a_browser_can_send_a_file_by_the_form(self, s3: S3Storage) -> None:
        form = s3.upload_form(INPUT, KEY, "video/mp4", 1000, 900)
        status = send_form(form, b"a film")
        assert status == 204
        assert s3._client.get_object(Bucket=INPUT, Key=KEY)["Body"].read() == b"a film"

    @pytest.mark.parametrize(("largest", "taken"), [(1000, 1000), (50 * 10**9, 5 * 1024**3)])
    def test_the_form_allows_one_key_one_type_and_so_many_bytes(self, s3: S3Storage, largest: int, taken: int) -> None:
        """S3 holds a form to its policy; moto does not, so here is what the policy says."""
        form, asked = s3.upload_form(INPUT, KEY, "video/mp4", largest, 900), time.time()
        policy = json.loads(base64.b64decode(form.fields["policy"]))
        assert ["content-length-range", 1, taken] in policy["conditions"]
        for one in ({"bucket": INPUT}, {"key": KEY}, {"Content-Type": "video/mp4"}):
            assert one in policy["conditions"]
        assert seconds(policy["expiration"]) == pytest.approx(asked + 900, abs=5)
        assert form.fields["key"] == KEY
        assert form.fields["Content-Type"] == "video/mp4"

    def test_addresses_are_signed_with_version_4_and_name_the_region(self, account: Settings) -> None:
        # Tokyo: one of the old regions, for which boto3 by itself signs with version 2.
        real = S3Storage(account.model_copy(update={"aws_endpoint_url": "", "aws_region": "ap-northeast-1"}))
        address = urlsplit(real.address("with.dots", KEY, 900))
        assert address.netloc == "s3.ap-northeast-1.amazonaws.com"
        query = parse_qs(address.query)
        assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
        assert query["X-Amz-Expires"] == ["900"]
        form = real.upload_form("with.dots", KEY, "video/mp4", 1, 900)
        assert form.address == "https://s3.ap-northeast-1.amazonaws.com/with.dots"
        assert form.fields["x-amz-algorithm"] == "AWS4-HMAC-SHA256"


@pytest.mark.parametrize(
    ("size", "part"),
    [(1, 8 * MB), (4000 * MB, 8 * MB), (4000 * MB + 1, 9 * MB), (50 * 10**9, 96 * MB)],
)  # fmt: skip
def test_there_are_at_most_500_parts_of_at_least_8_mb(size: int, part: int) -> None:
    assert transfer.part_size(size) == part
    assert -(-size // part) <= 500
