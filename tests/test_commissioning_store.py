"""The journal on disk, entries typed and from files, and what `check` says of a commissioning."""

import io
import os
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from edge import settings
from edge.__main__ import main
from edge.commissioning import commissioned, store
from edge.commissioning.journal import Journal, Judged, decode
from edge.commissioning.made_with import digest, hashes
from edge.commissioning.manual import Manual, contradictions
from edge.commissioning.store import FILE, Store
from edge.commissioning.terminal import Terminal
from edge.errors import LedgerError, SettingsError
from tests.commission_peer import done_before
from tests.small_line import wire
from tests.test_commissioning_rules import going, record
from tests.test_wiring_io import ALONE, BESIDE

# -- on disk ----------------------------------------------------------------------------------


def test_what_was_kept_is_there_for_the_next_process(tmp_path: Path) -> None:
    journal = Journal(records=(record("plc", "s1", "ok"),), signed=(going(),))
    with Store(tmp_path) as first:
        first.keep(journal)
    with Store(tmp_path) as second:
        assert second.journal == journal


def test_a_disk_that_fails_keeps_the_journal_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path) as held:
        held.keep(Journal(records=(record("plc", "s1", "ok"),)))
        before = (tmp_path / FILE).read_bytes()

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(LedgerError, match="No space left"):
            held.keep(Journal())
        monkeypatch.undo()
    assert (tmp_path / FILE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(f".{FILE}")] == []


def test_two_at_once_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with Store(tmp_path), pytest.raises(LedgerError, match="another commissioning has it"):
        Store(tmp_path)
    Store(tmp_path).close()


@pytest.mark.parametrize("content", [b"", b"{", b'{"v": 2}', b'{"v": 1, "extra": 0}'])
def test_a_damaged_journal_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    for _ in range(2):  # the lock is given back, too
        with pytest.raises(SettingsError, match="not a commissioning journal"):
            Store(tmp_path)
    assert (tmp_path / FILE).read_bytes() == content


# -- entries ----------------------------------------------------------------------------------

JUDGED = [
    Judged(station="s1", epoch=1, number=7, code=1),
    Judged(station="s1", epoch=2, number=7, code=1),
    Judged(station="s1", epoch=2, number=8, code=2),
    Judged(station="s2", epoch=9, number=9, code=2),
]


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (["8", "ok"], (2, 8, True, "")),
        (["8", "不合格", "划伤"], (2, 8, False, "划伤")),
        ([" 1:7 ", "NG"], (1, 7, False, "")),
        (["9", "好"], (0, 9, True, "")),  # judged at another station
    ],
)
def test_an_entry_names_its_part(cells: list[str], found: tuple[int, int, bool, str]) -> None:
    assert Manual(JUDGED, "s1").parse(cells) == found


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["8"], "要写成"),
        (["8", "ok", "划伤", "深"], "要写成"),
        (["eight", "ok"], "不是数字"),
        (["8", "maybe"], "既不是合格也不是不合格"),
        (["7", "ok"], r"计数段 \[1, 2\] 里都有"),
    ],
)
def test_an_entry_that_means_nothing_is_refused(cells: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Manual(JUDGED, "s1").parse(cells)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_csv_is_read_as_spreadsheets_write_it(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "found.csv"
    path.write_text("编号,结论,缺陷\r\n8,不合格,划伤\r\n\r\n1:7,合格,\r\n", encoding=encoding)
    assert Manual(JUDGED, "s1").from_csv(path) == [(2, 8, False, "划伤"), (1, 7, True, "")]


def test_every_wrong_line_of_a_csv_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "found.csv"
    path.write_text("8,ok\n8,ng\nx1,ok\n7,ok\n", encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        Manual(JUDGED, "s1").from_csv(path)
    assert [problem.split("：")[0] for problem in refused.value.problems] == [
        "第 3 行",
        "第 4 行",
        "编号 8 又合格又不合格",
    ]


@pytest.mark.parametrize("content", [b"\xff\xff\xff", None])
def test_a_csv_that_cannot_be_read_is_a_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "found.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"found\.csv"):
        Manual(JUDGED, "s1").from_csv(path)


def test_the_same_judgement_twice_is_no_contradiction() -> None:
    assert contradictions([(1, 7, True, ""), (1, 7, True, ""), (2, 7, False, "")]) == []


def test_a_line_typed_wrong_is_asked_again() -> None:
    talk = io.StringIO()
    terminal = Terminal(talk, io.StringIO("8 ng 划伤 深\n7 ok\n1:7，好\n\n8 ok\n"))
    found = Manual(JUDGED, "s1").typed(terminal)
    assert found == [(2, 8, False, "划伤 深"), (1, 7, True, "")]
    assert "没有记：编号 7 在计数段" in talk.getvalue()


# -- the terminal -----------------------------------------------------------------------------


def test_nobody_there_is_never_yes() -> None:
    terminal = Terminal(io.StringIO(), io.StringIO("y\n是\nn\n\n"))
    assert [terminal.confirms("?") for _ in range(5)] == [True, True, False, False, False]
    assert terminal.ended


# -- what it was made with --------------------------------------------------------------------


def test_pages_hub_and_keys_at_their_default_do_not_change_the_wiring(tmp_path: Path) -> None:
    before = hashes(wire(tmp_path, [False]))
    path = tmp_path / "edge.toml"
    text = path.read_text(encoding="utf-8")
    same = text.replace("unit = 1", "").replace("port = 0", "port = 8099")
    same = same.replace('name = "b1"', 'name = "b1"\nbaudrate = 115200')
    path.write_text(same + '\n[hub]\nbroker_host = "h"\n', encoding="utf-8")
    assert hashes(settings.read(path)) == before
    other = same.replace("baudrate = 115200", "baudrate = 9600")
    path.write_text(other, encoding="utf-8")
    after = hashes(settings.read(path))
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {"plc s1", "wiring"}
    path.write_text(same.replace('kind = "folder"', 'kind = "folder"\nmm_per_px = 0.5'), "utf-8")
    after = hashes(settings.read(path))
    assert {key for key in before if before[key] != after[key]} == {"scale c1", "wiring"}


@pytest.mark.parametrize("wired", [ALONE, BESIDE])
@pytest.mark.parametrize(
    ("key", "other"), [('ok = "0"', 'ok = "5"'), ('ok = "0"', 'ok = "0"\nok_delay_ms = 450')]
)
def test_another_wire_or_window_of_the_verdict_changes_the_wiring(
    tmp_path: Path, wired: str, key: str, other: str
) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(wired, encoding="utf-8")
    before = hashes(settings.read(path))
    path.write_text(wired.replace(key, other), encoding="utf-8")
    after = hashes(settings.read(path))
    assert {name for name in before if before[name] != after[name]} == {"plc s1", "wiring"}


def test_a_key_that_a_newer_version_brings_changes_nothing_until_it_is_used() -> None:
    newer = msgspec.defstruct(
        "newer", [("colour", str, "red")], bases=(settings.Bus,), kw_only=True
    )
    bus = settings.Bus(name="b1", port="/dev/ttyUSB0", baudrate=9600)
    same = newer(name="b1", port="/dev/ttyUSB0", baudrate=9600)
    assert digest([same]) == digest([bus])
    assert digest([newer(name="b1", port="/dev/ttyUSB0", baudrate=9600, colour="x")]) != digest(
        [bus]
    )


# -- going live and check ---------------------------------------------------------------------


def pinned(folder: Path) -> Path:
    """A wired node with pins, everything done but the signing."""
    wiring = wire(folder, [False])
    found = hashes(wiring)
    path = folder / "edge.toml"
    text = path.read_text(encoding="utf-8")
    pins = f'sha256 = "{found["recipe 1"]}"\nmodel_sha256 = "{found["model 1"]}"'
    path.write_text(text.replace("number = 1", f"number = 1\n{pins}"), encoding="utf-8")
    done_before(folder, "sign")
    return path


SIGN = ["commission", "--step", "sign", "--who", "王强", "--json"]
NAMES = ["--first", "王强:工艺", "--second", "李娜：质量"]


def test_two_persons_sign_and_the_page_can_be_filed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = pinned(tmp_path)
    assert main([*SIGN, *NAMES, "--config", str(path)]) == 0
    capsys.readouterr()
    assert main(["commission", "report", "--config", str(path)]) == 0
    page = capsys.readouterr().out
    journal = store.read(tmp_path / "data")
    assert journal is not None
    for words in ("# 验收记录：test / line-1 / node-1", "王强（工艺）", "李娜（质量）", "PLC 心跳",
                  "它不是任何认证", journal.signed[0].sha256, "模型 1：`"):  # fmt: skip
        assert words in page
    (filed,) = (tmp_path / "data" / "commissioning").glob("验收记录-*.md")
    assert filed.read_text(encoding="utf-8") == page


def test_check_says_when_by_whom_and_what_has_changed_since(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = pinned(tmp_path)
    assert commissioned.lines(settings.read(path)) == [
        "NOTE   commissioned: never; `quanjian-edge commission` leads through it"
    ]
    assert main([*SIGN, *NAMES, "--config", str(path)]) == 0
    model = hashes(settings.read(path))["model 1"]
    main(["check", "--unsigned", "--config", str(path)])
    told = capsys.readouterr().out
    assert "by 王强 (工艺) and 李娜 (质量); recipe 1 sha256 " in told
    assert f"model 1 sha256 {model}" in told
    assert "WARN   commissioned" not in told
    recipe = tmp_path / "squares.toml"
    recipe.write_text(recipe.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("deadline_ms = 3000", "deadline_ms = 2950"), encoding="utf-8")
    warnings = [line for line in commissioned.lines(settings.read(path)) if "WARN" in line]
    assert [line.split(":")[1].split(" is")[0].strip() for line in warnings] == [
        "wiring",
        "recipe 1",
    ]


def test_check_says_that_a_record_was_changed(tmp_path: Path) -> None:
    path = pinned(tmp_path)
    assert main([*SIGN, *NAMES, "--config", str(path)]) == 0
    file = tmp_path / "data" / FILE
    journal = decode(file.read_bytes())
    forged = replace(journal.signed[0], at_ms=0)
    with Store(tmp_path / "data") as held:
        held.keep(replace(journal, signed=(forged,)))
    assert any("not what was signed" in line for line in commissioned.lines(settings.read(path)))
    file.write_bytes(b"{")
    assert "not a commissioning journal" in commissioned.lines(settings.read(path))[0]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["--first", "王强:工艺", "--second", "王 强:质量"], "两个不同的人签字"),
        (["--first", "王强:工艺"], "expected both or none"),
        (["--first", "王强", "--second", "李娜:质量"], "expected NAME:ROLE"),
    ],
)
def test_who_may_not_sign_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: list[str], words: str
) -> None:
    path = pinned(tmp_path)
    assert main([*SIGN, *names, "--config", str(path)]) != 0
    assert words in capsys.readouterr().err
    journal = store.read(tmp_path / "data")
    assert journal is not None
    assert journal.signed == ()


def test_nothing_unpinned_and_nothing_untried_goes_live(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wire(tmp_path, [False])
    path = str(tmp_path / "edge.toml")
    done_before(tmp_path, "manual")
    assert main([*SIGN, *NAMES, "--config", path]) == 1
    assert "“人工比对”（s1）还没有做" in capsys.readouterr().err
    done_before(tmp_path, "sign")
    assert main([*SIGN, *NAMES, "--config", path]) == 1
    assert "还没有锁定 配方 1、模型 1 的 sha256" in capsys.readouterr().err


def test_a_page_that_nobody_signed_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wire(tmp_path, [False])
    assert main(["commission", "report", "--config", str(tmp_path / "edge.toml")]) == 1
    assert "还没有签过字" in capsys.readouterr().err
