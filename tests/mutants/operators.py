"""Plausible bugs of one place each: what a tired reader overlooks, written into a source as a change of text."""

import ast
import difflib
import hashlib
import warnings
from dataclasses import dataclass

COMPARISONS = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.In: "in", ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not",
}  # fmt: skip
BOUNDARY = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==",
            "in": "not in", "not in": "in", "is": "is not", "is not": "is"}  # fmt: skip
ARITHMETIC = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.FloorDiv: ("//", "*"),
              ast.Mod: ("%", "//"), ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"), ast.LShift: ("<<", ">>"),
              ast.RShift: (">>", "<<")}  # fmt: skip
TERMS = (ast.Add, ast.Sub, ast.Mult, ast.BitAnd, ast.BitOr)  # of which one side alone is still a value of the same kind
SIBLINGS = {"min": "max", "max": "min", "any": "all", "all": "any", "minimum": "maximum", "maximum": "minimum",
            "floor": "ceil", "ceil": "floor", "searchsorted_left": "searchsorted_right"}  # fmt: skip
SYMMETRIC = ("min", "max")  # calls that do not care for the order of what they are given
SIMPLE = (ast.Assign, ast.AugAssign, ast.Expr)


@dataclass(frozen=True)
class Mutant:
    """One change of a source: bytes ``[start, stop)`` become ``text``.

    ``line`` and ``last_line`` count from 1 and are those whose execution the change needs; ``function`` is the qualified name of
    the innermost function or class around it, empty at the level of the module; ``is_imported`` says that the lines run when the
    module is imported, as those of a class and the defaults of a function do.
    """

    path: str
    function: str
    is_imported: bool
    operator: str
    line: int
    last_line: int
    start: int
    stop: int
    text: str

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.stop :]

    def change(self, source: bytes) -> tuple[str, str]:
        """The lines that go and those that come, stripped: what names a mutant wherever its line has moved to."""
        old, new = source.decode().splitlines(), self.applied(source).decode().splitlines()
        gone, come = [], []
        for tag, i, j, k, n in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            if tag != "equal":
                gone += [line.strip() for line in old[i:j]]
                come += [line.strip() for line in new[k:n]]
        return "\n".join(gone), "\n".join(come)

    def diff(self, source: bytes) -> str:
        """The change as a unified diff of two lines around it."""
        old, new = source.decode().splitlines(), self.applied(source).decode().splitlines()
        return "\n".join(difflib.unified_diff(old, new, self.path, f"{self.path} ({self.operator})", n=2, lineterm=""))

    def key(self, source: bytes) -> str:
        """16 hex digits of the changed text and its file: the same mutant in every run over the same source."""
        digest = hashlib.sha256(self.path.encode())
        digest.update(self.applied(source))
        return digest.hexdigest()[:16]


class _Walk:
    """Collects the mutants of one source in the order of its text."""

    def __init__(self, path: str, source: bytes, tree: ast.Module) -> None:
        self.path, self.source = path, source
        functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
        self.last = {id(n.body[-1]) for n in functions}
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.names: list[str] = []
        self.depth = 0  # of functions around
        self.keys: list[list[str]] = [[]]  # the text keys read in the function around, for swaps
        self.statement: ast.stmt | None = None
        self.found: list[Mutant] = []

    def at(self, line: int, column: int) -> int:
        return self.starts[line - 1] + column

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.at(node.lineno, node.col_offset), self.at(node.end_lineno, node.end_col_offset)

    def text(self, node: ast.expr | ast.stmt) -> str:
        start, stop = self.span(node)
        return self.source[start:stop].decode()

    def add(self, operator: str, node: ast.expr | ast.stmt, text: str, span: tuple[int, int] | None = None) -> None:
        start, stop = span or self.span(node)
        old = self.source[start:stop].decode()
        place = self.statement or node
        if text == old:
            return
        line, last = node.lineno, node.end_lineno or node.lineno
        if isinstance(place, (*SIMPLE, ast.Return, ast.If, ast.While)):
            line = place.lineno
        self.found.append(Mutant(self.path, ".".join(self.names), self.depth == 0, operator, line, last, start, stop, text))

    def between(self, left: ast.expr, right: ast.expr, old: str) -> tuple[int, int] | None:
        """Where an operator's own signs stand between its two sides."""
        start, stop = self.span(left)[1], self.span(right)[0]
        at = self.source.find(old.encode(), start, stop)
        return None if at < 0 or b"#" in self.source[start:at] else (at, at + len(old))

    # statements

    def block(self, body: list[ast.stmt]) -> None:
        for i, node in enumerate(body):
            if self.is_docstring(node):
                continue
            if i and self.names:
                self.swap_statements(body[i - 1], node)
            self.visit_statement(node)

    def swap_statements(self, one: ast.stmt, two: ast.stmt) -> None:
        """Two simple statements in the other order, where state that the first writes is read or written by the second.

        Plain names are left out: a name that is read before it is there ends the program at once.
        """
        if not (isinstance(one, SIMPLE) and isinstance(two, SIMPLE)) or self.is_docstring(one):
            return
        written = {ast.unparse(t) for t in _targets(one) if isinstance(one, ast.AugAssign) or not isinstance(t, ast.Name)}
        touched = {ast.unparse(n) for n in ast.walk(two) if isinstance(n, ast.Name | ast.Attribute | ast.Subscript)}
        both_called = isinstance(one, ast.Expr) and isinstance(two, ast.Expr)
        first, second = self.span(one), self.span(two)
        middle = self.source[first[1] : second[0]].decode()
        if (written & touched or both_called) and "#" not in middle:
            self.statement = one
            self.add("order of statements", two, self.text(two) + middle + self.text(one), (first[0], second[1]))

    @staticmethod
    def is_docstring(node: ast.stmt) -> bool:
        return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)

    def visit_statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self.names.append(node.name)
            self.keys.append([])
            if not isinstance(node, ast.ClassDef):
                self.keys[-1] = [n.slice.value for n in ast.walk(node)
                                 if isinstance(n, ast.Subscript) and isinstance(n.slice, ast.Constant)
                                 and isinstance(n.slice.value, str)]  # fmt: skip
                self.statement = node
                for default in [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]:
                    self.visit(default)
            inner = int(not isinstance(node, ast.ClassDef))
            self.depth += inner
            self.block(node.body)
            self.depth -= inner
            self.names.pop()
            self.keys.pop()
            return
        self.statement = node
        if isinstance(node, ast.If):
            if _is_for_types(node.test):
                return
            self.add("dropped condition", node.test, "True")
            self.add("dropped branch", node.test, "False")
        elif isinstance(node, ast.Return):
            if self.names and id(node) not in self.last:  # else it gives None, which types see
                self.add("early return", node, "pass")
        elif isinstance(node, ast.Continue):
            self.add("early return", node, "pass")
            self.add("early return", node, "break")
        elif isinstance(node, ast.Break):
            self.add("early return", node, "continue")
        elif isinstance(node, ast.Raise):
            self.add("dropped refusal", node, "pass")
        elif self.names and self.has_effect(node):
            self.add("dropped statement", node, "pass")
        self.children(node)

    @staticmethod
    def has_effect(node: ast.stmt) -> bool:
        """Whether a statement does more than to name a value."""
        if isinstance(node, ast.Assign):
            return isinstance(node.targets[0], ast.Subscript | ast.Attribute)
        return isinstance(node, ast.AugAssign) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await))

    def children(self, node: ast.AST) -> None:
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_params"):
                continue
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                held = self.statement
                self.block(value)
                self.statement = held
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.expr):
                    self.visit(child)
                elif isinstance(child, ast.AST) and not isinstance(child, ast.arguments):
                    self.children(child)

    # expressions

    def visit(self, node: ast.expr) -> None:
        method = getattr(self, f"on_{type(node).__name__.lower()}", None)
        if method is not None:
            method(node)
        if not isinstance(node, ast.JoinedStr) and not _is_type(node):  # the words of a message; what no code reads
            self.children(node)

    def on_compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        for i, op in enumerate(node.ops):
            old = COMPARISONS[type(op)]
            where = self.between(sides[i], sides[i + 1], old)
            if where is not None:
                self.add("comparison", node, BOUNDARY[old], where)

    def on_boolop(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for i, value in enumerate(node.values):
            if i:
                where = self.between(node.values[i - 1], value, old)
                if where is not None:
                    self.add("and/or", node, new, where)
            rest = f" {old} ".join(self.wrapped(v) for j, v in enumerate(node.values) if j != i)
            self.add("dropped condition", node, rest if len(node.values) == 2 else f"({rest})")

    def wrapped(self, node: ast.expr) -> str:
        """A side's text as it stands, with the brackets that belong to it lost or not."""
        return (
            f"({self.text(node)})" if isinstance(node, ast.BoolOp | ast.IfExp | ast.Lambda | ast.NamedExpr) else self.text(node)
        )

    def on_binop(self, node: ast.BinOp) -> None:
        if type(node.op) not in ARITHMETIC:
            return
        old, new = ARITHMETIC[type(node.op)]
        where = self.between(node.left, node.right, old)
        if where is not None:
            self.add("sign" if old in "+-" else "arithmetic", node, new, where)
        if isinstance(node.op, TERMS):
            self.add("dropped term", node, f"({self.text(node.left)})")
            right = f"({self.text(node.right)})"
            self.add("dropped term", node, f"(-{right})" if isinstance(node.op, ast.Sub) else right)

    def on_unaryop(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.USub | ast.Not | ast.Invert):
            self.add("sign" if isinstance(node.op, ast.USub) else "negation", node, f"({self.text(node.operand)})")

    def on_constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self.add("constant", node, str(not value))
        elif isinstance(value, int):
            self.add("± 1", node, str(value + 1))
            self.add("± 1", node, str(value - 1) if value else "(-1)")
        elif isinstance(value, float):
            self.add("constant", node, repr(value * 2.0) if value else "1.0")
        elif value is None and isinstance(self.statement, ast.Assign):
            self.add("constant", node, "0")

    def on_ifexp(self, node: ast.IfExp) -> None:
        self.add("dropped condition", node, f"({self.text(node.body)})")
        self.add("dropped branch", node, f"({self.text(node.orelse)})")

    def on_name(self, node: ast.Name) -> None:
        if node.id in SIBLINGS and isinstance(node.ctx, ast.Load):
            self.add("min/max" if node.id[0] == "m" else "any/all", node, SIBLINGS[node.id])

    def on_attribute(self, node: ast.Attribute) -> None:
        if node.attr in SIBLINGS and isinstance(node.ctx, ast.Load):
            stop = self.span(node)[1]
            self.add("min/max", node, SIBLINGS[node.attr], (stop - len(node.attr), stop))

    def on_call(self, node: ast.Call) -> None:
        args = [] if isinstance(node.func, ast.Name) and node.func.id in SYMMETRIC else node.args
        for one, two in zip(args, args[1:], strict=False):
            if not isinstance(one, ast.Starred) and not isinstance(two, ast.Starred) and self.text(one) != self.text(two):
                first, second = self.span(one), self.span(two)
                middle = self.source[first[1] : second[0]].decode()
                self.add("swapped arguments", two, self.text(two) + middle + self.text(one), (first[0], second[1]))
        for keyword in node.keywords:
            if keyword.arg not in (None, "strict") and not isinstance(self.statement, ast.Raise):
                start, stop = self.at(keyword.lineno, keyword.col_offset), self.span(keyword.value)[1]
                after = self.source[stop : stop + 40]
                stop += len(after) - len(after.lstrip(b", ")) if after[:1] == b"," else 0
                self.add("dropped argument", keyword.value, "", (start, stop))

    def on_subscript(self, node: ast.Subscript) -> None:
        key = node.slice
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            others = sorted(set(self.keys[-1]) - {key.value})
            if others:
                near = difflib.get_close_matches(key.value, others, n=1, cutoff=0.0)[0]
                self.add("swapped column", key, f'"{near}"')
        elif isinstance(key, ast.Constant) and isinstance(key.value, int):
            return
        elif isinstance(key, ast.Tuple) and len(key.elts) == 2 and all(isinstance(e, ast.Name) for e in key.elts):
            self.add("swapped column", key, f"{self.text(key.elts[1])}, {self.text(key.elts[0])}")

    def on_lambda(self, node: ast.Lambda) -> None:
        """The key of a sort: its entries in another order, or one left out."""
        if isinstance(node.body, ast.Tuple) and len(node.body.elts) > 1:
            parts = [self.text(e) for e in node.body.elts]
            self.add("second key", node.body, f"({', '.join([parts[1], parts[0], *parts[2:]])})")
            self.add("second key", node.body, f"({', '.join(parts[:-1])},)")


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return [e for t in node.targets for e in (t.elts if isinstance(t, ast.Tuple) else [t])]
    return [node.target] if isinstance(node, ast.AugAssign) else []


def _is_type(node: ast.expr) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Callable"


def _is_for_types(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def mutants_of(path: str, source: bytes) -> list[Mutant]:
    """Every mutant of a source in the order of its text; some may not compile or mean the same (see `is_change`)."""
    tree = ast.parse(source)
    walk = _Walk(path, source, tree)
    walk.block(tree.body)
    found = {(m.start, m.stop, m.text): m for m in walk.found}
    return sorted(found.values(), key=lambda m: (m.start, m.stop, m.operator, m.text))


def is_change(mutant: Mutant, source: bytes) -> bool:
    """Whether a mutant compiles and is another program than the source."""
    changed = mutant.applied(source)
    try:
        with warnings.catch_warnings(action="ignore"):  # `is` beside a number, as one would write it by mistake
            compile(changed, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source))
