"""The authority's files: whole or not there, also when the power is cut between two of them."""

import os
from pathlib import Path

import pytest

from hub import authority_folder
from hub.authority import facts
from hub.errors import AuthorityError
from tests.identity_peer import utc


def test_a_power_cut_between_key_and_certificate_is_made_good_by_the_next_try(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "ca"
    authority_folder.made(folder, "test", utc())
    key = (folder / "ca.key").read_bytes()
    (folder / "ca.pem").unlink()
    authority = authority_folder.made(folder, "test", utc())
    assert (folder / "ca.key").read_bytes() == key
    assert authority_folder.opened(folder).certificate == authority.certificate
    assert facts(authority.certificate).name == "test"
    assert (folder / "ca.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("missing", [(), ("ca.key",)])
def test_an_authority_is_never_replaced(tmp_path: Path, missing: tuple[str, ...]) -> None:
    """Nor one whose key was put away."""
    certificate = authority_folder.made(tmp_path, "test", utc()).certificate
    for name in missing:
        (tmp_path / name).unlink()
    with pytest.raises(AuthorityError, match="would make every node's void"):
        authority_folder.made(tmp_path, "test", utc())
    assert (tmp_path / "ca.pem").read_bytes() == certificate


def test_a_key_that_is_none_is_told_and_left(tmp_path: Path) -> None:
    (tmp_path / "ca.key").write_bytes(b"half a key")
    with pytest.raises(AuthorityError, match="not a key"):
        authority_folder.made(tmp_path, "test", utc())
    assert (tmp_path / "ca.key").read_bytes() == b"half a key"


def test_a_file_is_on_disk_before_its_name_and_its_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real fsync, with what stood in the folder at each call."""
    synced: list[tuple[bool, bool]] = []  # of the folder; the file has its name
    real, file = os.fsync, tmp_path / "crl.pem"

    def fsync(descriptor: int) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").is_dir(), file.exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    authority_folder.kept(file, b"list", 0o644)
    assert synced == [(False, False), (True, True)]
