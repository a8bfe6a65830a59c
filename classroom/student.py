"""The student edition: the notebooks as students get them, in one zip.

No outputs; predictions to be made; what tells the answer folded until it is asked for; no solutions and no links to them.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from pathlib import Path

import nbformat

from .lessons import ROOT, all_lessons
from .package import build_wheel

HERE = Path(__file__).parent
FOLDER = "stable-diffusion-taken-apart"  # inside the zip

REVEAL = "#@title Choose a letter above, then run this cell: it shows what is right"
FOLDED = "What came out (run the cell above, then open this)"
LEAD = 100  # characters of a sentence that leads to the next cell
SET_UP = "#@title Set-up: run this cell first"

LINK = r"\[[^\]]*\]\((?:\.\./|\./)?solutions/[^)]*\)"
IN_BRACKETS = re.compile(rf"\s*\((?:[^()]|\([^()]*\))*?{LINK}[^()]*\)")
SENTENCE = re.compile(rf"(?:^|(?<=[.!?])\s+)[^.!?\n][^.!?]*?{LINK}[^.]*\.", re.M)


def write_student_edition(out: Path, with_package: bool = True) -> Path:
    """Write the student edition: a zip, or a folder if `out` does not end in .zip.

    Args:
        with_package: put the package beside the notebooks, about 26 MB, for Colab and for whoever has it not installed.
    """
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / FOLDER
        folder.mkdir()
        write_notebooks(folder)
        shutil.copy(HERE / "student_readme.md", folder / "README.md")
        for name in ("LICENSE", "NOTICE"):
            shutil.copy(ROOT / name, folder)
        if with_package:
            build_wheel(folder)
        return _packed(folder, out)


def write_notebooks(folder: Path) -> None:
    """Every lesson's student edition, into the folder."""
    for lesson in all_lessons():
        notebook = student_edition(nbformat.read(lesson.path, as_version=4))
        nbformat.write(notebook, folder / lesson.path.name)


def _packed(folder: Path, out: Path) -> Path:
    """The folder as a zip, or copied to where it is wanted."""
    if out.suffix.lower() != ".zip":
        shutil.copytree(folder, out, dirs_exist_ok=True)
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in sorted(folder.iterdir()):
            zipped.write(path, f"{FOLDER}/{path.name}")
    return out


def student_edition(notebook):
    """The notebook as a student gets it. Changes it, and returns it."""
    revealed = False
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            revealed = "reveal" in cell.metadata.get("tags", ())
            if revealed:
                _fold(cell, REVEAL)
        else:
            cell.source = without_solutions(cell.source)
            cell.source, revealed = (folded(cell.source) if revealed else cell.source), False
    notebook.cells = [cell for cell in notebook.cells if cell.source.strip()]
    notebook.cells.insert(1, set_up_cell())
    notebook.metadata.pop("widgets", None)
    return notebook


def _fold(cell, title: str) -> None:
    """Hide a cell's code until it is asked for: JupyterLab shows its first line only, Colab the title."""
    cell.source = f"{title}\n{cell.source}"
    cell.metadata["jupyter"] = {"source_hidden": True}
    cell.metadata["cellView"] = "form"


def set_up_cell(package: str = ""):
    """The first code cell, which does something in Colab only, or says what is missing.

    Args:
        package: what pip is to install there, such as git+https://...; if nothing, the wheel beside the notebook.
    """
    source = (HERE / "set_up_cell.py").read_text(encoding="utf-8").strip().replace('PACKAGE = ""', f"PACKAGE = {package!r}")
    cell = nbformat.v4.new_code_cell(source, id="set-up")
    _fold(cell, SET_UP)
    return cell


def folded(text: str) -> str:
    """What explains a result folded, but not what leads on: all from the next heading, or a short last sentence."""
    heading = re.search(r"^#{1,4} ", text, re.M)
    told, rest = (text[: heading.start()], text[heading.start() :]) if heading else _split_lead(text)
    if not told.strip():
        return text
    return f"<details><summary>{FOLDED}</summary>\n\n{told.strip()}\n\n</details>\n\n{rest.strip()}".strip()


def _split_lead(text: str) -> tuple[str, str]:
    """What comes before the short sentence that leads to the next cell, and that sentence, if there is one."""
    sentences = re.split(r"(?<=[.!?)])\s+(?=[A-Z])", text.strip())
    lead = sentences[-1]
    if len(lead) < LEAD and (lead.endswith(":") or len(sentences) == 1):
        return text[: text.rindex(lead)], lead
    return text, ""


def without_solutions(text: str) -> str:
    """The text without the sentences, or the brackets, that link to the solutions.

    Raises:
        ValueError: a link to the solutions is still in it.
    """
    text = SENTENCE.sub("", IN_BRACKETS.sub("", text))
    if "solutions/" in text:
        raise ValueError(f"A link to the solutions stands in no sentence or bracket of its own: {text!r}. Reword the notebook.")
    return text.strip()
