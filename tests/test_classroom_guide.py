"""The teacher's guide says of the notebooks what is true of them, and of the commands what they are."""

import json
import re
from functools import cache
from pathlib import Path

import nbformat
import pytest

from classroom import page
from classroom.__main__ import parser
from classroom.lessons import all_lessons

ROOT = Path(__file__).parents[1]
GUIDE = page.GUIDE.read_text(encoding="utf-8")
GENERAL, NOTEBOOKS = GUIDE.split("\n# The notebooks\n")
LESSONS = {lesson.number: lesson for lesson in all_lessons()}
PARTS = {part[:2]: part for part in re.split(r"^## (?=\d\d · )", NOTEBOOKS, flags=re.M)[1:]}
MINUTES = {
    number: int(minutes)
    for number, minutes in re.findall(r"\]\(notebooks/(\d\d)_\S+\) .*\| (\d+) \|$", (ROOT / "README.md").read_text(), re.M)
}


@pytest.fixture(params=PARTS)
def number(request) -> str:
    return request.param


@pytest.fixture
def part(number) -> str:
    return PARTS[number]


@cache
def cells(number: str) -> list:
    return nbformat.read(LESSONS[number].path, as_version=4).cells


def headings(number: str) -> set[str]:
    """The headings of a notebook, without the minutes of exercises."""
    prose = "\n".join(cell.source for cell in cells(number) if cell.cell_type == "markdown")
    found = re.findall(r"^#{2,4} (.+)$", prose, re.M)
    return {re.sub(r" \([^()]*minutes[^()]*\)$", "", heading) for heading in found}


def sections(text: str) -> list[str]:
    """The sections named in a piece of the guide, which may break a line within a name."""
    return [" ".join(name.split()) for name in re.findall(r'§\s+"([^"]+)"', text)]


def test_every_lesson_has_its_part():
    assert list(PARTS) == sorted(LESSONS)


def test_title_and_minutes(number, part):
    assert part.startswith(f"{LESSONS[number].title}\n")
    assert f"**Minutes:** {MINUTES[number]}. **Takes:**" in part


def test_it_takes_what_the_notebook_takes(number, part):
    first = cells(number)[0].source
    asked = set(re.findall(r"\]\((\d\d)_", first.split("**It takes**")[1]))
    assert set(re.findall(r"\b\d\d\b", re.search(r"\*\*Takes:\*\* (.*)", part)[1])) == asked


def test_sections_exist(number, part):
    named = sections(part)
    assert named and not set(named) - headings(number), set(named) - headings(number)


def test_sections_of_the_general_part_exist():
    for where, names in re.findall(r'(?:notebook |from |See |\| )(\d\d)[^§|]*((?:§\s+"[^"]+"[^§|.]*)+)', GENERAL):
        assert not set(sections(names)) - headings(where), (where, names)
    assert len(sections(GENERAL)) >= 8


def test_every_prediction_is_there(number, part):
    assert {row[0] for row in page.ROW.findall(part)} == {question.name for question in LESSONS[number].questions}


def test_questions_and_answers_are_those_that_the_notebooks_show(number, part):
    current = page.refreshed(f"## {part}")
    assert current == f"## {part}", "run: python -m classroom page guide.html --refresh"


def test_refreshing_takes_words_and_letter_from_the_notebook():
    number, asked = next((n, q) for n, lesson in LESSONS.items() for q in lesson.questions if q.choices and q.answer)
    old = f"## {number} · x\n| `{asked.name}` Once? | H: no | we expect | once |\n"
    start = f"| `{asked.name}` {asked.text} | {asked.answer}: "
    assert page.refreshed(old).splitlines()[1].startswith(start) and page.refreshed(old).endswith(" | we expect | once |\n")


def test_names_in_code_exist(number, part):
    """What stands in backticks is in the notebook, but for file names."""
    source = "\n".join(cell.source for cell in cells(number))
    for name in re.findall(r"`([^`\n]+)`", part):
        assert name in source or name in ("None", "1 - scale", "-scale", "order"), name


def test_exercises_exist(number, part):
    told = re.search(r"\*\*Exercises\.\*\*(.*?)\n\n", part, re.S)[1]
    count = len(LESSONS[number].exercises)
    assert {int(n) for n in re.findall(r"[Ee]xercises? (\d)\b", part)} <= set(range(1, count + 1))
    assert f" {count} " in " ".join(["", *told.split()]) or count == 6


def test_each_part_has_everything(part):
    for what in ("Afterwards they can", "Cut, if time is short", "Misconceptions", "Discuss", "Exercises", "Breaks"):
        assert f"**{what}" in part
    assert len(re.findall(r"^\d\. ", part, re.M)) == 3 and part.count("*What the miniature cannot show:*") == 1


def plans() -> dict[str, list[list[str]]]:
    """{name: rows of session and notebook} of the plans in the guide."""
    found = re.findall(r"^\*\*(\w+) sessions,\*\*.*?\n\n(\|.*?)\n\n", GENERAL, re.M | re.S)
    return {name: re.findall(r"^\| (\d+) \| (\d\d) \|", table, re.M) for name, table in found}


def test_plans_take_one_notebook_a_session_in_order():
    assert {name: len(rows) for name, rows in plans().items()} == {"Six": 6, "Ten": 10, "Fourteen": 14}
    for rows in plans().values():
        assert [int(session) for session, _ in rows] == list(range(1, len(rows) + 1))
        assert [number for _, number in rows] == sorted({number for _, number in rows})
        assert all(MINUTES[number] <= 60 for _, number in rows)


def test_a_plan_teaches_first_what_a_notebook_takes():
    for name in ("Ten", "Fourteen"):
        taught = set()
        for _, number in plans()[name]:
            takes = re.search(r"\*\*Takes:\*\* ([^\n]*)", PARTS[number])[1].split(";")[0]
            assert set(re.findall(r"\b\d\d\b", takes)) <= taught, (name, number)
            taught.add(number)


def test_the_taster_takes_two_hours():
    table = re.search(r"\*\*A taster of two hours,\*\*.*?\n\n(\|.*?)\n\n", GENERAL, re.S)[1]
    assert sum(int(minutes) for minutes in re.findall(r"^\| (\d+) \|", table, re.M)) == 120


def test_commands_are_those_that_there_are(capsys):
    commands = re.findall(r"python -m classroom ([\w./ -]+)", GUIDE)
    assert {command.split()[0] for command in commands} == {"student", "grade", "wheelhouse", "page"}
    for command in commands:
        parser().parse_args(command.split())
    for option in re.findall(r"`(--[\w-]+)`", GUIDE):
        assert option in (ROOT / "classroom" / "__main__.py").read_text()


def test_numbers_of_the_general_part():
    concepts = json.loads((ROOT / "sd_helpers/emoji_sd/concepts.json").read_text())
    assert f"Of the {len(concepts)} concepts" in GENERAL and "woman-dancing" in concepts
    from classroom.guards import LARGEST_FILE
    from classroom.running import MOST_WRITTEN, Limits

    assert f"{Limits().seconds:.0f} s for an exercise" in GENERAL and f"{Limits().memory / 1e9:.0f} GB of memory" in GENERAL
    assert f"{MOST_WRITTEN / 1e6:.0f} MB written" in GENERAL and f"{LARGEST_FILE / 1e6:.0f} MB for a file" in GENERAL


def test_links_lead_somewhere():
    html = page.page(GUIDE)
    for target in re.findall(r"\]\(([^)]+)\)", GUIDE):
        if target.startswith("#"):
            assert f'id="{target[1:]}"' in html, target
        else:
            assert (page.GUIDE.parent / target.split("#")[0]).exists(), target


def test_the_page_to_print(tmp_path):
    html = page.write_page(tmp_path / "new" / "guide.html").read_text(encoding="utf-8")
    assert html.count('class="lesson"') == len(PARTS) and html.count("<table>") == GUIDE.count("\n|---")
