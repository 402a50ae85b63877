"""How the API starts under gunicorn, each time in a process of its own: logging is set up for good there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SETTINGS = {
    "AWS_REGION": "eu-central-1",
    "INPUT_BUCKET": "videos",
    "OUTPUT_BUCKET": "renditions",
    "SQS_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/transcode",
    "DYNAMODB_TABLE": "tasks",
}


def python(code: str, folder: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run `code` with these settings and nothing else in the environment."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::ResourceWarning"} | settings
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"INPUT_BUCKET": ""}, "INPUT_BUCKET is missing"),
        ({"API_PORT": "99999"}, "API_PORT is wrong (given: '99999')"),
        ({"API_HOST": "0.0.0.0"}, "Set API_KEYS or ADMIN_PASSWORD_HASH"),
        ({"PRESETS_FILE": "nowhere.toml"}, "nowhere.toml"),
    ],
)  # fmt: skip
def test_a_bad_setting_ends_the_start_with_a_sentence(tmp_path: Path, wrong: dict[str, str], words: str) -> None:
    ended = python("import webapp.gunicorn_conf", tmp_path, **(SETTINGS | wrong))
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_gunicorn_binds_what_the_settings_say_and_opens_no_control_socket(tmp_path: Path) -> None:
    code = "import webapp.gunicorn_conf as c; print(c.bind, c.worker_class, c.control_socket_disable, c.accesslog)"
    own = {"API_HOST": "::1", "API_PORT": "9998"}
    ended = python(code, tmp_path, **SETTINGS, **own)
    assert ended.stdout.split() == ["[::1]:9998", "gthread", "True", "None"], ended.stderr


def test_gunicorn_itself_believes_nobody_about_the_scheme(tmp_path: Path) -> None:
    """It would believe every caller of this machine, whatever TRUSTED_PROXY_COUNT says."""
    code = "import webapp.gunicorn_conf as c; print(repr(c.forwarded_allow_ips))"
    ended = python(code, tmp_path, **SETTINGS, FORWARDED_ALLOW_IPS="*")
    assert ended.stdout.strip() == "''", ended.stderr


def test_the_application_over_aws_is_made_without_asking_aws(tmp_path: Path) -> None:
    code = "from webapp.wsgi import app; print(app().test_client().get('/api/transcode-types').status_code)"
    keys = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    ended = python(code, tmp_path, **SETTINGS, **keys)
    assert ended.stdout.split() == ["200"], ended.stderr
