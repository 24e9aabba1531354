"""The pages in a real browser: they fit, they are readable from afar, and boards stay alive."""

import hashlib
import re
import time
from pathlib import Path

import pytest

from edge.mqtt.message import EpochRow, View
from edge.terms import Code
from hub.web.page import FOLDER
from tests.chromium_peer import Chromium
from tests.played_hub import PlayedHub, now_ms, served
from tests.played_shift import part, stamp

pytestmark = pytest.mark.needs_chromium

PAGES = ("/", "/line/licheng/plate-1", "/line/licheng/plate-2", "/parts?verdict=not_ok", "/kpi")
BOARD = "/line/licheng/plate-1"
WALL, PHONE = (1920, 1080), (390, 844)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_a_wall_screen_and_a_phone_and_asks_nobody_else(
    played_hub: PlayedHub, chromium: Chromium, path: str
) -> None:
    chromium.requested.clear()
    chromium.complaints.clear()
    for (width, height), phone in ((WALL, False), (PHONE, True)):
        for dark in (False, True):
            chromium.look_like(width, height, dark=dark, phone=phone)
            chromium.open(played_hub.address + path)
            assert chromium.value("document.documentElement.scrollWidth") <= width
    assert chromium.complaints == []
    own = (played_hub.address, "data:")  # data: are the browser's own icons in form fields
    assert [asked for asked in chromium.requested if not asked.startswith(own)] == []


def test_the_board_shows_everything_at_once_on_a_wall_screen(
    played_hub: PlayedHub, chromium: Chromium
) -> None:
    chromium.look_like(*WALL)
    chromium.open(played_hub.address + BOARD)
    assert chromium.value("document.documentElement.scrollHeight") == WALL[1]
    for block in ("state", "counts", "last", "alerts", "trend", "laws"):
        card = f"document.querySelector('[data-block={block}] > .card')"
        assert chromium.value(f"{card}.getBoundingClientRect().bottom") <= WALL[1]
        if block != "alerts":  # a long list of alerts may be cut below its newest
            assert chromium.value(f"{card}.scrollHeight - {card}.clientHeight") <= 1


@pytest.mark.parametrize(
    ("what", "least_px"),
    [
        (".state .now", 72),
        (".state .mode", 32),
        (".counts .count", 48),
        (".counts .label", 24),
        (".last .reason", 40),
        (".alerts b", 22),
        (".law .judged", 24),
        (".law .term b", 26),
        (".clock", 28),
    ],
)
def test_what_matters_is_readable_at_three_metres(
    played_hub: PlayedHub, chromium: Chromium, what: str, least_px: int
) -> None:
    """30 px are 15 mm on a 43-inch wall screen, the height that reads at 3 m (distance / 200)."""
    chromium.look_like(*WALL)
    chromium.open(played_hub.address + BOARD)
    size = chromium.value(
        f"parseFloat(getComputedStyle(document.querySelector('{what}')).fontSize)"
    )
    assert size >= least_px


def test_the_last_part_is_drawn_with_its_box_and_a_close_up(
    played_hub: PlayedHub, chromium: Chromium
) -> None:
    chromium.look_like(*WALL)
    chromium.open(played_hub.address + BOARD)
    drawn = "document.querySelectorAll('.last .frame svg image')"
    assert chromium.value(f"{drawn}.length") == 2
    for at in range(2):
        address = chromium.value(f"{drawn}[{at}].getAttribute('href')")
        assert hashlib.sha256(played_hub.get(address).content).hexdigest() in address
        box = f"{drawn}[{at}].closest('svg').querySelector('.box rect').getBoundingClientRect()"
        frame = f"{drawn}[{at}].closest('.frame').getBoundingClientRect()"
        assert chromium.value(f"{box}.left >= {frame}.left && {box}.right <= {frame}.right")
        assert chromium.value(f"{box}.top >= {frame}.top && {box}.bottom <= {frame}.bottom")
    assert chromium.value("document.querySelectorAll('.last .frame text').length") >= 1


def test_a_new_part_appears_on_an_open_board_by_itself(
    played_hub: PlayedHub, chromium: Chromium
) -> None:
    node = played_hub.new_node("c-live")
    chromium.open(played_hub.address + "/line/licheng/c-live")
    chromium.until("document.body.innerText.includes('还没有非合格件')")
    view = View(camera="c", code=Code.NG, width=64, height=48)
    start = EpochRow(
        **stamp("s", now_ms()), base=0, plc_start=1, cause="first_contact", counted_by="plc"
    )
    node.send(start, part("s", 1, now_ms(), Code.NG, defect="scratch", views=(view,)))
    chromium.until("document.querySelector('.last').innerText.includes('划伤')")
    chromium.until("/刚刚|秒前/.test(document.querySelector('.last time').textContent)")


def test_a_board_tells_when_the_hub_is_gone_and_goes_on_when_it_is_back(
    database: str, tmp_path: Path, chromium: Chromium
) -> None:
    with served(database, tmp_path) as (address, _, store, _):
        store.rows("node_added", node="n", plant="p", line="l", token_hash="h")
        chromium.open(address + "/line/p/l")
        chromium.until("document.getElementById('link').textContent === '实时'")
        assert not chromium.value("document.querySelector('#link.down')")
    gone_s = time.monotonic()
    chromium.until("document.querySelector('#link.down')")
    assert time.monotonic() - gone_s < 10, "the browser knows at once; silence is told after 15 s"
    assert "连接中断" in chromium.value("document.getElementById('link').textContent")
    with served(database, tmp_path, int(address.rsplit(":", 1)[1])):
        chromium.until("!document.querySelector('#link.down')")
        chromium.until("document.getElementById('link').textContent === '实时'")


def test_the_language_switch_keeps_the_question(played_hub: PlayedHub, chromium: Chromium) -> None:
    chromium.look_like(*WALL)
    chromium.open(played_hub.address + "/parts?verdict=ng&defect=pit")
    chromium.value("document.querySelector('.other').click()")
    chromium.until("document.documentElement.lang === 'en' && document.readyState === 'complete'")
    assert chromium.value("document.querySelector('select[name=defect]').value") == "pit"
    assert chromium.value("document.querySelector('select[name=verdict]').value") == "ng"
    chromium.open(played_hub.address + "/?lang=zh")


# the style sheet


def tokens(dark: bool) -> dict[str, str]:
    """The colours of the style sheet, by token."""
    text = (FOLDER / "static" / "quanjian.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    merged = blocks[0] + (blocks[1] if dark else "")
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", merged))


def luminance(colour: str) -> float:
    """WCAG 2.2 relative luminance of #rrggbb."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        *((ink, ground) for ink in ("ink", "soft") for ground in ("ground", "card", "sunk")),
        *((ink, "sunk") for ink in ("ok", "ng", "undecided", "missed", "bypassed")),
        *((ink, f"{ink}-wash") for ink in ("ok", "ng", "undecided", "missed", "bypassed")),
        ("alarm-ink", "alarm"),
        ("caution-ink", "caution"),
        ("link", "card"),
    ],
)
def test_text_stands_out_from_its_ground(ink: str, ground: str, dark: bool) -> None:
    """WCAG 2.2 AA: at least 4.5 : 1."""
    found = tokens(dark)
    lighter, darker = sorted((luminance(found[ink]), luminance(found[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
