"""pytest --nbval compares outputs by tests/notebook_outputs.py. It has to lie here to be loaded for notebooks/ too."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "tests"))


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    """Put our notebook in the place of nbval's; without nbval, or without --nbval, there is none to replace."""
    collected = yield
    if file_path.suffix != ".ipynb" or not collected:
        return collected
    from nbval.plugin import IPyNbFile
    from notebook_nbval import ComparedNotebook

    return [ComparedNotebook.from_parent(parent, path=file_path) if isinstance(node, IPyNbFile) else node for node in collected]
