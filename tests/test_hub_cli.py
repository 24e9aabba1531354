"""quanjian-hub as people call it: exit codes, and sentences that say what to do."""

from pathlib import Path

import pytest

from hub.__main__ import main

LEAST = """
[database]
dsn = "dbname=quanjian"
[broker]
host = "127.0.0.1"
[web]
pictures_dir = "pictures"
"""


def said(capsys: pytest.CaptureFixture[str], code: int, *words: str | Path) -> str:
    """What the command says on stderr when it ends with this exit code."""
    assert main([str(word) for word in words]) == code
    return capsys.readouterr().err


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A hub.toml with nothing but what it needs."""
    file = tmp_path / "hub.toml"
    file.write_text(LEAST, encoding="utf-8")
    return file


def test_check_names_every_file_and_folder_that_cannot_be_used(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = config.parent
    (folder / "empty").touch()
    config.write_text(
        """
[database]
dsn = "dbname=quanjian passfile=/proc/nowhere/pgpass"
[broker]
host = "127.0.0.1"
username = "hub"
password_file = "nope"
ca_file = "."
[web]
pictures_dir = "/proc/nowhere"
[nodes]
host = "127.0.0.1"
ca_file = "gate/ca.pem"
certificate_file = "empty"
key_file = "gate/server.key"
[authority]
dir = "/proc/nowhere"
crl_file = "hub.toml/crl.pem"
[retention]
archive_dir = "hub.toml"
""",
        encoding="utf-8",
    )
    told = said(capsys, 1, "check", "--config", config)
    server, init = "what `quanjian-hub ca server` writes", "what `quanjian-hub ca init` makes"
    absent, writable = (
        "No such file or directory",
        "expected a folder that this user may write or make",
    )
    assert [line.strip() for line in told.splitlines()[1:]] == [
        "[database] dsn passfile /proc/nowhere/pgpass: not there; "
        "expected HOST:PORT:DATABASE:USER:PASSWORD, mode 0600",
        f"[broker] password_file {folder}/nope: not there; expected one line, mode 0600",
        f"[broker] ca_file {folder}: cannot be read: Is a directory; "
        "expected the certificate of the broker's authority, PEM",
        f"[nodes] ca_file {folder}/gate/ca.pem: not there; expected {server}",
        f"[nodes] certificate_file {folder}/empty: is empty; expected {server}",
        f"[nodes] key_file {folder}/gate/server.key: not there; expected {server}",
        f"[authority] dir /proc/nowhere/ca.key: not there; expected {init}",
        f"[authority] dir /proc/nowhere/ca.pem: not there; expected {init}",
        f"[authority] crl_file {config}/crl.pem: cannot be read: Not a directory; expected {init}",
        f"[web] pictures_dir /proc/nowhere: cannot be written: {absent}; {writable}",
        f"[retention] archive_dir {config}: cannot be written: Not a directory; {writable}",
        f"[authority] crl_file in {config}: cannot be written: Not a directory; {writable}",
    ]


def test_check_says_what_it_tried_and_leaves_nothing_behind(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(capsys, 0, "check", "--config", config)
    assert "this user can use every file and folder it names" in told
    assert "not tried: the database, the broker, and what is in the files" in told
    assert [file.name for file in config.parent.iterdir()] == ["hub.toml"]


@pytest.mark.parametrize("wrong", [".", "missing.toml"])
def test_a_hub_toml_that_cannot_be_read_is_named_with_what_to_do(
    wrong: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(capsys, 2, "migrate", "--config", config.parent / wrong)
    assert "Name the right file with --config; this user must be allowed to read it." in told


@pytest.mark.parametrize(
    "words",
    [
        "node add jinan line-1 Node_1",
        "node add Jinan line-1 node-1",
        "node token Node_1",
        "node revoke Node_1",
        "node enrol Node_1",
        "ca issue Node_1 node-1.csr",
        "ca revoke Node_1",
    ],
)
def test_a_name_that_no_topic_may_hold_is_wrong_usage(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 2
    assert "expected 1 to 32 of a-z, 0-9 and '-'" in capsys.readouterr().err


def test_ca_without_an_authority_in_hub_toml_is_wrong_settings(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(capsys, 2, "ca", "init", "--config", config)
    assert "[authority]: missing; expected dir and crl_file" in told


@pytest.fixture
def authority(config: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A hub.toml with an authority that was made."""
    with config.open("a", encoding="utf-8") as file:
        file.write('[authority]\ndir = "authority"\ncrl_file = "crl.pem"\n')
    said(capsys, 0, "ca", "init", "--config", config)
    return config


def test_a_server_s_folder_and_names_are_looked_at_first_and_told_together(
    authority: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = authority.parent / "absent"
    words = ("--out", absent, "hub.plant", "300.1.1.1", "a b", "192.168.1.10")
    told = said(capsys, 2, "ca", "server", "--config", authority, *words)
    assert [line.strip() for line in told.splitlines()] == [
        "ca server: 3 problem(s)",
        f"--out {absent}: no such folder; make it first",
        "'300.1.1.1' is neither a host name nor an address",
        "'a b' is neither a host name nor an address",
        "Correct the named options; --help says what there is.",
    ]
    told = said(capsys, 2, "ca", "server", "--config", authority, "--out", authority, "hub.plant")
    assert f"--out {authority}: no such folder; make it first" in told


def test_a_folder_that_takes_no_certificate_is_told_as_that(
    authority: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(capsys, 1, "ca", "server", "--config", authority, "--out", "/proc", "hub.plant")
    assert "/proc/server.key: cannot be written: " in told
    assert told.endswith("Name a folder that this user may write.\n")


def test_a_request_that_is_none_is_named_and_no_library_speaks(
    authority: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = authority.parent / "node-1.csr"
    words = ("ca", "issue", "--config", authority, "node-1", request)
    assert f"{request}: cannot be read: No such file or directory" in said(capsys, 2, *words)
    request.write_text("-----BEGIN CERTIFICATE REQUEST-----\nno\n", encoding="utf-8")
    told = said(capsys, 1, *words)
    assert told.startswith(f"{request}: not a certificate request in PEM\nThe node makes it: ")


def test_a_demo_of_own_pictures_names_each_file_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--data", tmp_path / "demo", "--pictures", "nope", "--model", "a", "--recipe", "b")
    assert said(capsys, 2, "demo", *words) == (
        "demo: 3 problem(s)\n  --pictures nope: no such folder\n  --model a: no such file\n"
        "  --recipe b: no such file\nCorrect the named options; --help says what there is.\n"
    )
    assert not (tmp_path / "demo").exists()
