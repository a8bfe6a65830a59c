"""The class at a glance: for each lesson a picture of which exercise went how, and which misconceptions were how frequent."""

from __future__ import annotations

import base64
import io
import re
import textwrap
from collections import Counter
from html import escape
from pathlib import Path

from .feedback import document
from .lessons import Lesson, all_lessons
from .results import NOT_MARKED, NOT_YET, OPEN, OUTCOMES, RAISED, RIGHT, TOO_LONG, Marked
from .tables import beside, best_marks

COLOURS = {RIGHT: "#2e8b57", NOT_YET: "#e0a030", OPEN: "#d5d5d5", RAISED: "#c2504d", TOO_LONG: "#7d5ba6", NOT_MARKED: "#555555"}
HINTS = 4  # of one exercise are shown
WIDE = 80  # characters in a line of a hint
TITLE = 34  # characters of a line of it, beside the bar


def write_overview(marked: list[Marked], out: Path) -> list[Path]:
    """Write `...-overview.html` beside `out`, and a picture, `...-overview-NN.png`, for each lesson handed in."""
    pages, written = [], []
    for lesson in all_lessons():
        handed_in = [each for each in marked if each.lesson == lesson.stem]
        if handed_in:
            picture = draw(lesson, handed_in)
            path = beside(out, f"overview-{lesson.number}.png")
            path.write_bytes(picture)
            written.append(path)
            pages.append(_section(lesson, handed_in, picture))
    page = beside(out, "overview.html")
    body = "\n".join([_files(marked), *pages])
    page.write_text(document("The class at a glance", body), encoding="utf-8")
    return [page, *written]


def counted(lesson: Lesson, marked: list[Marked]) -> dict[str, Counter]:
    """{exercise: how many students had which outcome}, each student's best."""
    outcomes = {exercise.name: Counter() for exercise in lesson.exercises}
    for mark in _best(marked):
        outcomes[mark.exercise][mark.outcome] += 1
    return outcomes


def misconceptions(marked: list[Marked], exercise: str) -> list[tuple[str, int]]:
    """The hints of an exercise, most frequent first, errors last; such as differ in their numbers alone count as one."""
    kinds, words = Counter(), {}
    for mark in _best(marked):
        if mark.exercise == exercise and mark.outcome in (NOT_YET, RAISED) and mark.hint:
            kind = re.sub(r"\(off by [^()]*\)|-?\d[\d.,]*(e[+-]?\d+)?", "#", mark.hint)
            kinds[mark.outcome, kind] += 1
            words.setdefault(kind, re.sub(r" \(off by [^()]*\)", "", mark.hint))
    ordered = sorted(kinds.items(), key=lambda item: (item[0][0] == RAISED, -item[1]))
    return [(words[kind], count) for (_, kind), count in ordered]


def _best(marked: list[Marked]) -> list:
    """One mark for each student and exercise."""
    students = dict.fromkeys(each.student for each in marked)
    return [mark for student in students for mark in best_marks([m for m in marked if m.student == student]).values()]


def draw(lesson: Lesson, marked: list[Marked]) -> bytes:
    """The picture of one lesson, as PNG: a bar for each exercise, and its misconceptions under it."""
    from matplotlib.figure import Figure

    rows = _rows(lesson, marked)
    heights = [0.55 if kind == "exercise" else 0.26 * (text.count("\n") + 1) + 0.1 for kind, text, _ in rows]
    total = sum(heights) + 1.1
    figure = Figure(figsize=(9.2, total), dpi=110, facecolor="white")
    students = len({each.student for each in marked})
    figure.text(0.02, 1 - 0.32 / total, f"{lesson.title}: {students} students", fontsize=14, weight="bold", va="center")
    _legend(figure, 1 - 0.68 / total)
    axes = figure.add_axes((0.02, 0.0, 0.96, 1 - 0.9 / total))
    axes.set(xlim=(0, 100), ylim=(sum(heights) + 0.2, 0))
    axes.axis("off")
    top = 0.0
    for (kind, text, counts), height in zip(rows, heights):
        (_draw_exercise if kind == "exercise" else _draw_hint)(axes, top, text, counts, students)
        top += height
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _rows(lesson: Lesson, marked: list[Marked]) -> list[tuple]:
    """("exercise", title, Counter) and ("hint", wrapped text, count), from top to bottom."""
    rows = []
    for exercise in lesson.exercises:
        title = re.sub(r" \([^()]*minutes[^()]*\)$", "", exercise.title)
        rows.append(("exercise", title, counted(lesson, marked)[exercise.name]))
        for hint, count in misconceptions(marked, exercise.name)[:HINTS]:
            rows.append(("hint", textwrap.fill(hint, WIDE, max_lines=3, placeholder=" ..."), count))
    return rows


def _legend(figure, y: float) -> None:
    x = 0.02
    for outcome in OUTCOMES:
        figure.text(x, y, "■", color=COLOURS[outcome], fontsize=12, va="center")
        figure.text(x + 0.02, y, outcome, fontsize=10, va="center")
        x += 0.042 + 0.0102 * len(outcome)


def _draw_exercise(axes, top: float, title: str, counts: Counter, students: int) -> None:
    """A title and a bar in which every student has the same width."""
    lines = textwrap.fill(title, TITLE, max_lines=2, placeholder=" ...")
    axes.text(0, top + 0.3, lines, fontsize=10, weight="bold", va="center", linespacing=1.15)
    left, one = 36.0, 64 / max(1, students)
    for outcome in OUTCOMES:
        wide = counts[outcome] * one
        if wide:
            axes.barh(top + 0.3, wide, 0.36, left, color=COLOURS[outcome], edgecolor="white")
            ink = "black" if outcome in (OPEN, NOT_YET) else "white"
            axes.text(left + wide / 2, top + 0.3, counts[outcome], ha="center", va="center", fontsize=10, color=ink)
        left += wide


def _draw_hint(axes, top: float, text: str, count: int, students: int) -> None:
    """How often, and what was said."""
    axes.text(34.5, top + 0.04, f"{count} ×", fontsize=10, va="top", ha="right", color="#8a5300", weight="bold")
    axes.text(36, top + 0.04, text.replace("$", r"\$"), fontsize=9.5, va="top", color="#333333", linespacing=1.25)


def _files(marked: list[Marked]) -> str:
    """What could not be read, and what has to be looked at."""
    trouble = [(each.student, each.file, mark.hint) for each in marked for mark in each.marks if mark.outcome == NOT_MARKED]
    rows = "".join(f"<tr><td>{escape(who)}: {escape(file)}</td><td>{escape(hint)}</td></tr>" for who, file, hint in trouble)
    students = len({each.student for each in marked})
    table = f"<h2>Look at these yourself</h2>\n<table>{rows}</table>" if rows else ""
    return f"<p>{len(marked)} files of {students} students. Only imports, definitions and exercises were run.</p>\n{table}"


def _section(lesson: Lesson, marked: list[Marked], picture: bytes) -> str:
    """A lesson: its picture, told in words for who cannot see it, and how the class predicted."""
    counts = counted(lesson, marked)
    told = "; ".join(f"{e.title.split(' · ')[0]}: " + _told(counts[e.name]) for e in lesson.exercises)
    data = base64.b64encode(picture).decode()
    image = f'<img style="width:100%" alt="{escape(told)}" src="data:image/png;base64,{data}">'
    return f"<h2>{escape(lesson.title)}</h2>\n{image}\n{_predicted(lesson, marked)}"


def _told(counts: Counter) -> str:
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])


def _predicted(lesson: Lesson, marked: list[Marked]) -> str:
    """For each question how many said what."""
    rows = []
    for question in lesson.questions:
        said = Counter(p.said for each in marked for p in each.predictions if p.question == question.text and p.said)
        if said:
            what = "; ".join(f"{said[choice]} × {choice.rstrip('.')}" for choice in question.choices if said[choice])
            rows.append(f"<tr><td>{escape(question.text)}</td><td>{escape(what)}</td></tr>")
    return f"<p>What the class predicted (not marked):</p>\n<table>{''.join(rows)}</table>" if rows else ""
