"""The tool that plants bugs: what it writes, which tests it runs for it, and what it says, on a small project of its own."""

import io
import subprocess
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import yaml

from engine import jit
from tests.mutants import trial
from tests.mutants.campaign import main
from tests.mutants.coverage_map import COMPILED, Cost, CoverageMap, Recorded
from tests.mutants.operators import is_change, mutants_of

SUMS = '''"""Sums."""

STEP = 2


def count(values, limit):
    """How many values lie above zero and up to a limit."""
    found = 0
    for value in values:
        if 0 < value <= limit:
            found += 1
    return found


def unseen(value):
    return value + STEP


def until(value):
    while value < 5:
        value += 1
    return value
'''
TESTS = """import pytest
from engine.sums import count, until


@pytest.fixture(scope="module")
def reached():
    return until(4)


def test_count_takes_the_limit():
    assert count([1, 2, 3, 0], 3) == 3


def test_count_leaves_out_what_is_beyond():
    assert count([1, 4], 3) == 1


def test_until_ends_at_the_end(reached):
    assert reached == 5


def test_until_is_run_by_a_fixture(reached):
    assert reached == 5
"""


def changes(source: str) -> set[tuple[str, str, str]]:
    whole = source.encode()
    return {(m.operator, *m.change(whole)) for m in mutants_of("x.py", whole) if is_change(m, whole)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", {("comparison", "a < b", "a <= b")}),
        ("a not in b", {("comparison", "a not in b", "a in b")}),
        ("x = 7", {("± 1", "x = 7", "x = 8"), ("± 1", "x = 7", "x = 6")}),
        ("x = 0.5", {("constant", "x = 0.5", "x = 1.0")}),
        ("x = -a", {("sign", "x = -a", "x = (a)")}),
        ("x = a - b", {("sign", "x = a - b", "x = a + b"), ("dropped term", "x = a - b", "x = (a)"),
                       ("dropped term", "x = a - b", "x = (-(b))")}),
        ("f(a, b)", {("swapped arguments", "f(a, b)", "f(b, a)")}),
        ("x = max(a, b)", {("min/max", "x = max(a, b)", "x = min(a, b)")}),  # two that may change places
        ("f(a, key=b)", {("dropped argument", "f(a, key=b)", "f(a, )")}),
        ("f(a, strict=b)", set()),  # two that are of one length are so without a word
        ("X = Callable[[A], None]", set()),  # read by nobody that runs
        ("x = min(a)", {("min/max", "x = min(a)", "x = max(a)")}),
        ("x = any(a)", {("any/all", "x = any(a)", "x = all(a)")}),
        ("x = np.minimum(a)", {("min/max", "x = np.minimum(a)", "x = np.maximum(a)")}),
        ("x = a and b", {("and/or", "x = a and b", "x = a or b"), ("dropped condition", "x = a and b", "x = a"),
                         ("dropped condition", "x = a and b", "x = b")}),
        ("x = s[i, j]", {("swapped column", "x = s[i, j]", "x = s[j, i]")}),
        ("x = y.sort(key=lambda r: (r.a, r.b))", {
            ("dropped argument", "x = y.sort(key=lambda r: (r.a, r.b))", "x = y.sort()"),
            ("second key", "x = y.sort(key=lambda r: (r.a, r.b))", "x = y.sort(key=lambda r: (r.b, r.a))"),
            ("second key", "x = y.sort(key=lambda r: (r.a, r.b))", "x = y.sort(key=lambda r: (r.a,))")}),
        ('def f(a):\n    return a["bid"] / a["ask"]', {
            ("arithmetic", 'return a["bid"] / a["ask"]', 'return a["bid"] * a["ask"]'),
            ("swapped column", 'return a["bid"] / a["ask"]', 'return a["ask"] / a["ask"]'),
            ("swapped column", 'return a["bid"] / a["ask"]', 'return a["bid"] / a["bid"]')}),
        ("def f(a):\n    a.x = b\n    a.y = a.x", {
            ("order of statements", "a.x = b", "a.y = a.x"),
            ("order of statements", "a.y = a.x", "a.x = b"),
            ("dropped statement", "a.x = b", "pass"), ("dropped statement", "a.y = a.x", "pass")}),
        ("def f(a):\n    if a:\n        return 'x'\n    raise E", {
            ("dropped condition", "if a:", "if True:"), ("dropped branch", "if a:", "if False:"),
            ("early return", "return 'x'", "pass"), ("dropped refusal", "raise E", "pass")}),
        ('"""A docstring of 3 lines."""\nif TYPE_CHECKING:\n    x = 1', set()),
    ],
)  # fmt: skip
def test_every_operator_writes_the_bug_it_is_named_for(source: str, expected: set[tuple[str, str, str]]) -> None:
    found = changes(source)
    if ("order of statements", "a.x = b", "a.y = a.x") in expected:  # one swap, which a diff shows from either side
        found = {one for one in found if one[0] != "order of statements"}
        expected = {one for one in expected if one[0] != "order of statements"}
        assert b"a.y = a.x\n    a.x = b" in {m.applied(source.encode())[14:] for m in mutants_of("x.py", source.encode())}
    assert found == expected


def test_what_runs_on_import_is_told_from_what_a_call_runs() -> None:
    source = b"A = 1\n\n\nclass C:\n    b = 2\n\n    def f(self, c=3):\n        return 4\n"
    found = {m.change(source)[1]: (m.function, m.is_imported) for m in mutants_of("x.py", source)}
    assert found["A = 2"] == ("", True)
    assert found["b = 3"] == ("C", True)
    assert found["def f(self, c=4):"] == ("C.f", True)
    assert found["return 5"] == ("C.f", False)


def test_what_is_no_other_program_is_no_mutant() -> None:
    source = b"def f():\n    x = (1 + 2) * 3\n    return x\n"
    for mutant in mutants_of("x.py", source):
        assert is_change(mutant, source), mutant


def test_sources_that_are_tried_without_the_compiler_are_those_that_kernels_freeze_in() -> None:
    assert set(trial.FROZEN_IN) == set(jit._FROZEN_IN)


def test_a_test_that_fails_on_the_source_finds_nothing(project: Path, tmp_path: Path) -> None:
    test = project / "tests/test_engine/test_lying.py"
    test.write_text("from engine.sums import count\n\n\ndef test_lies():\n    assert count([1], 1) == 2\n")
    try:
        trier = trial.Trier(project, tmp_path / "tree", tmp_path / "kernels", False)
        lying, sound = f"{test.relative_to(project)}::test_lies", "tests/test_engine/test_sums.py::test_count_takes_the_limit"
        source = SUMS.encode()
        seen = next(m for m in mutants_of("engine/sums.py", source) if m.change(source)[1] == "if 0 < value < limit:")
        known = CoverageMap(project, tmp_path / "kept", COMPILED)
        known.tests = [Recorded(name, Cost(0.0, 0.0), (), {"engine/sums.py": frozenset(range(1, 30))}) for name in (lying, sound)]
        try:
            assert trier.try_mutant(seen, source, lambda mode: known) == trial.Verdict("killed", sound, 2)
            known.tests = known.tests[:1]
            assert trier.try_mutant(seen, source, lambda mode: known).status == "survived"
            assert (trier.tree / "engine/sums.py").read_bytes() == source
        finally:
            trier.close()
    finally:
        test.unlink()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mutants") / "main"
    files = {"engine/__init__.py": "", "engine/sums.py": SUMS, "tests/test_engine/test_sums.py": TESTS, "tune/__init__.py": "",
             "serve/__init__.py": "", "tests/mutants/equivalent.yaml": "[]\n", ".gitignore": "/lake/\n__pycache__/\n",
             "pytest.ini": "[pytest]\naddopts = -ra\n"}  # fmt: skip
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return root


def run(root: Path, *args: str) -> tuple[int, str]:
    out = io.StringIO()
    with redirect_stdout(out):
        code = main([*args, "--jobs", "1"], root)
    return code, out.getvalue()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_campaign_names_what_the_tests_do_not_see(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "LEAST_LIMIT_S", 5.0)
    code, said = run(project, "engine/sums.py", "--minutes", "4")
    assert code == 0
    # Nothing calls `unseen`: + to - and either term alone are run by no test, the two of STEP's are run and seen by none.
    assert said.count("untested (0 tests), unseen") == 3
    assert said.count("survived (4 tests), module") == 2
    # All others are found, the loop without an end by the clock.
    assert said.count("\nsurvived (") + said.count("\nuntested (") == 5
    results = (project / "lake/cache/mutants/results.jsonl").read_text()
    assert '"killer": "tests/test_engine/test_sums.py::test_count_takes_the_limit"' in results
    (score,) = [line.split() for line in said.splitlines() if line.startswith("engine.ground ")]
    n_mutants, n_found, n_left = (int(word) for word in score[1:4])
    assert (n_mutants, n_left) == (n_found + 5, 5)

    # Again: nothing is tried anew, the same is said. The tree itself was never touched.
    _, again = run(project, "engine/sums.py", "--minutes", "4")
    assert (project / "lake/cache/mutants/results.jsonl").read_text() == results
    assert again.splitlines()[-3:] == said.splitlines()[-3:]
    assert (project / "engine/sums.py").read_text() == SUMS

    # One listed as changing nothing is left out of the count; a bound that is not reached is an exit code.
    listed = [
        {"path": "engine/sums.py", "function": "unseen", "gone": "return value + STEP", "come": "return value - STEP", "why": "!"}
    ]
    (project / "tests/mutants/equivalent.yaml").write_text(yaml.safe_dump(listed))
    code, said = run(project, "engine/sums.py", "--minutes", "4", "--least", "0.99")
    assert code == 1
    assert said.count("untested (0 tests), unseen") == 2
    assert "1 that change nothing left out" in said


def test_lines_that_moved_are_found_by_their_text(project: Path, tmp_path: Path) -> None:
    test = "tests/test_engine/test_sums.py"
    CoverageMap(project, tmp_path, COMPILED).record(test, tmp_path / "kernels")
    source = project / "engine/sums.py"
    try:
        source.write_text("# one more line\n" + SUMS)
        known = CoverageMap(project, tmp_path, COMPILED)
        known.load([test])
        names = [one.name.split("::")[1] for one in known.of_lines("engine/sums.py", 12, 12)]  # found += 1
        assert sorted(names) == ["test_count_leaves_out_what_is_beyond", "test_count_takes_the_limit"]
        names = [one.name.split("::")[1] for one in known.of_lines("engine/sums.py", 22, 22)]  # value += 1, in the fixture
        assert sorted(names) == ["test_until_ends_at_the_end", "test_until_is_run_by_a_fixture"]
        assert known.of_lines("engine/sums.py", 17, 17) == []
    finally:
        source.write_text(SUMS)
    assert CoverageMap(project, tmp_path, COMPILED).missing([test]) == []
    (project / test).write_text(TESTS + "\n")
    assert CoverageMap(project, tmp_path, COMPILED).missing([test]) == [test]
    (project / test).write_text(TESTS)


def test_a_path_that_names_no_source_is_refused(project: Path) -> None:
    with pytest.raises(
        SystemExit, match=r"no source of engine, tune or serve is called engine/nowhere\.py; give a file, a folder"
    ):
        run(project, "engine/nowhere.py")
