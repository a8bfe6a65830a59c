"""What pytest loads: four options, two settings, and `notebooks` in the place of nbval's, where nbval runs."""

import pytest


def pytest_addoption(parser):
    """What `machines` asks of a run, and what a project says about itself."""
    group = parser.getgroup("notebooks on other machines")
    group.addoption("--jitter", type=int, metavar="SEED", help="multiply every loaded weight by 1 + 1e-6 n")
    group.addoption("--margins", metavar="FOLDER", help="write down how much of its tolerance everything compared uses")
    group.addoption("--twice", action="store_true", help="run every cell twice in place; the second run is compared, too")
    group.addoption("--leave-out", type=int, metavar="N", help="leave out In [N], counted on from the beginning where there "
                    "are fewer; every other cell must give what is stored, or raise an error")  # fmt: skip
    parser.addini("nbcompared_preload", type="args", help="modules that kernels start with, in the order of import", default=[])
    parser.addini("nbcompared_rerun", help="the command that runs and saves the notebooks, to be named in messages", default="")


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    """Put our notebook in the place of nbval's; without nbval, or without --nbval, there is none to replace."""
    collected = yield
    if file_path.suffix != ".ipynb" or not collected:
        return collected
    from nbval.plugin import IPyNbFile

    from .notebooks import ComparedNotebook

    return [ComparedNotebook.from_parent(parent, path=file_path) if isinstance(node, IPyNbFile) else node for node in collected]
