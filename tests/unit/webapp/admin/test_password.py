"""`transcode password`: what it prints lets its owner in."""

import re

from typer.testing import CliRunner
from werkzeug.security import check_password_hash

from cli.main import app


def test_it_prints_the_setting_and_never_the_password() -> None:
    done = CliRunner().invoke(app, ["password"], input="a good word\na good word\n")
    found = re.search(r"^ADMIN_PASSWORD_HASH='(scrypt:[^']+)'$", done.stdout, re.MULTILINE)
    assert found, done.stdout
    assert check_password_hash(found[1], "a good word")
    assert "a good word" not in done.output


def test_two_different_words_make_no_hash() -> None:
    done = CliRunner().invoke(app, ["password"], input="one\nanother\n")
    assert done.exit_code == 1
    assert "scrypt" not in done.output
