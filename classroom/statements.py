"""What of a submitted cell is run: imports, definitions, constants; an exercise's cell in full, its check replaced by ours."""

from __future__ import annotations

import ast
import re

LINES_NOT_PYTHON = re.compile(r"^[ \t]*[%!].*$", re.M)  # magics and shell commands
DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
ASKED = re.compile(r"exercise_\d+")


def parsed(source: str) -> list[ast.stmt]:
    """The statements of a cell.

    Raises:
        SyntaxError, ValueError: no Python; RecursionError, MemoryError: nested too deeply.
    """
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return compile(LINES_NOT_PYTHON.sub("", source), "<submission>", "exec", flags).body


def definitions(statements: list[ast.stmt]) -> list[ast.stmt]:
    """The imports, functions, classes, and names given to literal values or to a lambda."""
    return [node for node in statements if isinstance(node, DEFINITIONS) or _is_constant(node)]


def _is_constant(node: ast.stmt) -> bool:
    if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
        return False
    if isinstance(node.value, ast.Lambda):
        return True
    try:
        ast.literal_eval(node.value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


class _Checks(ast.NodeTransformer):
    """Replaces every call of `....exercise_N(...)` by `name("exercise_N", ...)`."""

    def __init__(self, name: str):
        self.name, self.found = name, []

    def visit_Call(self, node: ast.Call) -> ast.AST:  # noqa: N802  as ast names it
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and ASKED.fullmatch(node.func.attr):
            self.found.append(node.func.attr)
            node.args.insert(0, ast.Constant(node.func.attr))
            node.func = ast.Name(self.name, ast.Load())
        return node


def with_our_checks(statements: list[ast.stmt], name: str) -> tuple[list[ast.stmt], list[str]]:
    """The statements with each check replaced by a call of `name`, and which exercises they check."""
    checks = _Checks(name)
    replaced = [ast.fix_missing_locations(checks.visit(node)) for node in statements]
    return replaced, list(dict.fromkeys(checks.found))


def run(statement: ast.stmt, namespace: dict) -> None:
    """Execute one statement; it may raise anything."""
    exec(compile(ast.Module([statement], []), "<submission>", "exec"), namespace)
