"""What each lesson asks of a student, read from the notebooks themselves, so that a new one joins by its file."""

from __future__ import annotations

import ast
import html
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"

LETTERS = "ABCDEFGH"  # of choices
CALL = re.compile(r"^\w+\.(exercise_\d+)\(([\w, ]+)\)", re.M)
CHECKS = re.compile(r"from sd_helpers\.exercises import (\w+)")
QUESTION = re.compile(r"^(\w+) = question\(", re.M)
REVEAL = re.compile(r"\b(\w+)\.reveal\(")


@dataclass(frozen=True)
class Exercise:
    """One exercise: `exercise_2`, its heading, and the names that its check is given."""

    name: str
    title: str
    answers: tuple[str, ...]

    @property
    def number(self) -> int:
        return int(self.name.split("_")[1])


@dataclass(frozen=True)
class Question:
    """A prediction: the name it is kept under, and its words, choices and answer's letter where the notebook shows them."""

    name: str
    text: str
    choices: tuple[str, ...] = ()
    answer: str = ""


@dataclass(frozen=True)
class Lesson:
    """A notebook of the series."""

    path: Path
    title: str
    checks: str  # the module in sd_helpers.exercises
    exercises: tuple[Exercise, ...]
    questions: tuple[Question, ...]
    cells: tuple[str, ...] = field(repr=False)  # the source of its code cells

    @property
    def number(self) -> str:
        return self.path.stem[:2]

    @property
    def stem(self) -> str:
        return self.path.stem

    @property
    def given(self) -> tuple[str, ...]:
        """The code cells that hold no exercise."""
        return tuple(source for source in self.cells if not CALL.search(source))


@cache
def all_lessons(folder: Path = NOTEBOOKS) -> tuple[Lesson, ...]:
    """Every lesson in the folder, in order.

    Raises:
        FileNotFoundError: a folder without notebooks.
    """
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise FileNotFoundError(f"There are no notebooks in {folder}: run this from the folder that the project came in.")
    return tuple(read_lesson(path) for path in paths)


def read_lesson(path: Path) -> Lesson:
    """One lesson, from its notebook."""
    notebook = nbformat.read(path, as_version=4)
    cells = tuple(cell.source for cell in notebook.cells if cell.cell_type == "code")
    checks = CHECKS.search("\n".join(cells))
    title = re.search(r"^# (.+)$", notebook.cells[0].source, re.M)
    return Lesson(path, title[1], checks[1] if checks else "", _exercises(notebook), _questions(notebook), cells)


def _exercises(notebook) -> tuple[Exercise, ...]:
    """The exercises, with the last heading above each."""
    found, heading = [], ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = (re.findall(r"^#{2,4} (Exercise .+)$", cell.source, re.M) or [heading])[-1]
        else:
            found += [Exercise(name, heading, tuple(re.split(r",\s*", names))) for name, names in CALL.findall(cell.source)]
    return tuple(found)


def _questions(notebook) -> tuple[Question, ...]:
    """The predictions: words, choices and answer as the stored page shows them, since the source computes them."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    answers = {name: shown_answer(cell) for cell in code for name in REVEAL.findall(cell.source)}
    return tuple(
        Question(name, *shown_question(cell) or (name, ()), answers.get(name, ""))
        for cell in code
        for name in QUESTION.findall(cell.source)
    )


def shown_answer(cell) -> str:
    """The letter that a cell that reveals has printed, or nothing where it was not run."""
    printed = " ".join("".join("".join(output.get("text", "")) for output in cell.outputs).split())
    found = re.search(r"The answer is ([A-H]): |You predicted it: ([A-H]): ", printed)
    return (found[1] or found[2]) if found else ""


def shown_question(cell) -> tuple[str, tuple[str, ...]] | None:
    """The words and the choices that a run cell shows, or None where it was not run."""
    shown = "".join("".join(output.get("data", {}).get("text/html", "")) for output in cell.get("outputs", ()))
    text = re.search(r'class="sd-question-text"><b>(.*?)</b><br>(.*?)</div>', shown, re.S)
    if not text:
        return None
    choices = (re.sub(r"^\s*<b>\w</b>&nbsp;\s*", "", line) for line in text[2].split("<br>"))
    return html.unescape(text[1]), tuple(html.unescape(choice) for choice in choices)


def defined(source: str) -> set[str]:
    """The names of the functions that a cell defines; none where it is no Python."""
    try:
        return {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
    except (SyntaxError, ValueError):
        return set()
