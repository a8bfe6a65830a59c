"""The notebooks as Colab opens them from a published repository: with a first cell that installs the package there.

The workflow that publishes the site puts them on a branch, `colab`, to which the book links. Nobody meets the cell elsewhere.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat

from .lessons import all_lessons
from .student import set_up_cell


def write_colab_edition(folder: Path, repository: str) -> Path:
    """Write every lesson, outputs and all, for Colab.

    Args:
        repository: owner/name on GitHub, where pip is to find the package.

    Raises:
        ValueError: it is not of that form.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ValueError(f"The repository must be given as owner/name; it is {repository!r}.")
    folder.mkdir(parents=True, exist_ok=True)
    for lesson in all_lessons():
        notebook = colab_edition(nbformat.read(lesson.path, as_version=4), f"git+https://github.com/{repository}")
        nbformat.write(notebook, folder / lesson.path.name)
    return folder


def colab_edition(notebook, package: str):
    """The notebook with the set-up cell before its first code cell. Changes it, and returns it."""
    first = next(i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    notebook.cells.insert(first, set_up_cell(package))
    return notebook
