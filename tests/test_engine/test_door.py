"""A door's table of commands: what of it is imported, and what of a call becomes which exit code."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine.door import Command, Door, print_json, run_door
from engine.errors import ChampionError, ConfigError, DatasetError, SourceError, WorkError, no_room

MODULE = """
from engine.errors import ConfigError, WorkError
FAULTS = {"bad": ConfigError("it was 3"), "work": WorkError("it broke"), "disk": OSError("no space"), "stop": KeyboardInterrupt()}
def add_arguments(parser):
    parser.add_argument("--fault", choices=FAULTS)
def run(args):
    if args.fault:
        raise FAULTS[args.fault]
    print("run")
    return 0
def other(args):
    print("other")
    return 7
"""


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Door:
    """A door whose second command cannot be imported."""
    (tmp_path / "a_command_of_a_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "a_command_of_a_test", raising=False)
    commands = {
        "one": Command("the one", "a_command_of_a_test"),
        "gone": Command("not there", "no_such_module"),
        "light": Command("with arguments here", "a_command_of_a_test:other", arguments=lambda parser: None),
    }
    return Door("A test's.", commands)


@pytest.mark.parametrize(
    ("fault", "code", "line"),
    [
        ("bad", 2, "prog: it was 3\n"),
        ("work", 1, "prog: it broke\n"),
        ("disk", 1, "prog: no space\n"),
        ("stop", 130, "prog: stopped\n"),
    ],
)
def test_a_fault_is_one_line_and_its_code(
    door: Door, fault: str, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert door.main(["one", "--fault", fault], "prog") == code
    assert capsys.readouterr() == ("", line)


def test_a_command_runs_and_its_code_is_the_doors(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert door.main(["one"], "prog") == 0
    assert door.main(["light"], "prog") == 7
    assert capsys.readouterr().out == "run\nother\n"


def test_a_listing_imports_no_command(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        door.main(["--help"], "prog")
    assert "not there" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        door.main(["light", "--help"], "prog")
    assert "a_command_of_a_test" not in sys.modules


def test_without_a_command_a_door_asks_for_one_or_does_what_it_does_then(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert door.main([], "prog") == 2
    assert "see prog --help" in capsys.readouterr().err
    bare = Door(door.description, door.commands, bare=door.commands["one"])
    assert bare.main([], "prog") == 0
    assert bare.main(["--fault", "work"], "prog") == 1
    assert bare.main(["light"], "prog") == 7
    assert bare.main(["lihgt"], "prog") == 2
    assert "'lihgt'" in capsys.readouterr().err


def test_a_closed_output_is_no_fault() -> None:
    code = "import sys; from engine.door import run_door; sys.exit(run_door('prog', lambda: 0))"
    done = subprocess.run(["bash", "-c", f'"$1" -c "{code}" >&-', "bash", sys.executable], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


TALKATIVE = """
import sys
from engine.door import reader_has_gone, run_door
def call():
    if "endless" in sys.argv:
        while not reader_has_gone(sys.stdout):
            print("line", flush=True)
    for _ in range(20_000):
        print("line \u2013")
    print("told \u2013", file=sys.stderr)
    return 5
sys.exit(run_door("prog", call))
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("tail", "out", "err"),
    [
        ("| tail -n 1", "line ?\n0 5", "told \\u2013\n"),
        ("| head -n 1", "line ?\n0 5", "told \\u2013\n"),
        ("2>&1 | head -n 1", "line ?\n0 5", ""),
        ("endless | head -n 1", "line\n0 5", "told \\u2013\n"),
        ("2>/dev/full | tail -n 1", "line ?\n0 5", ""),
    ],
    ids=["letters it cannot show", "a reader who goes", "one who read both", "one of a command without an end", "full stderr"],
)
def test_output_that_cannot_take_it_changes_no_exit_code(tail: str, out: str, err: str, unbuffered: str) -> None:
    script = f'"$1" -c "$2" {tail}; echo "${{PIPESTATUS[1]}} ${{PIPESTATUS[0]}}"'
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(
        ["bash", "-c", script, "bash", sys.executable, TALKATIVE], capture_output=True, text=True, env=environment, timeout=60
    )
    assert (done.stdout, done.stderr) == (f"{out}\n", err)


def test_output_onto_a_full_disk_is_one_line() -> None:
    done = subprocess.run(
        ["bash", "-c", '"$1" -c "$2" >/dev/full', "bash", sys.executable, TALKATIVE], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("prog: no space left on the disk (ENOSPC)")


def test_streams_are_the_callers_again_after_a_door() -> None:
    before = sys.stdout, sys.stderr
    assert run_door("prog", lambda: 0) == 0
    assert (sys.stdout, sys.stderr) == before


def test_a_full_disk_is_told_with_the_file_and_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "a/b")

    assert run_door("prog", fail) == 1
    assert capsys.readouterr().err == (
        "prog: no space left on the disk for a/b (ENOSPC); what stood stands, nothing half-written counts. Free some space "
        "and give the same command again\n"
    )
    assert [bool(no_room(OSError(n, "x"))) for n in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES)] == [True] * 3 + [
        False
    ]
    assert no_room(ValueError()) == ""


def test_a_parsed_command_line_keeps_its_options_apart(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert door.main(["one", "--fa", "work"], "prog") == 1  # the beginning of an option will do
    assert "it broke" in capsys.readouterr().err
    strict = replace(door, allow_abbrev=False)
    assert strict.main(["one", "--fa", "work"], "prog") == 2
    assert "--fa work; see prog --help" in capsys.readouterr().err
    bare = replace(strict, bare=door.commands["one"])
    assert bare.main(["--fa", "work"], "prog") == 2
    assert bare.main(["one", "--fault", "work"], "prog") == 1
    assert bare.main(["--fault", "work", "light"], "prog") == 2  # an option first: what follows is the bare command's


def test_what_a_door_lists_is_aligned_and_says_each_line(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert door.listing() == "  one    the one\n  gone   not there\n  light  with arguments here"
    bare = replace(door, bare=door.commands["light"])
    with pytest.raises(SystemExit):
        bare.main(["--help"], "prog")
    assert f"commands (prog COMMAND --help):\n{door.listing()}" in capsys.readouterr().out
    for name, line in (("one", "The one."), ("light", "With arguments here.")):
        with pytest.raises(SystemExit):
            door.main([name, "--help"], "prog")
        assert line in capsys.readouterr().out


def test_the_lines_of_every_kind_of_error_are_its_own_and_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    for error, code in ((WorkError, 1), (ConfigError, 2), (ChampionError, 2), (DatasetError, 2), (SourceError, 2), (OSError, 1)):

        def fail(error: type[Exception] = error) -> int:
            raise error("it")

        assert run_door("prog", fail) == code, error
        assert capsys.readouterr() == ("", "prog: it\n")
    assert run_door("prog", lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):  # a fault of ours is a traceback
        run_door("prog", lambda: 1 // 0)


def test_values_for_machines_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [1, None], "path": Path("x/y")})
    assert json.loads(capsys.readouterr().out) == {"a": [1, None], "path": "x/y"}
