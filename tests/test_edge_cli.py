"""The node's command line: exit codes, sentences, and what `check` finds."""

import subprocess
import sys
from pathlib import Path

import pytest

from edge.__main__ import main
from tests.light_peer import PlayedController
from tests.serial_peers import until
from tests.small_line import SimulatedPlc, wire


def test_every_mistake_in_the_settings_is_told_at_once_with_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "edge.toml"
    path.write_text('[node]\nplant = "X"\ncolour = 1\n', encoding="utf-8")
    assert main(["check", "--config", str(path)]) == 2
    told = capsys.readouterr().err
    for word in ("[node] plant", "[node] colour: unknown key", "[node] line: missing", "station:"):
        assert word in told


def test_check_names_each_device_that_does_not_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wire(tmp_path, [])
    with (tmp_path / "edge.toml").open("a", encoding="utf-8") as file:
        file.write('\n[hub]\nbroker_host = "127.0.0.1"\nbroker_port = 1\ntoken_file = "none"\n')
    assert main(["check", "--config", str(tmp_path / "edge.toml")]) == 1
    lines = capsys.readouterr().out.splitlines()
    faults = [line.split(":")[0].removeprefix("FAULT").strip() for line in lines if "FAULT" in line]
    assert faults == ["recipe 1", "camera c1", "bus b1", "station s1", "broker", "token"]
    assert any("not pinned; its sha256 is" in line for line in lines)


def test_check_tells_a_recipe_that_is_not_there_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wire(tmp_path, [False])
    edge = tmp_path / "edge.toml"
    text = edge.read_text(encoding="utf-8").replace("speed_mm_s = 0", "speed_mm_s = 100")
    text += '\n[[recipe]]\nnumber = 2\npath = "gone.toml"\nmodel = "tiny.onnx"\n'
    edge.write_text(text, encoding="utf-8")
    assert main(["check", "--unsigned", "--config", str(edge)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if "gone.toml" in line] == ["FAULT  recipe 2"]


def test_check_sets_each_camera_to_what_the_recipes_ask_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wire(tmp_path, [False])
    recipe = tmp_path / "squares.toml"
    text = recipe.read_text(encoding="utf-8")
    (tmp_path / "other.toml").write_text(text, encoding="utf-8")
    asking = text.replace('camera = "c1"', 'camera = "c1"\nexposure_us = 500.0')
    recipe.write_text(asking, encoding="utf-8")
    with (tmp_path / "edge.toml").open("a", encoding="utf-8") as file:
        file.write('\n[[recipe]]\nnumber = 2\npath = "other.toml"\nmodel = "tiny.onnx"\n')
    assert main(["check", "--unsigned", "--config", str(tmp_path / "edge.toml")]) == 1
    told = capsys.readouterr().out
    assert "FAULT  recipes together: " in told
    assert "[[view]] c1: exposure_us missing; recipe 1 of this node sets it" in told
    assert "[[view]] exposure_us: a folder camera cannot be set so" in told


def test_check_is_content_with_a_line_that_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wire(tmp_path, [False])
    plc = SimulatedPlc(tmp_path, parts=1, rate=1)
    until((tmp_path / "plc").exists, within_s=30)
    code = main(["check", "--unsigned", "--config", str(tmp_path / "edge.toml")])
    plc.process.kill()
    plc.process.wait(10)
    assert "FAULT" not in capsys.readouterr().out
    assert code == 0


def test_check_reads_every_channel_of_a_light_controller(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wire(tmp_path, [False])
    with PlayedController(channels=2) as light:
        light.brightness[2] = 130
        with (tmp_path / "edge.toml").open("a", encoding="utf-8") as file:
            file.write('[[light]]\nname = "l1"\nprotocol = "ascii"\nchannels = 2\n')
            file.write(f'port = "{light.port}"\ncameras = ["c1"]\n')
            file.write('[[light]]\nname = "l2"\nprotocol = "modbus"\nport = "/dev/no-such"\n')
            file.write('cameras = ["c2"]\n[[camera]]\nname = "c2"\nkind = "csi"\n')
            file.write('source = "x"\ndelay_ms = 9\n')
        main(["check", "--unsigned", "--config", str(tmp_path / "edge.toml")])
    told = capsys.readouterr().out
    assert "OK     light l1: channels 1 to 2 at /dev/pts/" in told
    assert ": 0, 130\n" in told
    assert "FAULT  light l2: bus of light l2: /dev/no-such cannot be opened" in told
    assert "FAULT  camera c2: x: a csi camera has a number as its source" in told


@pytest.mark.parametrize("command", ["run", "check", "inspect", "simulate"])
def test_every_command_has_help_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert f"quanjian-edge {command}" in capsys.readouterr().out


def test_an_unknown_command_is_wrong_usage() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge", "fly"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


PLATE = "models/base/plate.toml"
OPTIONS = "Correct the named options; --help says what there is.\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("tune --model m.onnx --rounds 0", "--rounds: got 0, expected 1 or more"),
        ("tune --model m.onnx --rounds -4", "--rounds: got -4, expected 1 or more"),
        ("check --seconds 5", "--seconds: means something only with --measure"),
        (
            "simulate --camera none --port plc --seconds -1",
            "--seconds: expected above 0, got -1.0",
        ),
        ("simulate --camera none --port plc --program no.st", "--program no.st: cannot be read"),
        (
            "simulate --camera none --port plc --truth /proc/no/x",
            "--truth /proc/no/x: cannot be",
        ),
        ("simulate --camera none --port plc --state /proc/no/x", "/proc/no/x: 1 problem(s)\n"),
    ],
)
def test_a_wrong_option_is_exit_2_and_a_sentence_about_options(
    words: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.endswith(OPTIONS)


@pytest.mark.parametrize("words", ["recipe explain no.toml a.png", "replay . --recipe no.toml"])
def test_a_recipe_that_is_not_there_is_named_with_what_to_do(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    told = capsys.readouterr().err
    assert told.startswith("no.toml: 1 problem(s)\n  cannot be read: ")
    assert "Name the right file; `quanjian-edge recipe check FILE` lists its mistakes.\n" in told


@pytest.mark.parametrize("words", [f"recipe explain {PLATE} a.png", f"replay . --recipe {PLATE}"])
def test_a_recipe_without_its_model_is_exit_2_in_every_command(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    assert "no model; only a recipe with [spots]" in capsys.readouterr().err


def test_enrol_tells_every_wrong_option_before_it_asks_the_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wire(tmp_path, [])
    edge, token = tmp_path / "edge.toml", tmp_path / "token"
    with edge.open("a", encoding="utf-8") as file:
        file.write('\n[hub]\nbroker_host = "127.0.0.1"\nbroker_port = 1\ntoken_file = "none"\n')
        file.write('ca_file = "ca"\ncertificate_file = "node.pem"\nkey_file = "node.key"\n')
    words = ["enrol", "--config", str(edge), "--token-file", str(token)]

    def told(hub: str, fingerprint: str) -> list[str]:
        assert main([*words, "--hub", hub, "--fingerprint", fingerprint]) == 2
        first, *problems, hint = capsys.readouterr().err.splitlines(keepends=True)
        assert first.startswith("enrol: ")
        assert hint == OPTIONS
        return [problem.strip() for problem in problems]

    assert told("http://127.0.0.1:1", "abc") == [
        "--hub: got 'http://127.0.0.1:1', expected https://HOST:PORT",
        "--fingerprint: got 'abc', expected 64 hex digits, as `quanjian-hub node enrol` prints",
        f"--token-file {token}: not there",
    ]
    token.write_text("", encoding="ascii")
    token.chmod(0o644)
    assert told("127.0.0.1", "a" * 64) == [
        "--hub: got '127.0.0.1', expected https://HOST:PORT",
        f"--token-file {token}: mode is 644, expected 600: others can read the token",
    ]
    token.chmod(0o600)
    assert told("https://127.0.0.1:1", "a" * 64) == [f"--token-file {token}: holds no token"]
