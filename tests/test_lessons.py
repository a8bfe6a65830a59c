"""Lessons: one sitting each, opened by the map, predictions that are revealed, exercises that stand by themselves, sources."""

import ast
import base64
import contextlib
import io
import re
import sys
from pathlib import Path

import nbformat
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
sys.path.insert(0, str(ROOT / "notebooks"))

import sitting  # noqa: E402


@pytest.fixture(params=NOTEBOOKS, ids=lambda p: p.stem)
def path(request):
    return request.param


@pytest.fixture
def cells(path):
    return nbformat.read(path, as_version=4).cells


def prose(cells) -> str:
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def code(cells) -> str:
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "code")


def test_fits_into_one_sitting(path):
    counted = sitting.count(path)
    assert counted.cells <= sitting.CELLS and counted.words <= sitting.WORDS and counted.minutes <= sitting.MINUTES, counted
    assert counted.seconds, "run it by notebooks/run_all.py, which notes the machine's time"


def test_the_readme_tells_the_minutes(path):
    (row,) = (line for line in (ROOT / "README.md").read_text().splitlines() if f"](notebooks/{path.name})" in line)
    assert abs(int(row.rstrip(" |").split("|")[-1]) - sitting.count(path).minutes) <= 4, "see notebooks/sitting.py"


def test_lines_fit_a_projector(path, cells):
    solved = nbformat.read(path.parent / "solutions" / path.name, as_version=4).cells
    assert not [line for line in code([*cells, *solved]).splitlines() if len(line) > 96]


def test_opens_with_what_one_will_be_able_to_do_and_the_map(path, cells):
    assert re.match(rf"# {path.name[:2]} · ", cells[0].source)
    assert "**You will be able to**" in cells[0].source and "**It takes**" in cells[0].source
    assert any("diagrams.here(" in cell.source for cell in cells[:4])
    assert re.search(r"\bdiagrams\.(?!here)\w+\(|_diagrams import", code(cells)), "a lesson has a diagram of its idea"


def test_ends_with_the_summary_what_holds_of_the_real_one_and_the_sources(cells):
    text = prose(cells)
    places = [text.find(f"## {name}") for name in ("Summary", "For the real Stable Diffusion", "Sources")]
    assert -1 not in places and places == sorted(places)
    sources = re.findall(r"^- (.+)", text[places[2] :], re.M)
    assert 1 <= len(sources) <= 8
    for source in sources:
        assert re.search(r"\b(19|20)\d\d\b", source), f"no year: {source}"
        names = re.findall(r"\b[A-Z][\w-]+", re.split(r"\b(?:19|20)\d\d\b", source)[0])
        assert any(name in text[: places[2]] for name in names[:4]), f"{source} is not named where the idea is used"


def questions(cells) -> dict[str, int]:
    """The name each question is kept under -> its cell."""
    return {m: i for i, cell in enumerate(cells) for m in re.findall(r"^(\w+) = question\(", cell.source, re.M)}


def test_every_prediction_is_revealed_below(cells):
    asked = questions(cells)
    assert len(asked) == code(cells).count("question(") >= 2
    for name, place in asked.items():
        below = [cell for cell in cells[place + 1 :] if f"{name}.reveal(" in cell.source]
        assert len(below) == 1 and "reveal" in below[0].metadata.get("tags", ()), f"{name} is not revealed in one tagged cell"
    for cell in cells:
        if "reveal" in cell.metadata.get("tags", ()):
            assert ".reveal(" in cell.source


def test_nothing_above_gives_the_answer_away(cells):
    for name, place in questions(cells).items():
        end = next(i for i, cell in enumerate(cells) if f"{name}.reveal(" in cell.source)
        printed = "".join(output.get("text", "") for output in cells[end].outputs)
        answer = " ".join(
            re.search(r"The answer is [A-H]: (.*?) \(you made no prediction\)", " ".join(printed.split()))[1].split()
        )
        for cell in cells[place + 1 : end + 1]:
            if cell.cell_type == "code":
                for alt in re.findall(r"alt=f?[\"'](.*?)[\"']", cell.source):
                    assert len(answer) < 6 or answer.lower() not in alt.lower(), f"{name}: {alt}"


def test_exercises_stand_in_the_flow(cells):
    checked = [i for i, cell in enumerate(cells) if re.search(r"\bcheck\.exercise_\d", cell.source)]
    headed = [i for i, cell in enumerate(cells) if re.search(r"^#{2,3} Exercise \d", cell.source, re.M)]
    assert len(checked) >= 4 and len(headed) == len(checked)
    assert all(head < cell for head, cell in zip(headed, checked))
    assert headed[0] < 0.6 * len(cells), "the first exercise stands where its idea is fresh"


def definitions(cells) -> str:
    """What a grader keeps of a notebook: its imports, functions and classes."""
    source = "\n".join(re.sub(r"^\s*[%!].*$", "", cell.source, flags=re.M) for cell in cells if cell.cell_type == "code")
    tree = ast.parse(source.replace("await ", ""))
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    return ast.unparse(ast.Module([node for node in tree.body if isinstance(node, kinds)], type_ignores=[]))


def test_exercises_run_from_imports_and_definitions_alone(path, cells):
    namespace = {}
    exec(definitions(cells), namespace)
    solved = nbformat.read(path.parent / "solutions" / path.name, as_version=4).cells
    for cell in solved:
        if re.search(r"\bcheck\.exercise_\d", cell.source):
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                exec(cell.source, namespace)
            assert "Right." in said.getvalue(), f"{cell.source[:80]}\n{said.getvalue()}"


def test_pictures_are_shown_at_no_more_than_twice_their_pixels(cells):
    for cell in cells:
        for output in cell.get("outputs", ()):
            if "image/jpeg" in output.get("data", {}) and "width" in output.metadata.get("image/jpeg", {}):
                picture = Image.open(io.BytesIO(base64.b64decode(output.data["image/jpeg"])))
                assert output.metadata["image/jpeg"]["width"] <= 2 * picture.width
            for wide, sharp, data in re.findall(
                r'<img [^>]*width="(\d+)"([^>]*)src="data:image/webp;base64,([^"]+)"', output.get("data", {}).get("text/html", "")
            ):
                picture = Image.open(io.BytesIO(base64.b64decode(data)))
                assert int(wide) <= 2 * picture.width or "pixelated" in sharp


def test_the_glossary_points_at_notebooks_that_build_the_word():
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", (ROOT / "docs" / "glossary.md").read_text(), re.M)[2:]
    texts = {p.name[:2]: (prose(c) + code(c)).lower() for p in NOTEBOOKS for c in [nbformat.read(p, as_version=4).cells]}
    assert len(rows) >= 30
    for ours, _, where in rows:
        numbers = re.findall(r"\[(\d\d)\]\(\.\./notebooks/(\S+)\)", where)
        assert numbers, ours
        for number, file in numbers:
            assert (ROOT / "notebooks" / file).exists() and file.startswith(number)
            word = re.sub(r"[`*]|\(.*?\)", "", ours).split(",")[0].strip().lower()
            assert word in texts[number], f"{word!r} does not occur in {file}"
