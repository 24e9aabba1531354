"""The registry of nodes: a token is shown once and stored as a hash only."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from hub import registry
from hub.__main__ import main
from hub.errors import RegistryError


def test_a_token_is_shown_once_and_only_its_hash_is_stored(database: str) -> None:
    token = registry.add(database, "jinan", "line-1", "node-1")
    with psycopg.connect(database) as connection:
        [row] = connection.execute("SELECT * FROM node").fetchall()
    assert len(token) >= 40
    assert token not in map(str, row)
    assert registry.token_hash(token) in row


def test_two_nodes_never_share_a_name_even_in_different_plants(database: str) -> None:
    registry.add(database, "jinan", "line-1", "node-1")
    with pytest.raises(RegistryError, match="a node named node-1 exists"):
        registry.add(database, "qingdao", "line-2", "node-1")


@pytest.mark.parametrize("name", ["", "Node", "node_1", "node/1", "+", "#", "节点", "n" * 33])
def test_a_name_that_no_topic_may_hold_is_refused(name: str, database: str) -> None:
    with pytest.raises(RegistryError, match="is not a name"):
        registry.add(database, "jinan", "line-1", name)


def test_a_new_token_replaces_the_old_one_and_takes_back_a_revocation(database: str) -> None:
    old = registry.add(database, "jinan", "line-1", "node-1")
    registry.revoke(database, "node-1")
    assert registry.known(database)[0]["revoked_at"] is not None
    new = registry.renew(database, "node-1")
    assert new != old
    assert registry.known(database)[0]["revoked_at"] is None


def test_a_node_nobody_knows_cannot_be_revoked_or_renewed(database: str) -> None:
    for act in (registry.revoke, registry.renew):
        with pytest.raises(RegistryError, match="no node is named node-7"):
            act(database, "node-7")


def test_the_command_prints_the_token_alone_on_stdout(database: str, tmp_path: Path) -> None:
    config = tmp_path / "hub.toml"
    config.write_text(
        f'[database]\ndsn = "{database}"\n[broker]\nhost = "127.0.0.1"\n'
        f'[web]\npictures_dir = "{tmp_path}"\n'
    )
    command = [sys.executable, "-m", "hub", "node"]
    place = ["--config", str(config), "jinan", "line-1", "node-1"]
    done = subprocess.run([*command, "add", *place], capture_output=True, text=True, check=True)
    [token] = done.stdout.split()
    with psycopg.connect(database) as connection:
        [(kept,)] = connection.execute("SELECT token_hash FROM node").fetchall()
    assert kept == registry.token_hash(token)
    again = subprocess.run([*command, "add", *place], capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("a node named node-1 exists")


def test_a_wrong_hub_toml_is_told_without_a_traceback_and_exits_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "hub.toml"
    config.write_text('[database]\ndsn = "dbname=quanjian"\ncolour = "red"\n')
    assert main(["migrate", "--config", str(config)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "[database] colour: unknown key" in told.err
    assert "Traceback" not in told.err
