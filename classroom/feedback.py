"""A page for each student: how each exercise went, the hint, and what was predicted; one file, to print or to mail."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from .lessons import all_lessons
from .results import OPEN, RAISED, RIGHT, TOO_LONG, WORDS, Marked

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; }
td, th { padding: .5rem .6rem; border-top: 1px solid #ddd; vertical-align: top; } td:first-child { width: 38%; }
.right { color: #1b6e3c; } .not-yet { color: #8a5300; } .raised, .too-long, .not-marked { color: #a3262a; } .open { color: #666; }
b { font-weight: 600; } p, td { overflow-wrap: anywhere; } .small { color: #666; font-size: .9rem; }
"""
NEXT = {  # what to do where there is no hint
    OPEN: "Replace the ... in the function and run its cell.",
    TOO_LONG: "Look for a loop that does not end, and try smaller numbers.",
    RAISED: "Run the cell again after Kernel, Restart, and read the last line of the error.",
}


def write_feedback(marked: list[Marked], folder: Path) -> list[Path]:
    """Write NAME.html for each student into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[Path, str] = {}
    for student in dict.fromkeys(each.student for each in marked):
        path = _free(folder / f"{_file_name(student)}.html", paths)
        paths[path] = page(student, [each for each in marked if each.student == student])
        path.write_text(paths[path], encoding="utf-8")
    return list(paths)


def _file_name(student: str) -> str:
    """A student's name as a name of a file on every system."""
    return re.sub(r"[^\w .-]", "_", student).strip(". ")[:80] or "student"


def _free(path: Path, taken: dict) -> Path:
    """The path, or one with a number, if another student's name gives the same."""
    names = {str(other).lower() for other in taken}
    numbered = [path, *(path.with_stem(f"{path.stem}-{i}") for i in range(2, len(taken) + 3))]
    return next(each for each in numbered if str(each).lower() not in names)


def page(student: str, files: list[Marked]) -> str:
    """The whole page."""
    parts = [_part(each) for each in sorted(files, key=lambda each: (each.lesson, each.file))]
    return document(f"Feedback for {student}", "\n".join(parts))


def document(title: str, body: str) -> str:
    """An HTML page of one file; the body is HTML already."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    page = f"<head>{head}<style>{STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n{body}</body>"
    return f'<!doctype html>\n<html lang="en">{page}</html>\n'


def _part(marked: Marked) -> str:
    """One notebook."""
    lesson = next((lesson for lesson in all_lessons() if lesson.stem == marked.lesson), None)
    if lesson is None:
        return f"<h2>{escape(marked.file)}</h2>\n<p class='not-marked'>{escape(marked.marks[0].hint)}</p>"
    titles = {exercise.name: exercise.title for exercise in lesson.exercises}
    rows = "\n".join(_row(titles[mark.exercise], mark) for mark in marked.marks)
    count = f"{marked.right} of {len(marked.marks)} right"
    return (
        f"<h2>{escape(lesson.title)}</h2>\n<p class='small'>{escape(marked.file)}: {count}.</p>\n"
        f"<table>\n{rows}\n</table>\n{_predictions(marked)}"
    )


def _row(title: str, mark) -> str:
    """One exercise: its title without the minutes, the outcome, and the hint or the next thing to do."""
    title = re.sub(r" \([^()]*minutes[^()]*\)$", "", title)
    hint = mark.hint or NEXT.get(mark.outcome, "")
    css = mark.outcome.replace(" ", "-")
    end = "." if mark.outcome != RIGHT or hint else ""
    return f"<tr><td>{escape(title)}</td><td><b class='{css}'>{WORDS[mark.outcome]}{end}</b> {escape(hint)}</td></tr>"


def _predictions(marked: Marked) -> str:
    """What was predicted, without a verdict."""
    made = [prediction for prediction in marked.predictions if prediction.said]
    if not made:
        return ""
    rows = "\n".join(f"<tr><td>{escape(p.question)}</td><td>You said: {escape(p.said.rstrip('.'))}.</td></tr>" for p in made)
    return f"<p>What you predicted, before you ran it (not marked):</p>\n<table>\n{rows}\n</table>"
