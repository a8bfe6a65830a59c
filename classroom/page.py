"""The teacher's guide as one page of HTML, to print or to save as a PDF: A4, a new sheet for each notebook."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import mistune

from .lessons import LETTERS, Question, all_lessons

ROW = re.compile(r"^\| `(\w+)` (.*?) \| ([A-H]): (.*?) \| (.*) \| (once|twice) \|$", re.M)  # of a table of predictions
GUIDE = Path(__file__).parent / "guide.md"
STYLE = """
@page { size: A4; margin: 18mm 16mm; }
body { font: 10.5pt/1.4 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.6em; } h2 { font-size: 1.25em; margin-top: 1.6em; } a { color: #1f4e8c; }
h2.lesson { break-before: page; } h1, h2 { break-after: avoid; } tr, li, pre { break-inside: avoid; }
table { border-collapse: collapse; width: 100%; margin: .6em 0; } th { text-align: left; }
td, th { padding: .25em .5em; border-top: 1px solid #ccc; vertical-align: top; }
code { font-size: .92em; background: #f3f3f3; padding: 0 .2em; } pre { background: #f3f3f3; padding: .6em; overflow-x: auto; }
pre code { padding: 0; }
@media print { body { margin: 0; padding: 0; max-width: none; } pre { white-space: pre-wrap; } }
"""


def write_page(out: Path) -> Path:
    """Write the guide as HTML to `out`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(GUIDE.read_text(encoding="utf-8")), encoding="utf-8")
    return out


def refreshed(guide: str) -> str:
    """The guide with the questions and answers that the notebooks show now; rows of notebooks that were not run stay."""
    parts = re.split(r"^(?=## \d\d · )", guide, flags=re.M)
    for i, part in enumerate(parts[1:], start=1):
        asked = {q.name: q for lesson in all_lessons() if part.startswith(f"## {lesson.number} ") for q in lesson.questions}
        parts[i] = ROW.sub(lambda row, asked=asked: _row(row, asked.get(row[1])), part)
    return "".join(parts)


def _row(row: re.Match, question: Question | None) -> str:
    if question is None or not (question.choices and question.answer):
        return row[0]
    answer = question.choices[LETTERS.index(question.answer)].rstrip(".")
    return f"| `{row[1]}` {question.text} | {question.answer}: {answer} | {row[5]} | {row[6]} |"


def page(markdown: str) -> str:
    """The whole page; its headings can be linked to by their words, as on GitHub."""
    body = mistune.create_markdown(plugins=["table"])(markdown)
    body = re.sub(r"<h([12])>(.*?)</h\1>", _heading, body)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>The teacher\'s guide</title>'
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n'


def _heading(found: re.Match) -> str:
    level, words = found[1], found[2]
    anchor = re.sub(r"[^\w -]", "", unescape(words).lower()).replace(" ", "-")
    kind = ' class="lesson"' if re.match(r"\d\d · ", words) else ""
    return f'<h{level} id="{anchor}"{kind}>{words}</h{level}>'
