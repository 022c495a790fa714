"""One word over three doors: what is listed and reached, what is refused and how, and how little is imported for it."""

import os
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module

import pytest

from engine.door import DISTRIBUTION, Command
from engine.front import COLUMNS, MOUNTS, PROG, SHOWN, commands, groups, main, overview
from tests.conftest import REPO_ROOT

Capture = pytest.CaptureFixture[str]

ROWS = 24
# Shown as soon as a door has them.
TO_COME = {"demo", "judge", "check-signal"}
OWN_NAMES = {"engine.cli": "python -m engine", "tune.cli": "python -m tune", "serve.cli": "python -m serve"}
RUN = "import sys; from engine.front import main; sys.exit(main(sys.argv[1:]))"


def spymaster(*arguments: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """The command as a process, whose output waits in a buffer as it does where nobody asked for another way."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments], stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=REPO_ROOT, env=env
    )


def said(call: object, arguments: list[str], capsys: Capture) -> tuple[int, str, str]:
    """Exit code and output of a door's ``main``."""
    try:
        code = call(arguments)  # type: ignore[operator]
    except SystemExit as end:
        code = end.code
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def of_the_doors() -> Iterator[tuple[str, list[str], str, str]]:
    """Every command of every door: module, its arguments there, its name there and here."""
    for module, own in OWN_NAMES.items():
        door = import_module(module).DOOR
        word = "serve" if module == "serve.cli" else ""
        if door.bare is not None:
            yield module, [], own, f"spymaster {word}"
        for name in door.commands:
            yield module, [name], f"{own} {name}", " ".join(part for part in ("spymaster", word, name) if part)


# What is listed


def test_help_fits_a_screen(capsys: Capture) -> None:
    for arguments in (["--help"], ["-h"], ["help"]):
        assert main(arguments) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(len(line) for line in lines) <= COLUMNS
        assert len(lines) <= ROWS - len(TO_COME - set(commands()))


def test_help_fits_a_screen_when_all_has_come() -> None:
    found = groups()
    to_come = {name: Command("x" * 56, "") for name in TO_COME}
    full = {group: {name: {**to_come, **commands()}[name] for name in names} for group, names in SHOWN.items()}
    crowd = {f"a-command-{'and-' * (number % 4)}more-{number}": Command("", "") for number in range(30)}
    text = overview({group: members | found.get(group, {}) | crowd for group, members in full.items()})
    lines = text.splitlines()
    assert max(len(line) for line in lines) <= COLUMNS
    assert len(lines) - text.count("also:") <= ROWS - 2  # two groups have a rest
    assert text.count(" …\n") + text.endswith(" …") == len(SHOWN)
    rest = [name for line in lines if "also:" in line for name in line.partition("also: ")[2].removesuffix(" …").split(", ")]
    assert {name.removesuffix(",") for name in rest} <= {*crowd, *commands()}  # no name is cut in its middle


def test_every_line_is_the_doors_own(capsys: Capture) -> None:
    """None is copied. In the screen's help stands the line, or the name as far as a row goes; in the group's the line."""
    main(["--help"])
    screen = capsys.readouterr().out
    everywhere = ""
    for group in groups():
        assert main(["help", group]) == 0
        everywhere += capsys.readouterr().out
    listed = {line.split("  ")[1]: line for line in everywhere.splitlines() if line.startswith("  ")}
    for module, arguments, _, here in of_the_doors():
        name = here.removeprefix("spymaster ")
        door = import_module(module).DOOR
        line = (door.commands[arguments[0]] if arguments else door.bare).help
        assert listed[name].endswith(f"  {line}")
        if name in {one for names in SHOWN.values() for one in names}:
            assert any(f" {name} " in row and row.endswith(f"  {line}") for row in screen.splitlines())
        else:
            rests = [row.partition("also: ")[2] for row in screen.splitlines() if "also: " in row]
            assert any(name in rest.split(", ") or rest.endswith(" …") for rest in rests)


def test_what_is_to_be_shown_is_known() -> None:
    assert {name for names in SHOWN.values() for name in names} - set(commands()) <= TO_COME


def test_no_two_doors_have_a_command_of_one_name() -> None:
    names = [name for mount in MOUNTS for name, _ in mount.names()]
    assert len(names) == len(set(names))


# What is reached, and that it is the same


@pytest.mark.parametrize(("module", "arguments", "there", "here"), list(of_the_doors()))
def test_a_command_is_reached_and_takes_what_it_takes_at_its_own_door(
    module: str, arguments: list[str], there: str, here: str, capsys: Capture
) -> None:
    code, own, _ = said(import_module(module).main, [*arguments, "--help"], capsys)
    assert code == 0
    for asked in ([*here.split()[1:], "--help"], ["help", *here.split()[1:]]):
        code, text, _ = said(main, asked, capsys)
        assert code == 0
        assert text.startswith(f"usage: {here} ")
        assert " ".join(text.split()).replace(here, "PROG") == " ".join(own.split()).replace(there, "PROG")


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("engine.cli", ["replay"]),
        ("engine.cli", ["replay", "--bins", "many"]),
        ("engine.cli", ["replay", "--dt", "06.02.2026", "--out", "x"]),
        ("engine.cli", ["book", "nowhere.dbn"]),
        ("engine.cli", ["datasets", "--speed"]),
        ("tune.cli", ["sweep", "--limit", "0"]),
        ("tune.cli", ["sweep", "nowhere.yaml"]),
        ("tune.cli", ["compare", "--sort", "luck"]),
        ("tune.cli", ["promote"]),
        ("serve.cli", ["--port", "0"]),
        ("serve.cli", ["--colour", "red"]),
        ("serve.cli", ["statsu"]),
        ("serve.cli", ["tail", "--bins", "0"]),
    ],
)
def test_a_refusal_is_the_same_line_and_code_as_at_its_own_door(module: str, arguments: list[str], capsys: Capture) -> None:
    own = OWN_NAMES[module]
    word = ["serve"] if module == "serve.cli" else []
    there = said(import_module(module).main, arguments, capsys)
    here = said(main, [*word, *arguments], capsys)
    assert there[0] == 2
    assert there[2].startswith(f"{own}: ")
    name = " ".join(["spymaster", *word])
    assert here == (2, "", there[2].replace(own, name))


def test_work_that_fails_is_code_1_here_as_there(capsys: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    there = said(import_module("serve.cli").main, ["status", "--port", port], capsys)
    here = said(main, ["serve", "status", "--port", port], capsys)
    assert there[0] == here[0] == 1
    assert here[2].removeprefix("spymaster serve: ") == there[2].removeprefix("python -m serve: ")


# What is refused here


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["replya"], ["'replya'", "did you mean replay?"]),
        (["status"], ["did you mean serve status?"]),
        (["list"], ["did you mean", "list-signals"]),
        (["qqqqqqqq"], ["'qqqqqqqq'; spymaster --help"]),
        (["help", "replya"], ["did you mean replay?"]),
        (["--lake", "x", "datasets"], ["--lake", "a command comes first"]),
        ([], ["no command was given", "--help"]),
        (["schema", "swep"], ["'swep'", "campaign"]),
        (["completion", "dosh"], ["'dosh'", "bash"]),
    ],
)
def test_a_mistake_is_one_line_and_code_2(arguments: list[str], words: list[str], capsys: Capture) -> None:
    code, out, err = said(main, arguments, capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("spymaster: ")
    assert [word for word in words if word not in err] == [], err


# Version


def test_version_is_that_of_the_distribution(capsys: Capture) -> None:
    project = tomllib.loads((REPO_ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == DISTRIBUTION
    assert said(main, ["--version"], capsys) == (0, f"spymaster {project['version']}\n", "")


def test_the_command_is_installed_under_its_name() -> None:
    (script,) = tomllib.loads((REPO_ROOT / "pyproject.toml").read_text())["project"]["scripts"].items()
    module, _, function = script[1].partition(":")
    assert script[0] == PROG
    assert getattr(import_module(module), function) is main


# How little is imported


def test_help_and_version_need_nothing_but_python() -> None:
    code = f"import sys; sys.path.insert(0, {str(REPO_ROOT)!r}); {RUN}"
    for argument, words in (("--help", "usage: spymaster"), ("--version", "spymaster unknown"), ("help", "usage: spymaster")):
        done = subprocess.run([sys.executable, "-I", "-S", "-c", code, argument], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(words)


HEAVY = ("numba", "ray", "polars", "pyarrow", "mlflow", "pandas", "numpy", "pydantic", "websockets", "starlette", "rich")


def test_no_help_and_no_completion_waits_for_a_heavy_import() -> None:
    code = (
        "import sys, os, contextlib; from engine.front import commands, main\n"
        "def heavy(arguments):\n"
        "    with contextlib.redirect_stdout(open(os.devnull, 'w')), contextlib.suppress(SystemExit): main(arguments)\n"
        f"    found = sorted(set({HEAVY}) & set(sys.modules))\n"
        "    if found: sys.exit(f'{arguments}: {found}')\n"
        "for name in commands(): heavy([*name.split(), '--help'])\n"
        "heavy(['completion', 'bash'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO_ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# As a process


@pytest.mark.parametrize("arguments", [["--help"], ["replay", "--help"], ["schema", "instrument"]])
def test_a_reader_that_has_gone_is_no_traceback(arguments: list[str]) -> None:
    """Of a few lines, which are written when the process ends, as of many; and the exit code is the command's own."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        process = spymaster(*arguments, stdout=writer)
    finally:
        os.close(writer)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


def test_ctrl_c_is_one_line_and_code_130() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = spymaster("serve", "tail", "--port", str(listener.getsockname()[1]))
        connection, _ = listener.accept()  # it waits for our answer now
        with connection:
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "spymaster serve: stopped\n")
