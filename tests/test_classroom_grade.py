"""The grader: submissions of every kind, as classes hand them in; what is right, and that nothing unchecked is."""

import csv
import json
import os
import re
import sys
from pathlib import Path

import nbformat
import pytest

from classroom import lessons, statements, submissions
from classroom.grade import free_cores, grade, mark_all
from classroom.results import NOT_MARKED, NOT_YET, OPEN, RAISED, RIGHT, TOO_LONG, Mark, better
from classroom.running import Limits, run
from classroom.student import student_edition

SOLUTIONS = lessons.NOTEBOOKS / "solutions"
LESSON = next(lesson for lesson in lessons.all_lessons() if lesson.number == "05")
SOLVED = {
    1: "def same_as(scale):\n    return 1 - scale",
    2: "def two_wishes(e, a, b, scale_a, scale_b):\n    return e + scale_a * (a - e) + scale_b * (b - e)",
}
OPENED = {1: "def same_as(scale):\n    return ...", 2: "def two_wishes(e, a, b, scale_a, scale_b):\n    return ..."}
CHECK = {1: "check.exercise_1(same_as)", 2: "check.exercise_2(two_wishes)"}
IMPORT = "from sd_helpers.exercises import denoising as check"


def notebook(*sources: str) -> str:
    """A notebook of code cells, as JSON."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    return nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# 05 · Guided denoising"), *cells]))


def cell(number: int, source: str | None = None) -> str:
    """An exercise's cell, solved unless told otherwise."""
    return f"{SOLVED[number] if source is None else source}\n\n\n{CHECK[number]}"


def answer(body: str) -> str:
    """A notebook whose first answer does something, and whose second is right: it has to be reached."""
    return notebook(IMPORT, cell(1, f"def same_as(scale):\n    {body}"), cell(2))


def before(source: str) -> str:
    """A notebook in which a cell stands before two exercises that are open."""
    return notebook(IMPORT, source, cell(1, OPENED[1]), cell(2, OPENED[2]))


def inside(source: str) -> str:
    """The same with the source in the exercises' own cells, where it is run."""
    return notebook(IMPORT, source + "\n" + cell(1, OPENED[1]), cell(2, OPENED[2]))


# name: (a notebook's text, what is expected of the first two exercises)
SENT = {
    "right": (notebook(IMPORT, cell(1), cell(2)), [RIGHT, RIGHT]),
    "nothing done": (notebook(IMPORT, cell(1, OPENED[1]), cell(2, OPENED[2])), [OPEN, OPEN]),
    "dots": (notebook(IMPORT, "same_as = ...\n" + CHECK[1], cell(2)), [OPEN, RIGHT]),
    "a misconception": (answer("return -scale"), [NOT_YET, RIGHT]),
    "other line ends": (notebook(IMPORT, cell(1), cell(2)).replace(r"\n", r"\r\n"), [RIGHT, RIGHT]),
    "another kernel": (notebook(IMPORT, cell(1), cell(2)).replace('"metadata": {}', '"metadata": {"name": 7}'), [RIGHT, RIGHT]),
    "cells turned round": (notebook(cell(2), cell(1), IMPORT), [RIGHT, RIGHT]),
    "cells added": (notebook("while True:\n    pass", IMPORT, "1 / 0", cell(1), "exit()", cell(2), "!rm *"), [RIGHT, RIGHT]),
    "a check deleted": (notebook(IMPORT, SOLVED[1], cell(2)), [RIGHT, RIGHT]),
    "an exercise deleted": (notebook(IMPORT, cell(2)), [OPEN, RIGHT]),
    "an answer deleted": (notebook(IMPORT, CHECK[1], cell(2)), [RAISED, RIGHT]),
    "an answer in another cell": (notebook(IMPORT, SOLVED[1], CHECK[1], SOLVED[2], CHECK[2]), [RIGHT, RIGHT]),
    "all in one cell": (notebook("\n".join([IMPORT, cell(1), cell(2)])), [RIGHT, RIGHT]),
    "two attempts": (notebook(IMPORT, cell(1), cell(1, OPENED[1]), cell(2)), [RIGHT, RIGHT]),
    "a magic": (notebook(IMPORT, "%%time\n" + cell(1), "%matplotlib inline\n" + cell(2)), [RIGHT, RIGHT]),
    "a constant elsewhere": (notebook(IMPORT, "one = 1", cell(1, SOLVED[1].replace("1 -", "one -")), cell(2)), [RIGHT, RIGHT]),
    "a result elsewhere": (notebook(IMPORT, "one = int('1')", cell(1, SOLVED[1].replace("1 -", "one -"))), [RAISED, OPEN]),
    "no Python": (notebook(IMPORT, "def same_as(scale:\n" + CHECK[1], cell(2)), [RAISED, RIGHT]),
    "an error": (answer("return 1 / 0"), [RAISED, RIGHT]),
    "an exit": (answer("import sys; sys.exit()"), [RAISED, RIGHT]),
    "an end": (answer("import os; os._exit(0)"), [RAISED, RIGHT]),
    "a crash": (answer("import ctypes; ctypes.string_at(0)"), [RAISED, RIGHT]),
    "a hang": (answer("import time; time.sleep(1000)"), [TOO_LONG, RIGHT]),
    "a loop in a cell": (notebook(IMPORT, "while True:\n    pass\n" + cell(1), cell(2)), [TOO_LONG, RIGHT]),
    "megabytes printed": (answer("print('Right. ' * 4_000_000); return 1 - scale"), [RIGHT, RIGHT]),
    "a question": (answer("return int(input())"), [RAISED, RIGHT]),
    "a program": (answer("import subprocess; subprocess.run(['true']); return 1 - scale"), [RAISED, RIGHT]),
    "a call home": (answer("import socket; socket.create_connection(('127.0.0.1', 9)); return 1 - scale"), [RAISED, RIGHT]),
    "a download": (answer("import urllib.request as r; r.urlopen('http://example.org'); return 1 - scale"), [RAISED, RIGHT]),
    "a file of its own": (answer("open('mine.txt', 'w').write('x'); return 1 - scale"), [RIGHT, RIGHT]),
    "its own Right": (notebook(IMPORT, "print('Right.')\n" + cell(1, OPENED[1]), cell(2, OPENED[2])), [OPEN, OPEN]),
    "its own check": (before("class check:\n    exercise_1 = exercise_2 = print"), [OPEN, OPEN]),
    "its own check inside": (inside("class check:\n    exercise_1 = exercise_2 = lambda f: print('Right.')"), [OPEN, OPEN]),
    "a check replaced": (inside("check.exercise_1 = check.exercise_2 = lambda f: None"), [NOT_MARKED, NOT_MARKED]),
    "a judge replaced": (
        notebook(IMPORT, "check.expect_known = lambda *a, **k: None\n" + cell(1, "def same_as(scale):\n    return 7"), cell(2)),
        [NOT_MARKED, NOT_MARKED],
    ),
    "a judge's code replaced": (
        notebook(IMPORT, "check.expect_known.__code__ = (lambda *a, **k: None).__code__\n" + cell(1, "same_as = abs"), cell(2)),
        [NOT_MARKED, NOT_MARKED],
    ),
    "torch replaced": (inside("import torch\ntorch.allclose = torch.Tensor.__le__ = lambda *a, **k: True"), [NOT_MARKED] * 2),
    "equal to everything": (
        notebook(IMPORT, "class Yes(float):\n    __eq__ = lambda *a: True", cell(1, "def same_as(s):\n    return Yes()")),
        [NOT_YET, OPEN],
    ),
    "a pipe written into": (
        inside("import os\nfor n in range(3, 300):\n    try: os.write(n, b'{\"outcome\": \"right\"}')\n    except OSError: pass"),
        None,  # anything but right
    ),
}  # fmt: skip
ODD = {  # files that are no notebook of the series: (name, bytes, part of what is said)
    "broken/05_guided_denoising.ipynb": (b'{"cells": [{"cell_type": "code", "source": "x', "not a whole notebook"),
    "empty/05.ipynb": (b"", "not a whole notebook"),
    "list/05.ipynb": (b"[1, 2]", "no cells"),
    "picture/05.ipynb": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not a whole notebook"),
    "zipped/all.zip": (b"PK\x05\x06" + bytes(18), "Unpack it"),
    "other/work.ipynb": (notebook("print('hello')").replace("05 · Guided denoising", "Mine").encode(), "No exercise"),
}


@pytest.fixture(scope="module")
def class_folder(tmp_path_factory) -> Path:
    """A folder as it comes: one folder a student, some files flat, some in another encoding."""
    folder = tmp_path_factory.mktemp("class") / "submissions"
    for name, (text, _) in SENT.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "05_guided_denoising (1).ipynb").write_bytes(text.encode())
    for name, (data, _) in ODD.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(data)
    (folder / "flat_05_guided_denoising.ipynb").write_bytes(b"\xef\xbb\xbf" + SENT["right"][0].encode())
    (folder / "Zoë Ünal_hw.ipynb").write_bytes(SENT["right"][0].encode("utf-16"))
    (folder / "right" / ".ipynb_checkpoints").mkdir()
    (folder / "right" / ".ipynb_checkpoints" / "05-checkpoint.ipynb").write_text("{")
    return folder


@pytest.fixture(scope="module")
def out(class_folder) -> Path:
    return class_folder.parent / "grades.csv"


@pytest.fixture(scope="module")
def marked(class_folder, out) -> dict:
    """{student: its Marked}, of one run of the whole folder."""
    said = []
    graded = grade(class_folder, out, Limits(seconds=4), jobs=2, say=said.append)
    assert len(said) == len(graded) + 3 and f"{len(graded):4} of {len(graded)}" in said[-3]
    return {each.student: each for each in graded}


def test_every_submission_is_marked_once(marked, class_folder):
    assert set(marked) == {*SENT, *(name.split("/")[0] for name in ODD), "flat", "Zoë Ünal hw"}


@pytest.mark.parametrize("name", SENT)
def test_outcomes(marked, name):
    outcomes = [mark.outcome for mark in marked[name].marks]
    assert len(outcomes) == 4
    expected = SENT[name][1]
    if expected is None:
        assert RIGHT not in outcomes
    else:
        assert outcomes[:2] == expected, marked[name]


@pytest.mark.parametrize("name", ODD)
def test_files_that_cannot_be_marked_say_why(marked, name):
    (mark,) = marked[name.split("/")[0]].marks
    assert mark.outcome == NOT_MARKED and ODD[name][1] in mark.hint


def test_other_encodings(marked):
    assert [mark.outcome for mark in marked["flat"].marks[:2]] == [RIGHT, RIGHT]
    assert [mark.outcome for mark in marked["Zoë Ünal hw"].marks[:2]] == [RIGHT, RIGHT]


HINTS = {
    "a misconception": "That is a change of sign only",
    "a result elsewhere": "NameError: name 'one' is not defined. Only imports and definitions",
    "an answer deleted": "NameError: name 'same_as' is not defined",
    "no Python": "SyntaxError",
    "an exit": "SystemExit",
    "an end": "It ended the process.",
    "a crash": "It ended the process by signal 11." if sys.platform == "linux" else "It ended the process",
    "a hang": "It ran for more than 4 s.",
    "a program": "subprocess.Popen is not allowed",
    "a judge replaced": "sd_helpers.exercises.denoising.expect_known",
    "equal to everything": "an object of your own class Yes",
}


@pytest.mark.parametrize("name", HINTS)
def test_hints_say_what_was_wrong(marked, name):
    assert HINTS[name] in marked[name].marks[0].hint


def test_what_goes_wrong_in_the_grader_is_kept_to_one_submission(class_folder):
    class Broken:
        def Pipe(self, duplex):  # noqa: N802  as multiprocessing names it
            raise OSError("no more files")

    submission = submissions.submission(class_folder / "right" / "05_guided_denoising (1).ipynb", class_folder)
    marks = run(submission, Limits(), Broken()).marks
    assert {mark.outcome for mark in marks} == {NOT_MARKED} and "no more files" in marks[0].hint


def rows(path: Path) -> list[dict]:
    return list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))


def test_the_table_has_a_row_for_each_exercise(marked, out):
    table = rows(out)
    assert len(table) == sum(len(each.marks) for each in marked.values())
    (row,) = (row for row in table if row["student"] == "a misconception" and row["exercise"] == "1")
    assert row["outcome"] == NOT_YET and row["title"].startswith("Exercise 1 · ") and row["lesson"] == LESSON.stem


def test_the_totals_have_a_row_for_each_student(marked, out):
    totals = {row["student"]: row for row in rows(out.with_name("grades-totals.csv"))}
    assert set(totals) == set(marked)
    assert (totals["right"][RIGHT], totals["right"]["of"], totals["right"]["right in 05 (of 4)"]) == ("2", "4", "2")


def test_a_page_for_each_student(marked, out):
    pages = {path.stem: path.read_text(encoding="utf-8") for path in out.with_name("grades-feedback").iterdir()}
    assert len(pages) == len(marked)
    assert "That is a change of sign only" in pages["a misconception"] and "<script" not in "".join(pages.values())


def test_the_overview_counts_exercises_and_misconceptions(marked, out):
    from classroom.overview import counted, misconceptions

    right = sum(each.marks[0].outcome == RIGHT for each in marked.values())
    handed_in = [each for each in marked.values() if each.lesson]
    assert counted(LESSON, handed_in)["exercise_1"][RIGHT] == right
    assert "change of sign" in dict(misconceptions(handed_in, "exercise_1")).__repr__()
    assert out.with_name("grades-overview-05.png").stat().st_size > 20_000
    assert "Look at these yourself" in out.with_name("grades-overview.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [int(n) for n in os.environ.get("CLASSROOM_SOLUTIONS", "5 11").split()])
def test_solutions_are_right_and_the_student_edition_is_open(tmp_path, number):
    """Of two lessons; CLASSROOM_SOLUTIONS="0 1 2 ..." takes others, some of which draw for half a minute."""
    (lesson,) = (lesson for lesson in lessons.all_lessons() if int(lesson.number) == number)
    (tmp_path / "solved").mkdir()
    (tmp_path / "open").mkdir()
    (tmp_path / "solved" / "a.ipynb").write_bytes((SOLUTIONS / lesson.path.name).read_bytes())
    nbformat.write(student_edition(nbformat.read(lesson.path, as_version=4)), tmp_path / "open" / "b.ipynb")
    opened, solved = mark_all(submissions.collect(tmp_path), Limits(seconds=200), 1, say=lambda line: None)
    assert {mark.outcome for mark in solved.marks} == {RIGHT}, solved
    assert {mark.outcome for mark in opened.marks} == {OPEN}, opened
    assert solved.lesson == opened.lesson == lesson.stem


def test_no_lesson_defines_an_answer_outside_of_its_exercise():
    """Otherwise the lesson's own function could stand for an answer that was deleted."""
    for lesson in lessons.all_lessons():
        answers = {name for exercise in lesson.exercises for name in exercise.answers}
        assert len(lesson.exercises) >= 4 and answers
        assert not answers & set().union(*map(lessons.defined, lesson.given)), lesson.stem


def test_lessons_are_told_apart_by_what_is_in_them():
    for lesson in lessons.all_lessons():
        assert submissions.lesson_of(list(lesson.cells), "", "x") == lesson
        assert submissions.lesson_of([], f"# {lesson.title}\n", "x") == lesson
    assert submissions.lesson_of(["print(1)"], "My own", "homework") is None


NAMES = {
    "Ann Lee/anything.ipynb": "Ann Lee",
    "Ann Lee_12345_assignsubmission_file_/anything.ipynb": "Ann Lee",
    "ann_05_guided_denoising.ipynb": "ann",
    "05_guided_denoising-ann (2).ipynb": "ann",
    "Lee, Ann_12345_assignsubmission_file_05_guided_denoising.ipynb": "Lee, Ann",
    "05_guided_denoising.ipynb": "05_guided_denoising",
}


@pytest.mark.parametrize("path", NAMES)
def test_names_of_students(path):
    assert submissions.student_of(Path(path), Path(), LESSON) == NAMES[path]


def test_predictions_are_collected(tmp_path):
    asked = LESSON.questions[1]
    shown = {
        "You predicted it: B: x. Because.": asked.choices[1],
        f"You said C: {asked.choices[2]}. The\nanswer is A: {asked.choices[0]}.": asked.choices[2],
        "The answer is A: x (you made no prediction).": None,
    }
    for printed, said in shown.items():
        output = nbformat.v4.new_output("stream", name="stdout", text="0.1 0.2\n" + printed)
        revealed = nbformat.v4.new_code_cell(f"{asked.name}.reveal(x)", outputs=[output])
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell(1)), revealed])
        nbformat.write(made, tmp_path / "a.ipynb")
        found = submissions.predictions(submissions.submission(tmp_path / "a.ipynb", tmp_path))
        assert {p.question: p.said for p in found}[asked.text] == said
    assert [len(q.choices) >= 2 for lesson in lessons.all_lessons() for q in lesson.questions]


def test_only_definitions_and_constants_are_kept():
    source = "import os\nx = 1\ny = f(2)\nprint(x)\ndef f(): pass\nclass A: pass\ng = lambda: 0\nawait z\n%time 1\nfor i in y: 1"
    kept = [type(node).__name__ for node in statements.definitions(statements.parsed(source))]
    assert kept == ["Import", "Assign", "FunctionDef", "ClassDef", "Assign"]


def test_of_two_attempts_the_better_counts():
    assert better(Mark("e", RIGHT), Mark("e", OPEN)).outcome == RIGHT
    assert better(Mark("e", RIGHT), Mark("e", NOT_MARKED)).outcome == NOT_MARKED
    assert better(None, Mark("e", OPEN)).outcome == OPEN


def test_what_a_spreadsheet_would_compute_is_kept_as_text(tmp_path):
    from classroom.tables import write

    write(tmp_path / "t.csv", [["=1+1", "ok", 2]])
    assert (tmp_path / "t.csv").read_text(encoding="utf-8-sig").strip() == "'=1+1,ok,2"


def test_an_old_format_is_read(tmp_path):
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["x = 1\r\n", "y = 2"], "outputs": None}]}], "nbformat": 3}
    (tmp_path / "old.ipynb").write_text(json.dumps(old))
    ((code,), _) = submissions.read_cells(tmp_path / "old.ipynb")
    assert code["source"] == "x = 1\ny = 2"


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_a_folder_without_submissions_is_refused(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / folder))):
        submissions.collect(tmp_path / folder)


def test_at_least_one_core_is_used():
    assert free_cores() >= 1


def test_no_title_runs_into_its_bar():
    from collections import Counter

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from classroom import overview

    titles = [exercise.title for lesson in lessons.all_lessons() for exercise in lesson.exercises]
    figure = Figure(figsize=(9.2, 2), dpi=110)
    renderer = FigureCanvasAgg(figure).get_renderer()
    axes = figure.add_axes((0.02, 0.0, 0.96, 1))
    axes.set(xlim=(0, 100), ylim=(1, 0))
    for title in titles:
        overview._draw_exercise(axes, 0.0, title, Counter({"right": 1}), 1)
        bar, text = axes.patches[-1].get_window_extent(renderer), axes.texts[-2].get_window_extent(renderer)
        assert text.x1 < bar.x0, title


def listened(folder, *messages):
    """How a process ended, by what it said: pairs of a kind and what, with the process's token or a forged one."""
    import multiprocessing

    from classroom.running import _Process

    process = _Process(None, Limits(seconds=5), None, folder, {})
    mine, its = multiprocessing.Pipe(duplex=False)
    for kind, what, forged in messages:
        its.send_bytes(json.dumps(["forged" if forged else process.token, kind, what]).encode())
    return process._listen(mine), process.found


def test_only_the_grader_s_own_messages_count(tmp_path):
    right = {"exercise": "exercise_1", "outcome": RIGHT}
    assert listened(tmp_path, ("mark", right, False), ("finished", {}, False))[1]["exercise_1"].outcome == RIGHT
    end, found = listened(tmp_path, ("mark", right, True), ("finished", {}, False))
    assert end == "died" and not found


def test_a_disk_is_not_filled(tmp_path, monkeypatch):
    monkeypatch.setattr("classroom.running.MOST_WRITTEN", 1000)
    (tmp_path / "much").write_bytes(bytes(2000))
    assert listened(tmp_path)[0] == "wrote too much"
