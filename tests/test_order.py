"""Cells run out of order: what a name means must not hang on which of several cells ran last."""

import re
import symtable
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAGIC = re.compile(r"^\s*[%!].*$", re.M)


def tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    """A table of names, and those of all functions and comprehensions in it."""
    yield table
    for child in table.get_children():
        yield from tables(child)


def bound_and_read(source: str) -> tuple[set[str], set[str]]:
    """The names that a cell binds, other than by an import, and those that it reads from other cells."""
    top = symtable.symtable(MAGIC.sub("pass", source), "cell", "exec")
    bound = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    imported = {s.get_name() for s in top.get_symbols() if s.is_imported()}
    read = {s.get_name() for t in tables(top) for s in t.get_symbols() if s.is_referenced() and (t is top or s.is_global())}
    return bound - imported, read - bound


def ambiguous(sources: list[str]) -> dict[str, list[int]]:
    """Names that one cell reads and several others bind -> those cells, counted from 1."""
    binding, read = defaultdict(list), set()
    for number, source in enumerate(sources, start=1):
        bound, elsewhere = bound_and_read(source)
        read |= elsewhere
        for name in bound:
            binding[name].append(number)
    return {name: cells for name, cells in binding.items() if len(cells) > 1 and name in read}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_cell_reads_is_bound_in_one_other_cell(path):
    cells = nbformat.read(path, as_version=4).cells
    assert not ambiguous([cell.source for cell in cells if cell.cell_type == "code"])


@pytest.mark.parametrize(
    "sources, found",
    [
        (["x = 1", "x = 2", "print(x)"], {"x": [1, 2]}),
        (["x = 1", "for x in 'ab': pass", "def f():\n    return x"], {"x": [1, 2]}),
        (["def f(): pass", "f = 1", "[f for _ in 'ab']"], {"f": [1, 2]}),
        (["x = 1", "x = 2; print(x)"], {}),
        (["x = 1", "[x for x in 'ab']", "print(x)"], {}),
        (["x = 1", "def f(x):\n    y = x\n    return y", "y = x"], {}),
        (["import torch", "import torch", "torch.ones(1)"], {}),
    ],
)
def test_it_is_found(sources, found):
    assert ambiguous(sources) == found
