"""The node's own page says everything in Chinese: edge/page/page.js against the words of the code.

Tables of the script are `const NAME = { word: "文", ... };`.
"""

import re
from importlib import resources
from pathlib import Path
from typing import get_args

import pytest

from edge.alerts import AlertCode
from edge.eye import Look
from edge.mqtt.message import FaultWord, StateWord
from edge.standing import Fault, Standing
from edge.station import StationPage
from edge.terms import Code, Mode, Reason, Verdict
from hub.web.words import WORDS
from tests.chromium_peer import Chromium
from tests.serial_peers import until
from tests.test_station import undecided

EDGE = Path(__file__).parent.parent / "edge"
SCRIPT = resources.files("edge").joinpath("page", "page.js").read_text(encoding="utf-8")
CHINESE = re.compile("[\u4e00-\u9fff]")


def table(name: str) -> dict[str, str]:
    """A table of the script: its words, and the first text of each."""
    found = re.search(rf"^const {name} = \{{(.*?)\}};", SCRIPT, re.S | re.M)
    assert found
    pairs = re.findall(r'(?:(\w+)|"([^"]+)"): \[?"([^"]+)"', found[1])
    return {word or quoted: text for word, quoted, text in pairs}


def image_faults() -> set[str]:
    """What a picture can be, by the code: the words before the colon, and sentences without."""
    quality = (EDGE / "vision" / "quality.py").read_text(encoding="utf-8")
    words = set(re.findall(r'^ +(?:return \(?\s*)?f?"([a-z8][a-z8 -]+): ', quality, re.M))
    assert {"frozen", "dark", "moved"} <= words
    eye = (EDGE / "eye.py").read_text(encoding="utf-8")
    return words | set(re.findall(r'Reason\.BAD_IMAGE, "([^"]+)"', eye))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("STATES", set(get_args(StateWord))),
        ("MODES", {mode.value for mode in Mode}),
        ("VERDICTS", {str(int(code)) for code in Code} - {"0"}),
        ("REASONS", {reason.value for reason in Reason}),
        ("ALERTS", {code.value for code in AlertCode}),
        ("FAULTS", set(get_args(FaultWord))),
        ("BAD_IMAGE", image_faults()),
    ],
)
def test_every_word_of_the_code_has_its_chinese_text(name: str, words: set[str]) -> None:
    texts = table(name)
    assert set(texts) == words
    assert [text for text in texts.values() if not CHINESE.search(text)] == []


def test_the_page_and_the_hub_call_a_fault_by_one_name() -> None:
    assert table("FAULTS") == {word: WORDS[f"fault.{word}"][0] for word in get_args(FaultWord)}


def test_the_operators_page_says_what_to_do_about_each_fault() -> None:
    manual = (EDGE.parent / "docs" / "operator.zh-CN.md").read_text(encoding="utf-8")
    assert [text for text in table("FAULTS").values() if f"| {text}" not in manual] == []


@pytest.mark.needs_chromium
def test_what_a_person_reads_on_the_page_is_chinese(chromium: Chromium) -> None:
    standing = Standing("s1", (), {}, ())
    page = StationPage("127.0.0.1", 0, "node-1", [standing], lambda: (False, 7))
    page.start()
    try:
        chromium.open(page.url)
        for word in get_args(FaultWord):
            standing._fault = Fault(word, "c1: no pictures", "c1")
            said = f"{table('FAULTS')[word]}（c1）"
            until(lambda said=said: said in shown(chromium), within_s=10)  # type: ignore[misc]
        for code in AlertCode:
            standing.hold(code, True, "some detail")
        look = Look("c1", Verdict(Code.UNDECIDED, Reason.BAD_IMAGE), fault="frozen: the same")
        standing.saw(undecided(12), (look,))
        until(lambda: "画面冻结" in shown(chromium), within_s=10)
        words = set(re.findall("[A-Za-z][A-Za-z0-9-]+", shown(chromium)))
        assert words <= {"PLC", "node-1", "s1", "c1"}
    finally:
        page.close()


def shown(chromium: Chromium) -> str:
    """Everything that can be read on the page."""
    return str(chromium.value("document.body.innerText"))
