"""hub.toml: every mistake at once, each with section, key and what was expected."""

from pathlib import Path

import pytest

from hub.errors import SettingsError
from hub.settings import read

GOOD = """
[database]
dsn = "host=/run/postgresql dbname=quanjian passfile=/etc/quanjian/pgpass"

[broker]
host = "127.0.0.1"

[web]
pictures_dir = "/var/lib/quanjian/pictures"
"""


def problems_of(text: str, folder: Path) -> list[str]:
    config = folder / "hub.toml"
    config.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        read(config)
    assert str(caught.value).startswith(f"{config}: {len(caught.value.problems)} problem(s)")
    return sorted(caught.value.problems)


def test_the_least_file_is_enough_and_has_safe_defaults(tmp_path: Path) -> None:
    config = tmp_path / "hub.toml"
    config.write_text(GOOD)
    settings = read(config)
    assert (settings.web.host, settings.web.port) == ("127.0.0.1", 8080)
    assert settings.timezone == "Asia/Shanghai"
    assert settings.shifts == ("08:00", "20:00")
    assert settings.broker.shared


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    text = """
shifts = ["08:00", "25:00"]
[database]
dsn = 5
[broker]
host = "127.0.0.1"
port = 70000
prot = 1883
[web]
host = "0.0.0.0"
[duties]
check_rows = 0
[retention]
rows_days = 179
logs_days = 179
"""
    assert problems_of(text, tmp_path) == [
        "[broker] port: got 70000, expected a whole number from 1 to 65535",
        "[broker] prot: unknown key",
        "[database] dsn: got 5, expected text, at least 1 of them",
        "[duties] check_rows: got 0, expected a whole number from 1 to 100000",
        "[retention] logs_days: got 179, expected a whole number from 180 to 36500",
        "[retention] rows_days: got 179, expected a whole number from 180 to 36500",
        "[web] host: got '0.0.0.0', expected one of '127.0.0.1', '::1', 'localhost'",
        "[web] pictures_dir: missing; expected text",
        "shifts: got ['08:00', '25:00'], expected a list of text matching "
        "^([01][0-9]|2[0-3]):[0-5][0-9]$, at least 1 of them",
    ]


def test_a_host_that_no_name_leads_to_is_a_mistake(tmp_path: Path) -> None:
    text = GOOD.replace('host = "127.0.0.1"', 'host = "broker..lan"')
    assert problems_of(text, tmp_path) == [
        "[broker] host: got 'broker..lan', expected a host name or an IP address"
    ]


def test_keys_that_do_not_go_together_are_reported_at_once_too(tmp_path: Path) -> None:
    text = """
timezone = "Asia/Jinan"
shifts = ["08:00", "08:00"]
[database]
dsn = "dbname=quanjian password = secret"
[broker]
host = "broker"
username = "hub"
certificate_file = "hub.crt"
[web]
pictures_dir = "pictures"
"""
    assert problems_of(text, tmp_path) == [
        "[broker] ca_file: missing; expected text, as a certificate needs it",
        "[broker] certificate_file, key_file: give both or neither",
        "[broker] username, password_file: give both or neither",
        "[database] dsn: holds a password; write passfile=FILE and put the password there",
        "shifts: '08:00' is given twice",
        "timezone: got 'Asia/Jinan', expected a name such as 'Asia/Shanghai'",
    ]


def test_a_file_that_is_missing_or_no_toml_is_one_sentence(tmp_path: Path) -> None:
    [problem] = problems_of("[database\n", tmp_path)
    assert problem.startswith("is not TOML: ")
    with pytest.raises(SettingsError, match="cannot be read: "):
        read(tmp_path / "nowhere.toml")


def test_relative_files_are_taken_from_the_folder_of_the_file(tmp_path: Path) -> None:
    config = tmp_path / "hub.toml"
    config.write_text(
        GOOD.replace("/var/lib/quanjian/pictures", "pictures")
        + '[retention]\narchive_dir = "archive"\n'
    )
    settings = read(config)
    assert settings.web.pictures_dir == str(tmp_path / "pictures")
    assert settings.retention.archive_dir == str(tmp_path / "archive")
