"""How values are written, in which language; and that the catalogue is whole."""

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo

import webapp
from tests.unit.webapp.admin.conftest import Visitor, add
from tests.unit.webapp.conftest import Bench
from webapp.admin import words

ROOT = Path(webapp.__file__).parent
LANGUAGES = {"en": "Dashboard", "zh-CN": "仪表盘"}


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"), ("en-GB,en;q=0.9", "en"), ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"), ("zh", "zh-CN"), ("zh-TW", "zh-CN"),
        ("fr,zh;q=0.5", "zh-CN"), ("de", "en"),
    ],
)  # fmt: skip
def test_the_language_is_the_browsers(visitor: Visitor, header: str, language: str) -> None:
    page = visitor.get("", Accept_Language=header).text
    assert f'<html lang="{language}">' in page
    assert f"<h1>{LANGUAGES[language]}</h1>" in page


def test_the_switch_wins_and_stays_and_leads_back(visitor: Visitor) -> None:
    answer = visitor.post("/language", language="zh_Hans_CN", next="/admin/queue?x=1")
    assert answer.headers["Location"] == "/admin/queue?x=1"
    assert '<html lang="zh-CN">' in visitor.get("", Accept_Language="en").text
    visitor.post("/language", language="en")
    assert '<html lang="en">' in visitor.get("", Accept_Language="zh").text
    visitor.post("/language", language="klingon")
    assert '<html lang="en">' in visitor.get("", Accept_Language="zh").text


def test_a_stranger_may_choose_the_language_too(stranger: Visitor) -> None:
    stranger.post("/language", language="zh_Hans_CN")
    assert "登录" in stranger.get("/sign-in").text


@pytest.mark.parametrize("path", ["", "/tasks", "/queue", "/add", "/workers"])
def test_no_page_in_chinese_is_half_english(visitor: Visitor, bench: Bench, path: str) -> None:
    add(bench)
    page = visitor.get(path, Accept_Language="zh").text
    headings = re.findall(r"<(?:h1|h2|th|legend|button|dt)[^>]*>([^<]+)<", page)
    assert headings
    assert [found for found in headings if not re.search(r"[\u4e00-\u9fff]", found)] in ([], ["English"])


def test_the_chinese_catalogue_has_every_text() -> None:
    methods = [("admin/**.py", "python"), ("templates/admin/**.html", "jinja2")]
    keywords = {"_": None, "gettext": None, "lazy": None, "lazy_gettext": None, "ngettext": (1, 2)}
    wanted = {
        found[2][0] if isinstance(found[2], tuple) else found[2]
        for found in extract_from_dir(str(ROOT), methods, keywords=keywords)
    }
    # English needs none: the texts are English, and an empty entry means the text itself.
    with (ROOT / "translations" / "zh_Hans_CN" / "LC_MESSAGES" / "messages.mo").open("rb") as file:
        catalogue = read_mo(file)
    assert len(wanted) > 150
    assert [text for text in sorted(wanted) if not (catalogue.get(text) and catalogue[text].string)] == []


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (words.size(0), "0 B"), (words.size(999), "999 B"), (words.size(1000), "1 kB"), (words.size(999_999), "1 MB"),
        (words.size(2_540_000), "2.5 MB"), (words.size(5e12), "5 TB"), (words.rate(800_000), "800 kb/s"),
        (words.span(4.24), "4.2 s"), (words.span(185), "3:05"), (words.span(3723), "1:02:03"),
        (words.share(1, 0), "–"), (words.share(1, 3), "33%"), (words.between("", "x"), "–"), (str(words.time("")), "–"),
        (str(words.time("2025-01-15T10:00:00.000000Z")),
         '<time datetime="2025-01-15T10:00:00.000000Z">2025-01-15 10:00 UTC</time>'),
        (words.fact("hdr", ""), "–"), (words.fact("fps", 29.97), "29.97"),
    ],
)  # fmt: skip
def test_values_are_written_for_people(written: str, wanted: str) -> None:
    assert written == wanted
