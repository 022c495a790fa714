"""The demo's steps as processes: in order, ended by the first that fails, and by one Ctrl-C."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.commands.demo import Step, run_steps, steps
from engine.errors import WorkError
from engine.lake import Lake, config_file
from tests.conftest import REPO_ROOT
from tune.config import read_sweep_config
from tune.gate import REFUSED

# Waits for one Ctrl-C and ends with 0; a second one within its patience makes that 9.
WAITS = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
print("ready", flush=True)
signal.sigwait([signal.SIGINT])
sys.exit(9 if signal.sigtimedwait([signal.SIGINT], 0.5) else 0)
"""
# Dies of the first Ctrl-C, as a program that handles nothing.
DIES = """
import signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
print("ready", flush=True)
signal.pause()
"""


def says(word: str, code: int = 0) -> Step:
    return Step(f"to say {word}", ["-c", f"import sys; print({word!r}, flush=True); sys.exit({code})"])


def test_steps_run_in_order(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_steps([says("one"), says("two")]) == 0
    assert capfd.readouterr().out.splitlines() == ["[1/2] to say one", "one", "[2/2] to say two", "two"]


def test_the_first_that_fails_ends_it_with_its_code(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_steps([says("one"), says("two", 2), says("three")]) == 2
    assert "three" not in capfd.readouterr().out


def test_a_code_that_is_passed_over_is_said_and_the_next_step_runs(capfd: pytest.CaptureFixture[str]) -> None:
    step = says("one", 3)
    assert run_steps([Step(step.title, step.words, {3: "never mind"}), says("two")]) == 0
    assert capfd.readouterr().out.splitlines() == ["[1/2] to say one", "one", "never mind", "[2/2] to say two", "two"]
    assert run_steps([Step(step.title, step.words, {2: "never mind"}), says("two")]) == 3


def test_a_killed_step_is_named() -> None:
    killed = Step("to die", ["-c", "import os; os.kill(os.getpid(), 9)"])
    with pytest.raises(WorkError, match=r"^step 1, python -c .* was killed by signal 9; run the demo again$"):
        run_steps([killed])


def test_handlers_are_as_before() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    run_steps([says("one")])
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def interrupted(number: int, *sources: str) -> tuple[int, list[str]]:
    """Exit code and lines of steps whose first is sent a signal, with all of its process group, once it is ready."""
    todo = ", ".join(f"Step('step', ['-c', {source!r}])" for source in sources)
    script = f"import sys\nfrom engine.commands.demo import Step, run_steps\nsys.exit(run_steps([{todo}]))"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=REPO_ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as demo:
        assert demo.stdout is not None
        lines = []
        for line in demo.stdout:
            lines.append(line.strip())
            if lines[-1] == "ready":
                os.killpg(demo.pid, number)  # as a terminal does
        return demo.wait(30), lines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_running_step_is_ended_once_and_the_last_may_end_well(number: int) -> None:
    assert interrupted(number, WAITS) == (0, ["[1/1] step", "ready"])


def test_no_step_follows_one_that_was_ended() -> None:
    assert interrupted(signal.SIGINT, WAITS, WAITS) == (130, ["[1/2] step", "ready"])
    assert interrupted(signal.SIGINT, DIES, WAITS) == (130, ["[1/2] step", "ready"])


def test_its_steps_are_commands_over_one_lake_and_its_sweep_is_shipped(tmp_path: Path) -> None:
    lake = ["--lake", str(tmp_path)]
    todo = steps(Lake(tmp_path), "2026-02-06", "09:05", 8003)
    sweep, promote, serve = (list(step.words) for step in todo)
    assert [list(step.passes_over) for step in todo] == [[], [REFUSED], []]  # a demo without an edge serves what it served
    assert sweep == ["-m", "tune", "sweep", "smoke_perm_derivative", *lake]
    name = read_sweep_config(config_file(Lake(tmp_path), sweep[3], "sweep")).name
    assert promote == ["-m", "tune", "promote", "--best", "--sweep", name, *lake]
    assert serve == ["-m", "serve", "--dt", "2026-02-06", "--start-time", "09:05", *lake, "--port", "8003"]
    assert "--port" not in steps(Lake(tmp_path), "2026-02-06", "09:05", None)[2].words
