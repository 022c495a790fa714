"""The house style, held by machine: what is dead, too long, or written in two ways is named with its file and line.

Each rule takes a tree and gives complaints, so that a planted fault shows that it can fail.
"""

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import REPO_ROOT

PACKAGES: Final = ("engine", "tune", "serve")
MAX_LINES: Final = 400
MAX_FUNCTION_LINES: Final = 70
KERNELS: Final = {"kernel", "inline_kernel"}  # one formula in order may be longer

# What nothing in the packages refers to and is no part of a public face (``__all__`` of a package), with who needs it.
NOT_DEAD: Final = {
    "engine.feed.record.place.recording_files": "a recording as the files of a source, for a notebook and for tests",
    "engine.feed.record.watch.recording_watch": "what its recorder knew of the feed, for whoever replays a recording",
    "engine.bench.stages.single_bins": "called by its name in a process of its own",
    "engine.bench.stages.checkpoint": "called by its name in a process of its own",
    "engine.constants.F_TOB": "the feed's flags are listed whole, and compared with Databento's",
    "engine.constants.F_MBP": "the feed's flags are listed whole, and compared with Databento's",
    "engine.signals.example.example_bins": "bins for the tests of a signal, ours and other people's",
    "engine.examples.my_signal.TouchFlow": "a file of signals is loaded for the classes in it",
    "engine.examples.signal_template.Template": "a file of signals is loaded for the classes in it",
    "engine.signals.registry.SIGNALS": "the registry as a mapping, for a notebook and for tests",
    "engine.signals.registry.add_class": "a signal typed in a notebook, for the process it was typed in",
    "engine.signals.registry.add_file": "a signal's file, for a notebook",
    "engine.signals.registry.forget_entry_points": "for a notebook that has installed a package meanwhile, and for tests",
    "engine.signals.promoted.make_promoted": "a champion's signal by hand",
    "tune.trial.evaluate": "a point scored in one call, without Ray: for a notebook, and for the tests of every judge",
}
# Methods and fields that a library calls or reads by their names.
FOUND_BY_NAME: Final = {
    "model_config": "pydantic",
    "persistent_id": "pickle",
    "persistent_load": "pickle",
    "on_trial_result": "Ray Tune's callbacks",
    "reconfigure": "Ray Serve, with a deployment's user_config",
    "check_health": "Ray Serve",
    "record_autoscaling_stats": "Ray Serve, for a policy of one's own",
    "handle_parser_exception": "uvicorn",
    "send_400_response": "uvicorn",
    "utcnow": "whoever reads the time by `datetime`",
    "today": "whoever reads the time by `datetime`",
}
# What raises where it does not like what it is given: a test may be that it does not.
REFUSES: Final = {"check", "check_causality", "check_mirror", "require_instrument", "validate_config"}
_BY_LIBRARY: Final = {"field_validator", "model_validator", "model_serializer", "field_serializer"}

Complaints = list[str]
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def modules(root: Path, folders: tuple[str, ...]) -> list[tuple[str, Path, ast.Module]]:
    """Every Python file below some folders of a tree: name under which it is imported, place in the tree, syntax."""
    found = []
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            place = path.relative_to(root)
            parts = place.with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found.append((name, place, ast.parse(path.read_text())))
    return found


def decorators(node: Definition) -> set[str]:
    """Last names of what decorates a definition."""
    return {part for one in node.decorator_list for part in [ast.unparse(one).split("(")[0].split(".")[-1]]}


# Rules.


def called(node: ast.Call) -> str:
    """Last name of what is called."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""


def names_set(node: ast.stmt) -> list[str]:
    """Names that a statement of a module or a class gives to something."""
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.AnnAssign):
        return [node.target.id] if isinstance(node.target, ast.Name) else []
    return [one.id for one in node.targets if isinstance(one, ast.Name)] if isinstance(node, ast.Assign) else []


def names_read(node: ast.AST) -> Iterator[str]:
    """Names and attributes in a piece of syntax that may mean a definition."""
    for one in ast.walk(node):
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load):
            yield one.id
        else:
            yield from attribute_read(one)


def attribute_read(node: ast.AST) -> Iterator[str]:
    """The attribute that a node reads, also by ``getattr``."""
    if isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Call) and called(node) == "getattr" and isinstance(node.args[1], ast.Constant):
        yield str(node.args[1].value)


def dead_definitions(root: Path, folders: tuple[str, ...] = PACKAGES) -> Complaints:
    """Functions, classes, constants and methods to which nothing in the packages refers.

    Top-level names are followed by module: read in their own outside themselves, imported by another, or read as an attribute.
    Methods, and constants of a class, go by name alone. Fields of classes are data, whoever reads them.
    """
    files = modules(root, folders)
    imported: set[tuple[str, str]] = set()
    attributes: Counter[str] = Counter()
    texts: Counter[str] = Counter()
    for _, _, tree in files:
        read_here = Counter(names_read(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported |= {(node.module, one.name) for one in node.names if read_here[one.asname or one.name]}
            elif isinstance(node, (ast.Attribute, ast.Call)):
                attributes.update(attribute_read(node))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and ":" in node.value:
                texts[node.value.split(":")[-1]] += 1
    faces = {one for name, _, tree in files if "." not in name for node in tree.body for one in public_names(node)}
    found = []
    for name, place, tree in files:
        read = [Counter(names_read(node)) for node in tree.body]
        read_here = sum(read, Counter())
        for node, own in zip(tree.body, read, strict=True):
            for one in names_set(node):
                used = (one in faces) + read_here[one] - own[one] + attributes[one] + texts[one] + ((name, one) in imported)
                if not (used or one == "_" or one.startswith("__") or f"{name}.{one}" in NOT_DEAD):
                    found.append(f"{place}:{node.lineno}: nothing refers to {one}")
            if isinstance(node, ast.ClassDef) and node.name not in faces:
                found += [f"{place}:{line}: nothing refers to {node.name}.{one}" for line, one in dead_methods(node, attributes)]
    return found


def public_names(node: ast.stmt) -> list[str]:
    """What a package's ``__all__`` lists: it, and the methods of its classes, are for whoever imports the package."""
    if names_set(node) == ["__all__"] and isinstance(node, ast.Assign) and isinstance(node.value, ast.List):
        return [str(one.value) for one in node.value.elts if isinstance(one, ast.Constant)]
    return []


def dead_methods(owner: ast.ClassDef, attributes: Counter[str]) -> Iterator[tuple[int, str]]:
    """Line and name of each method of a class that nobody calls by its name."""
    for node in owner.body:
        if isinstance(node, FUNCTIONS) and not (
            attributes[node.name] or node.name.startswith("__") or node.name in FOUND_BY_NAME or decorators(node) & _BY_LIBRARY
        ):
            yield node.lineno, node.name


def long_files(root: Path, folders: tuple[str, ...] = (*PACKAGES, "tests")) -> Complaints:
    """Files of more than 400 lines."""
    found = []
    for _, place, _ in modules(root, folders):
        n = len((root / place).read_text().splitlines())
        if n > MAX_LINES:
            found.append(f"{place}: {n} lines; a file has at most {MAX_LINES}")
    return found


def long_functions(root: Path, folders: tuple[str, ...] = (*PACKAGES, "tests")) -> Complaints:
    """Functions of more than 70 lines that are no kernels."""
    found = []
    for _, place, tree in modules(root, folders):
        for node in ast.walk(tree):
            if isinstance(node, FUNCTIONS) and node.end_lineno is not None and not decorators(node) & KERNELS:
                n = node.end_lineno - node.lineno + 1
                if n > MAX_FUNCTION_LINES:
                    found.append(f"{place}:{node.lineno}: {node.name} has {n} lines; a function has at most {MAX_FUNCTION_LINES}")
    return found


def ends(message: ast.expr) -> Iterator[str]:
    """How a message may end, as far as its text stands in the source."""
    if isinstance(message, ast.Constant):
        yield str(message.value)
    elif isinstance(message, ast.JoinedStr) and message.values:
        yield from ends(message.values[-1])
    elif isinstance(message, ast.BinOp):
        yield from ends(message.right)
    elif isinstance(message, ast.IfExp):
        yield from ends(message.body)
        yield from ends(message.orelse)


def stopped_errors(root: Path, folders: tuple[str, ...] = PACKAGES) -> Complaints:
    """Error lines with a period at the end: behind a path, a value or an option it reads as a part of it."""
    found = []
    for _, place, tree in modules(root, folders):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and called(node).endswith("Error") and node.args:
                found += [f"{place}:{node.lineno}: …{end[-30:]!r} ends with a period" for end in ends(node.args[0]) if stops(end)]
    return found


def stops(text: str) -> bool:
    return text.rstrip().endswith(".")


def future_imports(root: Path, folders: tuple[str, ...] = (*PACKAGES, "tests")) -> Complaints:
    """``from __future__``: a class's own type is ``Self``, a name that stands for types only is quoted."""
    return [
        f"{place}:{node.lineno}: from __future__ import …"
        for _, place, tree in modules(root, folders)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ]


def file_hashes(root: Path, folders: tuple[str, ...] = PACKAGES) -> Complaints:
    """Loops that hash in pieces outside those that may: a file's bytes go through `engine.files.sha256_file`."""
    allowed = {"engine.files", "engine.jit", "engine.source.content"}  # the last hashes records, whatever file they come in
    return [
        f"{place}:{node.lineno}: a hash is fed in pieces; use engine.files.sha256_file"
        for name, place, tree in modules(root, folders)
        for node in ast.walk(tree)
        if name not in allowed and isinstance(node, ast.Call) and called(node) == "sha256" and not node.args
    ]


ASSERTION: Final = "assert"


def failing(node: ast.AST) -> set[str]:
    """What in a piece of a test may fail it: names of the functions it calls, and ``assert`` where it asserts itself."""
    nodes = list(ast.walk(node))
    calls = {called(one) for one in nodes if isinstance(one, ast.Call)}
    return calls | {ASSERTION} if any(isinstance(one, ast.Assert) for one in nodes) else calls


def silent_tests(root: Path, folders: tuple[str, ...] = ("tests",)) -> Complaints:
    """Tests that assert nothing, expect no error, and call no function of the tests that does."""
    found = [(place, node) for _, place, tree in modules(root, folders) for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]
    reach = {(place, node): failing(node) for place, node in found}
    judging = {ASSERTION, "raises", "warns", "fail", *REFUSES}
    helpers = {key: calls for key, calls in reach.items() if not key[1].name.startswith("test_")}
    while more := {node.name for (_, node), calls in helpers.items() if calls & judging} - judging:
        judging |= more
    return [
        f"{place}:{node.lineno}: {node.name} asserts nothing"
        for (place, node), calls in reach.items()
        if node.name.startswith("test_") and not calls & judging
    ]


Rule = Callable[..., Complaints]
RULES: Final[tuple[Rule, ...]] = (
    dead_definitions, long_files, long_functions, stopped_errors, future_imports, file_hashes, silent_tests,
)  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps_the_rule(rule: Rule) -> None:
    assert rule(REPO_ROOT) == []


def test_every_exception_still_stands_in_the_tree() -> None:
    defined = {f"{name}.{one}" for name, _, tree in modules(REPO_ROOT, PACKAGES) for node in tree.body for one in names_set(node)}
    assert sorted(NOT_DEAD.keys() - defined) == []


# Each rule can fail.

USED: Final = "from pack.lib import used\n\nprint(used())\n"
PLANTED: Final[dict[str, tuple[Rule, str, str | None]]] = {
    "function that nobody calls": (dead_definitions, "def lost() -> int:\n    return 1\n", "nothing refers to lost"),
    "function that calls only itself": (dead_definitions, "def lost() -> int:\n    return lost()\n", "nothing refers to lost"),
    "class that nobody makes": (dead_definitions, "class Lost:\n    pass\n", "nothing refers to Lost"),
    "constant that nobody reads": (dead_definitions, "LOST: int = 3\n", "nothing refers to LOST"),
    "method that nobody calls": (
        dead_definitions, "class Kept:\n    def lost(self) -> int:\n        return 1\n\nprint(Kept)\n", "refers to Kept.lost",
    ),
    "function read in its own file": (dead_definitions, "def kept() -> int:\n    return 1\n\nprint(kept())\n", None),
    "method that is called": (
        dead_definitions, "class Kept:\n    def kept(self) -> int:\n        return 1\n\nprint(Kept().kept())\n", None,
    ),
    "method read by getattr": (
        dead_definitions, "class Kept:\n    def kept(self) -> int:\n        return 1\n\nprint(getattr(Kept, 'kept', 0))\n", None,
    ),
    "class found by text": (dead_definitions, "class Kept:\n    pass\n\nprint('pack.planted:Kept')\n", None),
    "file of 401 lines": (long_files, "x = 1\n" * 401, "401 lines"),
    "file of 400 lines": (long_files, "x = 1\n" * 400, None),
    "function of 71 lines": (long_functions, "def f():\n" + "    x = 1\n" * 70, "f has 71 lines"),
    "function of 70 lines": (long_functions, "def f():\n" + "    x = 1\n" * 69, None),
    "method of 71 lines": (long_functions, "class A:\n    async def f(self):\n" + "        x = 1\n" * 70, "f has 71 lines"),
    "kernel of 71 lines": (long_functions, "@kernel\ndef f():\n" + "    x = 1\n" * 70, None),
    "period": (stopped_errors, "raise ConfigError('mend it.')\n", "'mend it.' ends"),
    "period behind a value": (stopped_errors, "raise ConfigError(f'{1}, ' f'mend {2}.')\n", "'.' ends"),
    "period on one of two ways": (stopped_errors, "raise lib.ConfigError('a' if x else 'b.')\n", "'b.' ends"),
    "period inside": (stopped_errors, "raise ConfigError('it was 3. Mend it')\n", None),
    "period in another call": (stopped_errors, "print('it was 3.')\n", None),
    "future": (future_imports, "from __future__ import annotations\n", "__future__"),
    "future in a text": (future_imports, "x = 'from __future__ import annotations'\n", None),
    "test without an assertion": (silent_tests, "def test_it():\n    print(1)\n", "test_it asserts nothing"),
    "test of a helper that asserts nothing": (
        silent_tests, "def helper():\n    print(1)\n\ndef test_it():\n    helper()\n", "test_it asserts nothing",
    ),
    "test of a helper that asserts": (silent_tests, "def helper():\n    assert 1\n\ndef test_it():\n    helper()\n", None),
    "test of an error": (silent_tests, "def test_it():\n    with pytest.raises(OSError):\n        print(1)\n", None),
    "hash in pieces": (file_hashes, "import hashlib\ndigest = hashlib.sha256()\n", "fed in pieces"),
    "hash of bytes": (file_hashes, "import hashlib\ndigest = hashlib.sha256(b'')\n", None),
}  # fmt: skip


@pytest.mark.parametrize("case", PLANTED)
def test_a_planted_fault_is_named_and_what_is_right_is_not(case: str, tmp_path: Path) -> None:
    rule, source, told = PLANTED[case]
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "lib.py").write_text("def used() -> int:\n    return 1\n")
    (tmp_path / "pack" / "user.py").write_text(USED)
    (tmp_path / "pack" / "planted.py").write_text(source)
    complaints = rule(tmp_path, ("pack",))
    assert all("pack/planted.py" in one for one in complaints)
    assert [told is not None and told in one for one in complaints] == ([] if told is None else [True])


def test_what_a_package_lists_for_others_is_not_dead_with_all_its_methods(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text('__all__ = ["Public", "open_it"]\n')
    source = "class Public:\n    def for_others(self) -> int:\n        return 1\n\n\ndef open_it() -> int:\n    return 1\n"
    (tmp_path / "pack" / "lib.py").write_text(source + "\n\ndef lost() -> int:\n    return 1\n")
    assert dead_definitions(tmp_path, ("pack",)) == ["pack/lib.py:10: nothing refers to lost"]


def test_a_name_imported_and_not_read_keeps_nothing_alive(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "lib.py").write_text("def lost() -> int:\n    return 1\n")
    (tmp_path / "pack" / "user.py").write_text("from pack.lib import lost\n")
    assert dead_definitions(tmp_path, ("pack",)) == ["pack/lib.py:1: nothing refers to lost"]
