"""Submissions as they come: who sent which notebook, and what is in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .lessons import CALL, CHECKS, LETTERS, REVEAL, Lesson, all_lessons, defined
from .results import Prediction

LARGEST = 50_000_000  # bytes of a file that is read
MOODLE = re.compile(r"_\d+_assignsubmission_[a-z]*_?")  # what it writes behind a name
SKIPPED = (".ipynb_checkpoints", "__MACOSX", "__pycache__")


class Unreadable(Exception):
    """A file that is no notebook; the message says why and what to do."""


@dataclass(frozen=True)
class Submission:
    """One file that a student handed in."""

    student: str
    path: Path
    cells: tuple[dict, ...] = field(repr=False, default=())  # code cells: {"source": str, "outputs": [...]}
    lesson: Lesson | None = None
    trouble: str = ""  # why there is nothing to mark

    @property
    def sources(self) -> list[str]:
        return [cell["source"] for cell in self.cells]


def collect(folder: Path) -> list[Submission]:
    """Every file below the folder that looks like a submission, in the order of the students' names.

    Raises:
        FileNotFoundError: no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: name the one that the submissions lie in.")
    found = [submission(path, folder) for path in _files(folder)]
    if not found:
        raise FileNotFoundError(f"There are no notebooks in {folder}: files that end in .ipynb are looked for.")
    return sorted(found, key=lambda s: (s.student.lower(), s.lesson.stem if s.lesson else "", str(s.path)))


def _files(folder: Path) -> Iterator[Path]:
    """Notebooks, and zips, which are reported; not what systems leave beside them."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part in SKIPPED for part in inside)
        if path.is_file() and not hidden and path.suffix.lower() in (".ipynb", ".zip"):
            yield path


def submission(path: Path, folder: Path) -> Submission:
    """One file, read; what is wrong with it is kept with it."""
    try:
        cells, headings = read_cells(path)
    except Unreadable as trouble:
        return Submission(student_of(path, folder, None), path, trouble=str(trouble))
    lesson = lesson_of([cell["source"] for cell in cells], headings, path.stem)
    trouble = "" if lesson else "No exercise of the series is in it. Is it the right file?"
    return Submission(student_of(path, folder, lesson), path, tuple(cells), lesson, trouble)


def read_cells(path: Path) -> tuple[list[dict], str]:
    """The code cells of a notebook, and its text cells as one string.

    Raises:
        Unreadable: a file that is no notebook.
    """
    try:
        notebook = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"It is not a whole notebook ({error}). Ask for it again, saved before it is copied.") from None
    cells = _cells(notebook)
    if not cells:
        raise Unreadable("It has no cells. Ask for it again.")
    code = [{"source": _source(cell), "outputs": _outputs(cell)} for cell in cells if cell.get("cell_type") == "code"]
    return code, "\n".join(_source(cell) for cell in cells if cell.get("cell_type") != "code")


def _text(path: Path) -> str:
    """A file's text, in the encodings that editors leave."""
    if path.suffix.lower() == ".zip":
        raise Unreadable("It is a zip. Unpack it where it lies, delete it, and grade again.")
    if path.stat().st_size > LARGEST:
        raise Unreadable(f"It has {path.stat().st_size / 1e6:.0f} MB. Ask for it without outputs.")
    data = path.read_bytes()
    return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


def _cells(notebook) -> list[dict]:
    """The cells of a notebook of format 4 or 3, as far as they are cells."""
    if not isinstance(notebook, dict):
        return []
    sheets = notebook.get("worksheets") or [notebook]
    listed = [sheet.get("cells") or [] for sheet in sheets if isinstance(sheet, dict)]
    return [cell for cells in listed if isinstance(cells, list) for cell in cells if isinstance(cell, dict)]


def _source(cell: dict) -> str:
    """A cell's text, with line ends as Python wants them."""
    source = cell.get("source", cell.get("input", ""))
    text = source if isinstance(source, str) else "".join(map(str, source or ()))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _outputs(cell: dict) -> list[dict]:
    outputs = cell.get("outputs")
    return [output for output in outputs if isinstance(output, dict)] if isinstance(outputs, list) else []


def lesson_of(sources: list[str], text: str, stem: str) -> Lesson | None:
    """Which lesson it is, by what is in it and, failing that, by the file's name."""
    code = "\n".join(sources)
    calls, named = set(CALL.findall(code)), set().union(*map(defined, sources))

    def agreement(lesson: Lesson) -> float:
        own = {(e.name, ", ".join(e.answers)) for e in lesson.exercises}
        names = {answer for e in lesson.exercises for answer in e.answers}
        score = len(own & calls) + 2 * (lesson.checks in CHECKS.findall(code))
        return score + 0.5 * len(names & named) + (f"# {lesson.title}" in text) + (lesson.stem in stem)

    best = max(all_lessons(), key=agreement)
    return best if agreement(best) >= 1 else None


def student_of(path: Path, folder: Path, lesson: Lesson | None) -> str:
    """The student's name: of the folder below the one given, or what a file's name has beside the lesson's."""
    inside = path.relative_to(folder).parts
    if len(inside) > 1:
        return MOODLE.sub("", inside[0]) or inside[0]
    known = [lesson] if lesson else all_lessons()
    name = MOODLE.sub(" ", path.stem)
    for each in known:
        name = name.replace(each.stem, " ")
    name = re.sub(r"\(\d+\)|[-_ ]copy\d*\b|(?<![^\W_])\d\d(?![^\W_])", " ", name, flags=re.I)
    return re.sub(r"[\s_]+", " ", name).strip(" -.,") or path.stem


def predictions(submitted: Submission) -> tuple[Prediction, ...]:
    """What the student predicted, as the cells that reveal have printed it."""
    if submitted.lesson is None:
        return ()
    printed = {}
    for cell in submitted.cells:
        for name in REVEAL.findall(cell["source"]):
            printed[name] = _printed(cell["outputs"])
    return tuple(
        Prediction(question.text, said(printed.get(question.name, ""), question.choices), printed.get(question.name, ""))
        for question in submitted.lesson.questions
    )


def _printed(outputs: list[dict]) -> str:
    """From what a cell printed, the lines in which `reveal` answers."""
    text = "".join("".join(output.get("text") or ()) for output in outputs if output.get("output_type") == "stream")
    found = re.search(r"(You predicted it: |You said [A-H]: |The answer is [A-H]: ).*", text, re.S)
    return " ".join(found[0].split()) if found else ""


def said(printed: str, choices: tuple[str, ...]) -> str | None:
    """The choice that was made: from what `reveal` printed, its letter looked up among the choices."""
    found = re.match(r"(?:You predicted it: |You said )([A-H]): ", printed)
    if not found:
        return None
    place = LETTERS.index(found[1])
    return choices[place] if place < len(choices) else found[1]
