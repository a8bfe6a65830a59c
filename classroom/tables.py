"""The marks as tables that a spreadsheet opens: a row for each exercise, one for each student, one for each prediction."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from .lessons import Lesson, all_lessons
from .results import OUTCOMES, RIGHT, Marked, better


def write_tables(marked: list[Marked], out: Path) -> list[Path]:
    """Write `out` and, beside it, `...-totals.csv` and `...-predictions.csv`."""
    tables = {out: exercise_rows(marked), beside(out, "totals.csv"): total_rows(marked)}
    tables[beside(out, "predictions.csv")] = prediction_rows(marked)
    for path, rows in tables.items():
        write(path, rows)
    return list(tables)


def beside(out: Path, end: str) -> Path:
    """grades.csv -> grades-totals.csv."""
    return out.with_name(f"{out.stem}-{end}")


def write(path: Path, rows: Iterable[list]) -> None:
    """A CSV with the mark by which Excel tells UTF-8."""
    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([_harmless(value) for value in row] for row in rows)


def _harmless(value):
    """A spreadsheet computes what begins with these; a name or a message from a submission is kept as text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value


def exercise_rows(marked: list[Marked]) -> list[list]:
    """A row for each exercise of each file."""
    titles = {(lesson.stem, e.name): e.title for lesson in all_lessons() for e in lesson.exercises}
    rows = [["student", "file", "lesson", "exercise", "title", "outcome", "hint", "seconds"]]
    for each in marked:
        for mark in each.marks:
            number = mark.exercise.removeprefix("exercise_")
            title = titles.get((each.lesson, mark.exercise), "")
            rows.append([each.student, each.file, each.lesson, number, title, mark.outcome, mark.hint, mark.seconds])
    return rows


def total_rows(marked: list[Marked]) -> list[list]:
    """A row for each student: how many exercises came out how, of how many, and those right in each lesson handed in."""
    lessons = [lesson for lesson in all_lessons() if any(each.lesson == lesson.stem for each in marked)]
    rows = [["student", *OUTCOMES, "of", *(f"right in {lesson.number} (of {len(lesson.exercises)})" for lesson in lessons)]]
    for student in dict.fromkeys(each.student for each in marked):
        best = best_marks([each for each in marked if each.student == student])
        counts = [sum(mark.outcome == outcome for mark in best.values()) for outcome in OUTCOMES]
        rows.append([student, *counts, len(best), *(_right_in(lesson, best) for lesson in lessons)])
    return rows


def _right_in(lesson: Lesson, best: dict) -> int | str:
    outcomes = [mark.outcome for (stem, _), mark in best.items() if stem == lesson.stem]
    return sum(outcome == RIGHT for outcome in outcomes) if outcomes else ""


def best_marks(files: list[Marked]) -> dict[tuple[str, str], object]:
    """{(lesson, exercise): mark} of one student, who may have handed a lesson in more than once."""
    best = {}
    for each in files:
        for mark in each.marks:
            key = (each.lesson or each.file, mark.exercise)
            best[key] = better(best.get(key), mark)
    return best


def prediction_rows(marked: list[Marked]) -> list[list]:
    """A row for each prediction that could be made: what was said, and what the notebook answered. Nothing is marked."""
    rows = [["student", "lesson", "question", "said", "what the notebook showed"]]
    for each in marked:
        rows += [[each.student, each.lesson, p.question, p.said or "", p.shown] for p in each.predictions]
    return rows
