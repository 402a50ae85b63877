"""Settings: names that users have, and a sentence for each bad one. Secrets are in no sentence."""

from pathlib import Path

import pytest

from transcode import settings
from transcode.errors import SettingsError
from transcode.settings import Settings, check_bind, load

GOOD = {
    "AWS_REGION": "ap-northeast-1", "INPUT_BUCKET": "uploads", "OUTPUT_BUCKET": "renditions",
    "SQS_QUEUE_URL": "https://sqs.ap-northeast-1.amazonaws.com/123456789012/tasks", "DYNAMODB_TABLE": "tasks",
}  # fmt: skip
SECRET = "wJalrXUtnFEMI-not-to-be-seen"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing but what a test sets."""
    for name in (*Settings.model_fields, "aws_default_region"):
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def given(monkeypatch: pytest.MonkeyPatch, **changes: str) -> Settings:
    for name, value in (GOOD | changes).items():
        monkeypatch.setenv(name, value)
    return load()


def refusal(monkeypatch: pytest.MonkeyPatch, **changes: str) -> str:
    with pytest.raises(SettingsError) as caught:
        given(monkeypatch, **changes)
    return str(caught.value)


class TestGood:
    def test_five_settings_suffice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = given(monkeypatch)
        assert found.input_bucket == ("uploads",)
        assert (found.api_host, found.api_port, found.max_concurrent_tasks) == ("127.0.0.1", 9999, 2)
        assert (found.temp_dir, found.poll_interval) == (Path("/tmp/ffmpeg_processing"), 20.0)
        assert found.default_transcode_types == ("mp4_standard", "mp4_smooth", "thumbnail")
        assert found.queue_name == "tasks"

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("20s", 20), ("5s", 5), ("1m30s", 90), ("1m", 60), ("1h", 3600), ("1500ms", 1.5), ("2.5s", 2.5)],
    )  # fmt: skip
    def test_durations_are_written_as_in_go(self, monkeypatch: pytest.MonkeyPatch, text: str, seconds: float) -> None:
        assert given(monkeypatch, POLL_INTERVAL=text).poll_interval == seconds

    @pytest.mark.parametrize(("text", "seconds"), [("5s", 5), ("20s", 20), ("1m30s", 20), ("1500ms", 1)])
    def test_a_poll_waits_twenty_seconds_at_most(
        self, monkeypatch: pytest.MonkeyPatch, text: str, seconds: int
    ) -> None:
        assert given(monkeypatch, POLL_INTERVAL=text).wait_seconds == seconds

    def test_several_input_buckets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        template = "{input_bucket}/{input_key}/{type}.{ext}"
        found = given(monkeypatch, INPUT_BUCKET="one-bucket, two.buckets,", OUTPUT_KEY_TEMPLATE=template)
        assert found.input_bucket == ("one-bucket", "two.buckets")

    def test_the_region_may_come_by_its_other_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        assert given(monkeypatch, AWS_REGION="").aws_region == "us-east-1"

    @pytest.mark.parametrize(
        ("word", "level"), [("info", "INFO"), ("debug", "DEBUG"), ("warn", "WARNING"), ("FATAL", "ERROR")]
    )
    def test_levels_in_any_case_and_in_other_words(
        self, monkeypatch: pytest.MonkeyPatch, word: str, level: str
    ) -> None:
        assert given(monkeypatch, LOG_LEVEL=word).log_level == level

    def test_an_empty_value_is_no_value(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert given(monkeypatch, API_PORT="", EVENT_QUEUE_URL="").api_port == 9999

    def test_they_can_be_keys_of_a_cache(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert {given(monkeypatch): 1}[load()] == 1


class TestFile:
    def write(self, text: str) -> None:
        Path("config.env").write_text(text, encoding="utf-8")

    def lines(self, **changes: str) -> str:
        return "".join(f"{name}={value}\n" for name, value in (GOOD | changes).items())

    def test_config_env_is_read(self) -> None:
        self.write(self.lines(API_PORT="8080"))
        assert load().api_port == 8080

    def test_the_environment_wins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.write(self.lines(API_PORT="8080"))
        monkeypatch.setenv("API_PORT", "8081")
        assert load().api_port == 8081

    def test_what_is_given_wins_over_both(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.write(self.lines(API_PORT="8080"))
        monkeypatch.setenv("API_PORT", "8081")
        assert load(api_port=8082).api_port == 8082

    def test_files_of_existing_set_ups_work(self) -> None:
        text = self.lines().replace("\n", "\r\n")
        more = "# a comment\r\nexport API_PORT=8080  # why\r\nPOLL_INTERVAL='5s'\r\nUNKNOWN_THING=1\r\n\r\n"
        self.write("\ufeff" + text + more)
        found = load()
        assert (found.api_port, found.poll_interval, found.aws_region) == (8080, 5.0, "ap-northeast-1")

    def test_a_bad_value_of_the_file_is_named(self) -> None:
        self.write(self.lines(API_PORT="99999"))
        with pytest.raises(SettingsError, match="API_PORT is wrong"):
            load()


class TestBad:
    @pytest.mark.parametrize("name", sorted(GOOD))
    def test_a_missing_one_is_named_with_what_is_wanted(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        told = refusal(monkeypatch, **{name: ""})
        assert told.startswith(f"{name} is missing: ")
        assert told.count("\n") == 0

    def test_all_are_named_at_once(self) -> None:
        with pytest.raises(SettingsError) as caught:
            load()
        lines = str(caught.value).split("\n")
        assert sorted(line.split(" ")[0] for line in lines) == sorted(GOOD)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("API_PORT", "99999"), ("API_PORT", "0"), ("API_PORT", "abc"), ("POLL_INTERVAL", "10"),
            ("POLL_INTERVAL", "-5s"), ("POLL_INTERVAL", "0s"), ("POLL_INTERVAL", "soon"), ("POLL_INTERVAL", "2h"),
            ("MAX_CONCURRENT_TASKS", "0"), ("MAX_CONCURRENT_TASKS", "1.5"), ("MAX_CONCURRENT_TASKS", "65"),
            ("SQS_QUEUE_URL", "tasks"), ("SQS_QUEUE_URL", "ftp://host/1/tasks"), ("SQS_QUEUE_URL", "https://host/tasks"),
            ("SQS_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/tasks.fifo"), ("EVENT_QUEUE_URL", "events"),
            ("INPUT_BUCKET", "s3://uploads"), ("INPUT_BUCKET", "arn:aws:s3:::uploads"), ("INPUT_BUCKET", "Uploads"),
            ("INPUT_BUCKET", "uploads/videos"), ("OUTPUT_BUCKET", "ab"), ("OUTPUT_BUCKET", "a_b"),
            ("INPUT_BUCKET", ","), ("TEMP_DIR", "scratch"), ("LOG_LEVEL", "loud"), ("LOG_FORMAT", "xml"),
            ("RECORD_RETENTION_DAYS", "0"),
            ("DYNAMODB_TABLE", "t"), ("AUTH_DISABLED", "perhaps"), ("SHUTDOWN_MODE", "now"), ("MAX_INPUT_BYTES", "1GB"),
        ],
    )  # fmt: skip
    def test_a_bad_one_is_named_with_what_was_given(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        told = refusal(monkeypatch, **{name: value})
        assert told.startswith(f"{name} is wrong")
        assert value in told
        assert "Wanted: " in told
        assert told.count("\n") == 0

    def test_a_scratch_folder_that_is_a_file_is_refused(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert "is not a folder" in refusal(monkeypatch, TEMP_DIR=str(tmp_path / "file"))

    def test_one_bucket_for_both_is_a_loop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told = refusal(monkeypatch, OUTPUT_BUCKET="uploads")
        assert told.startswith("OUTPUT_KEY_TEMPLATE: ")
        assert "literal prefix" in told

    def test_several_buckets_need_their_name_in_the_template(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "{input_bucket}" in refusal(monkeypatch, INPUT_BUCKET="one-bucket,two-bucket")


class TestSecrets:
    @pytest.mark.parametrize(
        "half", [{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE"}, {"AWS_SECRET_ACCESS_KEY": SECRET}], ids=["id", "secret"]
    )
    def test_half_a_pair_of_keys_is_refused_unseen(self, monkeypatch: pytest.MonkeyPatch, half: dict[str, str]) -> None:
        told = refusal(monkeypatch, **half)
        assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: both or neither" in told
        assert SECRET not in told

    @pytest.mark.parametrize("key", ["short-secret", "a secret with spaces in it"])
    def test_a_bad_api_key_is_not_told(self, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
        told = refusal(monkeypatch, API_KEYS=f"good-key-of-sixteen-signs,{key}")
        assert told.startswith("API_KEYS is wrong: ")
        assert key not in told
        assert "good-key" not in told

    def test_a_bad_setting_beside_secrets_tells_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told = refusal(
            monkeypatch, AWS_ACCESS_KEY_ID="AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY=SECRET, API_PORT="x",
            ADMIN_PASSWORD_HASH=SECRET, API_KEYS=SECRET,
        )  # fmt: skip
        assert SECRET not in told

    def test_printed_settings_show_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = given(
            monkeypatch, AWS_ACCESS_KEY_ID="AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY=SECRET, AWS_SESSION_TOKEN=SECRET,
            ADMIN_PASSWORD_HASH=SECRET, API_KEYS=SECRET,
        )  # fmt: skip
        assert SECRET not in f"{found!r} {found} {found.model_dump()} {found.model_dump_json()}"


class TestBind:
    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
    def test_loopback_needs_no_credentials(self, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
        check_bind(given(monkeypatch, API_HOST=host))

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "api.example.com"])
    def test_wider_without_credentials_is_refused_with_the_ways_out(
        self, monkeypatch: pytest.MonkeyPatch, host: str
    ) -> None:
        found = given(monkeypatch, API_HOST=host)
        with pytest.raises(SettingsError, match=r"API_KEYS.*ADMIN_PASSWORD_HASH.*AUTH_DISABLED.*API_HOST=127"):
            check_bind(found)

    @pytest.mark.parametrize(
        "more",
        [{"API_KEYS": "a-key-of-sixteen-or-more"}, {"ADMIN_PASSWORD_HASH": "scrypt:x"}, {"AUTH_DISABLED": "true"}],
        ids=["keys", "password", "knowingly"],
    )
    def test_wider_with_credentials_or_knowingly_passes(
        self, monkeypatch: pytest.MonkeyPatch, more: dict[str, str]
    ) -> None:
        check_bind(given(monkeypatch, API_HOST="0.0.0.0", **more))


def test_every_setting_is_described() -> None:
    assert [n for n, f in settings.Settings.model_fields.items() if not f.description] == []
