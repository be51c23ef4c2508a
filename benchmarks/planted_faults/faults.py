"""Small faults that a slip of the hand could make: where one can be planted, and what it changes.

A fault replaces one expression or statement of one file. What only a reader sees is left alone:
docstrings, messages, annotations, ``__all__``, what stands under ``TYPE_CHECKING``.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeGuard

_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_TELLING = {"say", "log", "warn", "warning", "info", "debug", "echo", "print"}
_ORDERLESS = {"min", "max", "gcd", "cast", "isinstance", "issubclass", "getattr", "hasattr"}
_SMALL = 10

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Fault:
    """One replacement in one file.

    Attributes:
        path: The file, from the top of the checkout.
        line: Of the first line that changes.
        code: That line.
        kind: What slipped.
        before: What stands there.
        after: What the fault puts in its place.
        start: Where the replaced bytes begin.
        end: Where they end.
    """

    path: str
    line: int
    code: str
    kind: str
    before: str
    after: str
    start: int
    end: int

    def plant(self, source: bytes) -> bytes:
        """The file with the fault."""
        return source[: self.start] + self.after.encode() + source[self.end :]


def find(path: str, source: bytes) -> list[Fault]:
    """Every fault that can be planted in a file.

    Args:
        path: Its name in the faults.
        source: Its bytes.
    """
    finder = _Finder(path, source)
    finder.walk(ast.parse(source))
    return finder.found


def draw(sources: Mapping[str, bytes], count: int, seed: int) -> list[Fault]:
    """Faults for a sample, no two on one line.

    A file is drawn by its number of lines, then a kind of fault, each as likely as another, then
    the place; so that what a language has most of, names and calls, does not fill the sample.
    """
    chance = random.Random(seed)
    found = {path: find(path, source) for path, source in sorted(sources.items())}
    paths = [path for path in found if found[path]]
    weights = [sources[path].count(b"\n") for path in paths]
    taken: dict[tuple[str, int], Fault] = {}
    while len(taken) < min(count, sum(len({one.line for one in found[path]}) for path in paths)):
        (path,) = chance.choices(paths, weights)
        kind = chance.choice(sorted({one.kind for one in found[path]}))
        fault = chance.choice([one for one in found[path] if one.kind == kind])
        taken.setdefault((path, fault.line), fault)
    return sorted(taken.values(), key=lambda one: (one.path, one.line))


class _Finder:
    def __init__(self, path: str, source: bytes) -> None:
        self.found: list[Fault] = []
        self._path = path
        self._source = source
        starts = [0]
        for line in source.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        self._starts = starts
        self._functions: list[Function] = []

    def walk(self, node: ast.AST) -> None:
        """Look at a node and at everything below it that runs and matters."""
        if isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert):
            return
        if isinstance(node, Function):
            self._default(node.args)
            self._functions.append(node)
            for statement in node.body:
                self.walk(statement)
            self._functions.pop()
            return
        if isinstance(node, ast.stmt):
            if _is_only_read(node):
                return
            self._statement(node)
            if isinstance(node, ast.Raise) or _tells(node):
                return
        elif isinstance(node, ast.expr):
            self._expression(node)
        for child in _below(node):
            self.walk(child)

    def _note(self, node: ast.expr | ast.stmt, kind: str, after: str) -> None:
        start = self._starts[node.lineno - 1] + node.col_offset
        end = self._starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        before = self._source[start:end].decode()
        if "".join(before.split()) not in ("".join(after.split()), "".join(after[1:-1].split())):
            self.found.append(
                Fault(self._path, node.lineno, self._code(node), kind, before, after, start, end)
            )

    def _code(self, node: ast.expr | ast.stmt) -> str:
        start, end = self._starts[node.lineno - 1 : node.lineno + 1]
        return self._source[start:end].decode().strip()

    def _default(self, arguments: ast.arguments) -> None:
        for value in (*arguments.defaults, *arguments.kw_defaults):
            if isinstance(value, ast.Constant) and isinstance(value.value, bool):
                self._note(value, "default", str(not value.value))
            elif isinstance(value, ast.Constant) and isinstance(value.value, int | float):
                self._note(value, "default", _another(value.value))

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.If):
            self._note(node.test, "if", "True")
            self._note(node.test, "if", "False")
        elif isinstance(node, ast.Return) and node.value is not None:
            for after in _other_results(node.value, self._functions[-1].returns):
                self._note(node.value, "return", after)
        if self._functions and self._can_be_missing(node):
            self._note(node, "removed", "pass")

    def _can_be_missing(self, node: ast.stmt) -> bool:
        """Whether the code without it still runs; the first assignment of a name is not enough."""
        if isinstance(node, ast.Expr):
            value = node.value.value if isinstance(node.value, ast.Await) else node.value
            return isinstance(value, ast.Call) and not _tells(node)
        if isinstance(node, ast.Assign):
            names = [
                one.id
                for one in ast.walk(node)
                if isinstance(getattr(one, "ctx", None), ast.Store) and isinstance(one, ast.Name)
            ]
            return all(name in self._known_before(node) for name in names)
        return isinstance(node, ast.AugAssign | ast.Raise | ast.Continue | ast.Break | ast.Delete)

    def _known_before(self, node: ast.stmt) -> set[str]:
        function = self._functions[-1]
        arguments = [*function.args.args, *function.args.kwonlyargs, *function.args.posonlyargs]
        return {one.arg for one in arguments} | {
            one.id
            for one in ast.walk(function)
            if isinstance(one, ast.Name)
            and isinstance(one.ctx, ast.Store)
            and one.lineno < node.lineno
        }

    def _expression(self, node: ast.expr) -> None:
        if isinstance(node, ast.Compare):
            for at, operator in enumerate(node.ops):
                for other in _COMPARED[type(operator)]:
                    ops = [*node.ops[:at], other(), *node.ops[at + 1 :]]
                    after = ast.Compare(node.left, ops, node.comparators)
                    self._note(node, "comparison", f"({ast.unparse(after)})")
        elif isinstance(node, ast.BoolOp):
            other_op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            self._note(
                node, "and/or", f"({ast.unparse(ast.BoolOp(op=other_op, values=node.values))})"
            )
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self._note(node, "not", f"({ast.unparse(node.operand)})")
        elif isinstance(node, ast.BinOp) and type(node.op) in _COMPUTED:
            if not any(_is_text(side) for side in (node.left, node.right)):
                computed = ast.BinOp(node.left, _COMPUTED[type(node.op)](), node.right)
                self._note(node, "arithmetic", f"({ast.unparse(computed)})")
        elif isinstance(node, ast.Constant) and _is_number(node.value):
            self._note(node, "constant", _another(node.value))
        elif isinstance(node, ast.IfExp):
            self._note(node.test, "if", "True")
            self._note(node.test, "if", "False")
        elif isinstance(node, ast.Call):
            self._call(node)

    def _call(self, node: ast.Call) -> None:
        if _called(node) in _ORDERLESS or any(isinstance(one, ast.Starred) for one in node.args):
            return
        for at in range(len(node.args) - 1):
            args = [*node.args[:at], node.args[at + 1], node.args[at], *node.args[at + 2 :]]
            self._note(node, "swapped", ast.unparse(ast.Call(node.func, args, node.keywords)))


def _below(node: ast.AST) -> Iterator[ast.AST]:
    """What runs, in order: no annotations, no decorators."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases", "type_params"):
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.AST):
                yield one


def _is_only_read(node: ast.stmt) -> bool:
    """Type checkers' branches, the public names, and class variables without a value."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    if isinstance(node, ast.Assign | ast.AnnAssign):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        return isinstance(target, ast.Name) and target.id in ("__all__", "__slots__")
    return False


def _tells(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and _called(node.value) in _TELLING
    )


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _another(value: float) -> str:
    """A number that a slip could put there: the next one, or the double."""
    if isinstance(value, int):
        return str(value + 1) if abs(value) < _SMALL else str(value * 2)
    return str(value * 2) if value else "1.0"


def _other_results(value: ast.expr, annotation: ast.expr | None) -> Iterator[str]:
    """What a function could return instead and keep its type."""
    kind = "" if annotation is None else ast.unparse(annotation)
    text = ast.unparse(value)
    if text in ("None", "''", "[]", "{}", "()"):
        return
    if "None" in kind.replace(" ", "").split("|"):
        yield "None"
    elif kind == "bool":
        yield f"not ({text})"
    elif kind in ("int", "float"):
        yield f"({text}) + 1"
    elif kind == "str":
        yield "''"
    elif kind.startswith(("list[", "dict[", "tuple[", "set[")):
        yield f"type({text})()"
