"""The two commands: what make runs, what the locks hold, what is said where a thing is missing."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PYTHONS = ("py310", "py311", "py312")
MACHINE = re.compile(r"(^|\s)(-|/|file:|\w+://|@)|://", re.M)
"""What would tie a lock to one machine or host: an option, a path, an address."""


def names(lock: Path) -> dict[str, str]:
    """Package -> version."""
    return dict(line.split("==", 1) for line in lock.read_text(encoding="utf-8").split())


def told(*goals: str) -> str:
    """The last command make would run."""
    command = ["make", "-n", "--no-print-directory", "-C", str(ROOT), *goals]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return " ".join(said.splitlines()[-1].split())


def tools(folder: Path, *wanted: str) -> str:
    """A PATH that holds these programs and no other."""
    folder.mkdir()
    for program in wanted:
        found = shutil.which(program)
        assert found, program
        (folder / program).symlink_to(found)
    return str(folder)


def copied(script: str, tmp_path: Path) -> Path:
    """This script in a tree of its own, beside this Python as .venv."""
    tree = tmp_path / "a tree"
    (tree / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / script, tree / ".ci" / script)
    return tree


def test_demo_passes_its_variables_on() -> None:
    asked = told("demo", "SECONDS=60", "RATE=4", "DATA=/a folder")
    assert asked.endswith('-m hub demo --seconds 60 --rate 4 --data "/a folder"')
    assert told("demo").endswith("-m hub demo")


def test_no_test_is_left_out_of_both_runs() -> None:
    assert '-m "not faults${left_out:+ and $left_out}"' in told("test")
    assert '-m "faults${left_out:+ and $left_out}" --short' in told("test-faults", "SHORT=1")
    assert "--short" not in told("test-faults")


@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_is_locked_for_every_python(python: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + extras["cpu"] + extras["hub"] + extras["demo"]
    demo = names(ROOT / "requirements" / f"demo-{python}.txt")
    test = names(ROOT / "requirements" / f"test-{python}.txt")
    for lock, direct in ((demo, wanted), (test, wanted + extras["models"] + extras["test"])):
        needed = {
            re.split(r"[\[<>=;]", line)[0].strip()
            for line in direct
            if "python_version" not in line or python == "py310"
        }
        assert needed <= lock.keys()
    assert demo.items() <= test.items(), "one environment serves both"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_host_and_no_path(lock: Path) -> None:
    assert MACHINE.search(lock.read_text(encoding="utf-8")) is None


def test_tests_of_a_missing_peer_are_left_out_by_name(tmp_path: Path) -> None:
    tree = copied("peers", tmp_path)
    (tree / ".venv").symlink_to(sys.prefix)
    (tree / "tests").mkdir()
    (tree / "tests" / "test_page.py").write_text(
        "import pytest\n@pytest.mark.needs_chromium\ndef test_page(): ...\ndef test_other(): ...\n"
    )
    path = tools(tmp_path / "bin", "sh", "dirname", "grep", "id", "sed")
    done = subprocess.run(
        [str(tree / ".ci" / "peers")],
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "not needs_chromium"
    assert "apt-get install chromium" in done.stderr
    assert "tests/test_page.py::test_page" in done.stderr
    assert "test_other" not in done.stderr


def test_without_a_fitting_python_the_command_says_which_would_do(tmp_path: Path) -> None:
    tree = copied("environment", tmp_path)
    done = subprocess.run(
        [str(tree / ".ci" / "environment"), "demo"],
        env={"PATH": tools(tmp_path / "bin", "sh", "dirname")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "No Python 3.10, 3.11 or 3.12 found" in done.stderr
    assert "PYTHON=" in done.stderr
