"""pytest --nbval compares outputs by tests/notebook_outputs.py. It has to lie here to be loaded for notebooks/ too."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

# Tests and the notebooks they run use the embedded model, no network, and nothing that a cache on this machine holds.
os.environ.pop("SD_MODEL", None)
os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_CACHE=tempfile.mkdtemp(prefix="no-cache-"))

sys.path.insert(0, str(Path(__file__).parent / "tests"))


# What OpenVINO converts is kept for this run, and shared by its processes.
os.environ.setdefault("SD_HELPERS_CACHE", tempfile.mkdtemp(prefix="cache-"))

# One thread each: notebooks run side by side, and threads of several processes wait for each other by spinning.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser):
    """What tests/machines.py asks of a run; see tests/notebook_kernel.py."""
    group = parser.getgroup("notebooks on other machines")
    group.addoption("--jitter", type=int, metavar="SEED", help="multiply every loaded weight by 1 + 1e-6 n")
    group.addoption("--margins", metavar="FOLDER", help="write down how much of its tolerance everything compared uses")


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    """Put our notebook in the place of nbval's; without nbval, or without --nbval, there is none to replace."""
    collected = yield
    if file_path.suffix != ".ipynb" or not collected:
        return collected
    from nbval.plugin import IPyNbFile
    from notebook_nbval import ComparedNotebook

    return [ComparedNotebook.from_parent(parent, path=file_path) if isinstance(node, IPyNbFile) else node for node in collected]
