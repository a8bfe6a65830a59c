"""The notebooks for Colab: the address in every first cell, which installs the package and leaves torch alone."""

import os
import subprocess
import venv
from pathlib import Path

import nbformat
import pytest
import torch

from classroom.__main__ import main
from classroom.colab import colab_edition
from classroom.lessons import all_lessons
from classroom.package import build_wheel


def test_every_notebook_gets_the_cell_and_keeps_all_else(tmp_path, capsys):
    main(["colab", str(tmp_path), "--repository", "someone/some.where"])
    for lesson in all_lessons():
        before = nbformat.read(lesson.path, as_version=4).cells
        cells = nbformat.read(tmp_path / lesson.path.name, as_version=4).cells
        (new,) = [cell for cell in cells if cell.id == "set-up"]
        assert [cell for cell in cells if cell is not new] == before
        assert next(cell for cell in cells if cell.cell_type == "code") is new
        assert "PACKAGE = 'git+https://github.com/someone/some.where'" in new.source
        assert new.metadata["jupyter"]["source_hidden"] and new.metadata["cellView"] == "form"


@pytest.mark.parametrize("repository", ["", "name", "https://github.com/owner/name", "owner/name; rm"])
def test_what_is_no_repository_is_refused(tmp_path, repository):
    with pytest.raises(SystemExit, match="must be given as owner/name"):
        main(["colab", str(tmp_path / "new"), "--repository", repository])
    assert not (tmp_path / "new").exists()


def test_the_first_cell_installs_the_package_in_an_environment_without_it_and_leaves_torch_alone(tmp_path):
    """As in Colab: everything else is there. A wheel stands for the published repository."""
    wheel = build_wheel(tmp_path)
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    (site_packages,) = (tmp_path / "venv").rglob("site-packages")
    (site_packages / "others.pth").write_text(str(Path(torch.__file__).parents[1]))
    notebook = colab_edition(nbformat.read(next(iter(all_lessons())).path, as_version=4), str(wheel))
    set_up, first = [cell.source for cell in notebook.cells if cell.cell_type == "code"][:2]
    script = tmp_path / "run.py"
    ends = "import sd_helpers, torch; print(sd_helpers.__file__); print(torch.__file__)"
    script.write_text(f"import sys; sys.modules['google.colab'] = sys\n{set_up}\n{first}\n{ends}", encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run([python, script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    ours, theirs = run.stdout.splitlines()[-2:]
    assert Path(ours).is_relative_to(site_packages) and theirs == torch.__file__
