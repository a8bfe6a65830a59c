"""The student edition: nothing in it tells an answer, and it is still the lesson."""

import re
import subprocess
import sys
import zipfile
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest

from classroom import student
from classroom.lessons import all_lessons

LESSONS = all_lessons()


@pytest.fixture(scope="module")
def editions() -> dict:
    """{stem: (the lesson as it is stored, the student edition)}"""
    stored = {lesson.stem: nbformat.read(lesson.path, as_version=4) for lesson in LESSONS}
    return {stem: (notebook, student.student_edition(deepcopy(notebook))) for stem, notebook in stored.items()}


@pytest.fixture(params=LESSONS, ids=lambda lesson: lesson.stem)
def pair(request, editions):
    return editions[request.param.stem]


def answers(stored) -> list[str]:
    """What the stored notebook says to each prediction, as printed."""
    printed = [
        " ".join("".join(output.get("text", "")).split())
        for cell in stored.cells
        if cell.cell_type == "code" and "reveal" in cell.metadata.get("tags", ())
        for output in cell.outputs
    ]
    return [text for text in printed if "The answer is" in text]


def test_it_is_a_valid_notebook_without_outputs(pair):
    _, made = pair
    nbformat.validate(made)
    code = [cell for cell in made.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert made.metadata.kernelspec.name == "python3" and "widgets" not in made.metadata


def test_it_is_the_lesson_cell_for_cell(pair):
    stored, made = pair
    sources = [cell.source for cell in made.cells if cell.cell_type == "code"]
    for cell in (cell for cell in stored.cells if cell.cell_type == "code"):
        assert any(source == cell.source or source.endswith("\n" + cell.source) for source in sources)
    assert len(sources) == 1 + sum(cell.cell_type == "code" for cell in stored.cells)


def test_no_solutions_and_no_links_to_them(pair):
    stored, made = pair
    text = "\n".join(cell.source for cell in made.cells if cell.cell_type == "markdown")
    assert "solutions/" not in "\n".join(cell.source for cell in made.cells) and "solutions/" in "\n".join(
        cell.source for cell in stored.cells
    )
    assert not re.search(r"solutions/|[Ww]orked (answers|solutions)|(?<!\w)\(\s*\)|\bSolutions\b", text)


def test_cells_that_answer_are_folded_in_jupyterlab_and_colab(pair):
    for cell in pair[1].cells:
        if "reveal" in cell.metadata.get("tags", ()):
            assert cell.metadata.jupyter.source_hidden and cell.metadata.cellView == "form"
            assert cell.source.startswith("#@title")


def test_what_follows_an_answer_is_folded_but_for_its_lead(pair):
    _, made = pair
    for cell, following in zip(made.cells, made.cells[1:]):
        if "reveal" in cell.metadata.get("tags", ()) and following.cell_type == "markdown":
            open_text = re.sub(r"<details>.*?</details>", "", following.source, flags=re.S).strip()
            before_heading = re.split(r"^#{1,4} ", open_text, maxsplit=1, flags=re.M)[0].strip()
            assert len(before_heading) < student.LEAD, before_heading
            assert following.source.count("<details>") == following.source.count("</details>") <= 1


def test_nothing_open_to_the_eye_tells_an_answer(pair):
    stored, made = pair
    asked = [cell.source for cell in made.cells if "question(" in cell.source]
    seen = [cell for cell in made.cells if "reveal" not in cell.metadata.get("tags", ()) and cell.source not in asked]
    alts = [alt for cell in seen for alt in re.findall(r"alt=f?[\"'](.*?)[\"']", cell.source)]
    if not answers(stored):
        pytest.skip("the notebook has not been run")
    for text in answers(stored):
        right = re.search(r"The answer is [A-H]: (.*?)\.? \(you made no prediction\)", text)[1]
        if len(right) >= 12:  # a word or two may well occur elsewhere
            assert not any(right.lower() in alt.lower() for alt in alts), right


def test_sentences_with_links_are_taken_out_whole():
    text = "Write `f`. (Worked solutions: [solutions/a](solutions/a.ipynb).)\nGo on."
    assert student.without_solutions(text) == "Write `f`.\nGo on."
    assert student.without_solutions("Do it. Solutions to all are in\n[solutions/a](solutions/a.ipynb).") == "Do it."
    with pytest.raises(ValueError, match="Reword the notebook"):
        student.without_solutions("See solutions/a.ipynb")


def test_folding_keeps_headings_and_leads():
    assert student.folded("It fell.\n\n## Next\n\nMore.").endswith("</details>\n\n## Next\n\nMore.")
    assert student.folded("## Next") == "## Next"
    assert student.folded("It fell, by a lot. As curves:").endswith("</details>\n\nAs curves:")
    assert student.folded("The same as curves:") == "The same as curves:"


def test_one_zip(tmp_path):
    out = student.write_student_edition(tmp_path / "new" / "student.zip", with_package=False)
    names = [Path(name) for name in zipfile.ZipFile(out).namelist()]
    assert {name.parent.name for name in names} == {student.FOLDER}
    assert {lesson.path.name for lesson in LESSONS} < {name.name for name in names}
    assert {"README.md", "LICENSE", "NOTICE"} < {name.name for name in names} and out.stat().st_size < 1_000_000


def test_a_folder_if_it_is_not_called_zip(tmp_path):
    student.write_student_edition(tmp_path / "handed out", with_package=False)
    assert len(list((tmp_path / "handed out").glob("*.ipynb"))) == len(LESSONS)


def set_up(folder: Path, before: str) -> subprocess.CompletedProcess:
    """Run the set-up cell in a folder, in a Python that does as `before` says."""
    cell = student.set_up_cell().source
    return subprocess.run([sys.executable, "-c", f"{before}\n{cell}"], cwd=folder, capture_output=True, text=True, check=False)


HIDDEN = "import importlib.util as u; find = u.find_spec; u.find_spec = lambda name: find(name) if name != 'sd_helpers' else None"


def test_the_set_up_cell_does_nothing_where_all_is_installed(tmp_path):
    assert set_up(tmp_path, "import subprocess; subprocess.run = None").returncode == 0


def test_the_set_up_cell_says_what_is_missing(tmp_path):
    run = set_up(tmp_path, HIDDEN)
    assert f"sd_helpers is not installed for {sys.executable}" in run.stderr and "Choose the kernel" in run.stderr


def test_the_set_up_cell_installs_the_wheel_in_colab(tmp_path):
    (tmp_path / "sd_helpers-0.1.0-py3-none-any.whl").touch()
    colab = "import sys, subprocess; sys.modules['google.colab'] = sys; subprocess.run = lambda command, check: print(*command)"
    run = set_up(tmp_path, f"{HIDDEN}\n{colab}")
    assert "pip install --quiet --no-deps sd_helpers-0.1.0-py3-none-any.whl" in run.stdout, run.stderr
