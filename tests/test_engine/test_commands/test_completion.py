"""What a shell offers after the script that `spymaster completion` prints: asked of the shells themselves."""

import shutil
import subprocess
from pathlib import Path

import pytest

from engine.cli import COMMANDS
from engine.front import SHELLS, commands, groups, main
from tune.cli import SORTS

# What bash does when TAB is pressed, with the words of a line as its arguments, the last of them yet unfinished.
PRESS_TAB = """
source "$1"; shift
function=$(complete -p spymaster | sed -E 's/.* -F ([^ ]+) .*/\\1/')
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
"$function" spymaster "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script of each shell."""
    return tmp_path_factory.mktemp("completion")


@pytest.fixture
def script(scripts: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Path:
    """The script of the shell that the test names."""
    path = scripts / f"spymaster.{request.param}"
    if not path.exists():
        assert main(["completion", request.param]) == 0
        path.write_text(capsys.readouterr().out)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the user stands: two files and a folder."""
    (tmp_path / "mine.yaml").touch()
    (tmp_path / "minutes.dbn.zst").touch()
    (tmp_path / "lake-of-mine").mkdir()
    return tmp_path


def offered(script: Path, folder: Path, line: str) -> set[str]:
    """What bash would offer behind a line; its last word is empty where the line ends with a blank."""
    done = subprocess.run(
        ["bash", "--norc", "-c", PRESS_TAB, "bash", str(script), *line.split(" ")],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    assert done.stderr == ""
    return set(done.stdout.split())


TOP = {name for name in commands() if " " not in name}


@pytest.mark.parametrize("script", ["bash"], indirect=True)
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("spymaster ", TOP),
        ("spymaster rep", {"replay", "report"}),
        ("spymaster serve ", {"model-at", "status", "stop", "tail"}),
        ("spymaster serve sta", {"status"}),
        ("spymaster help list-", {"list-signals", "list-datasets"}),
        ("spymaster help da", {"data", "datasets"}),
        ("spymaster schema ", {"sweep", "campaign", "instrument"}),
        ("spymaster completion ", set(SHELLS)),
        ("spymaster compare --sort ", set(SORTS)),
        ("spymaster compare --top 5 --so", {"--sort"}),
        ("spymaster replay --da", set()),
        ("spymaster serve --port 8003 --sta", {"--start-time"}),
        ("spymaster serve --source ", {"live", "replay"}),
        ("spymaster serve tail --be", set()),
        ("spymaster serve tail --bi", {"--bins"}),
        ("spymaster sweep mi", {"mine.yaml", "minutes.dbn.zst"}),
        ("spymaster book minutes.dbn.zst mine", {"mine.yaml"}),
        ("spymaster replay --dbn minu", {"minutes.dbn.zst"}),
        ("spymaster replay --out ", {"lake-of-mine"}),
        ("spymaster datasets --lake ", {"lake-of-mine"}),
    ],
)
def test_bash_offers(script: Path, folder: Path, line: str, expected: set[str]) -> None:
    assert offered(script, folder, line) == expected


@pytest.mark.parametrize("script", ["bash"], indirect=True)
def test_bash_offers_every_option(script: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that the command's help names."""
    for name in (*COMMANDS, "serve tail"):
        with pytest.raises(SystemExit):
            main([*name.split(), "--help"])
        named = {word.strip("[],") for word in capsys.readouterr().out.split() if word.strip("[").startswith("--")}
        found = offered(script, folder, f"spymaster {name} --")
        assert {word for word in named if word.rstrip(";.") == word} <= found
        assert "--help" in found


def test_every_command_and_group_can_be_helped_with() -> None:
    assert set(groups()) | TOP >= {"data", "research", "live", "more", "replay", "serve"}


@pytest.mark.parametrize("script", ["zsh"], indirect=True)
def test_zsh_takes_the_script(script: Path) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed here")
    code = f'autoload -U compinit; compinit -u -D; eval "$(cat {script})"; print -r -- $_comps[spymaster]'
    done = subprocess.run(["zsh", "-f", "-c", code], capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout) == ("", "_shtab_spymaster\n")


@pytest.mark.parametrize("script", ["fish"], indirect=True)
def test_fish_offers(script: Path, folder: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed here")
    for line, expected in (
        ("spymaster rep", {"replay", "report"}),
        ("spymaster serve sta", {"status"}),
        ("spymaster sweep mi", {"mine.yaml"}),
    ):
        code = f"source {script}; complete -C '{line}'"
        done = subprocess.run(["fish", "--no-config", "-c", code], capture_output=True, text=True, cwd=folder, check=False)
        assert done.stderr == ""
        assert {row.split("\t")[0] for row in done.stdout.splitlines()} >= expected
