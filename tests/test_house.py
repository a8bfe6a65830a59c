"""The house: versions in one place, notebooks in their form, docstrings, style."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
PACKAGE = ROOT / "sd_helpers"
MODULES = sorted(PACKAGE.rglob("*.py"))
WINGS = ("beyond", "sweeps", "notebook", "runtime")
ALIASES = ("checks", "plots", "views", "widgets")  # of modules in notebook/, under the names people import


def read(name: str) -> str:
    return (ROOT / name).read_text()


def test_versions_stand_in_one_place():
    pins = [
        line
        for name in ("requirements.txt", "requirements-dev.txt", "requirements-train.txt")
        for line in read(name).splitlines()
    ]
    assert all(re.match(r"(#|[\w.-]+==[\w.]+(; (python_version|platform_machine) .*)?$)", line) for line in pins), pins
    packages = {line.split("==")[0].lower() for line in pins if "==" in line}
    for name in ("pyproject.toml", "environment.yml", "Makefile", ".ci/run", "README.md"):
        pinned = re.findall(r"([\w.-]+)==\d", read(name))
        assert not packages & {p.lower() for p in pinned}, f"{name} pins {pinned}; versions belong into requirements*.txt"


def test_everything_reads_that_place():
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    dynamic = tomllib.loads(read("pyproject.toml"))["tool"]["setuptools"]["dynamic"]
    assert dynamic["dependencies"] == {"file": ["requirements.txt"]}
    assert dynamic["optional-dependencies"]["dev"] == {"file": ["requirements-dev.txt"]}
    environment = yaml.safe_load(read("environment.yml"))
    assert environment["dependencies"] == ["python=3.11", "pip", {"pip": ["-e .[dev]"]}]
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    assert 'pip install --quiet --disable-pip-version-check -e ".[dev]"' in read("Makefile")
    assert "\nmake test ||" in read(".ci/run") and "make test-browser ||" in read(".ci/run")


def test_installed_versions_are_the_pinned_ones():
    from importlib.metadata import version

    from packaging.requirements import Requirement

    for line in read("requirements.txt").splitlines() + read("requirements-dev.txt").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate():
                assert requirement.specifier.contains(version(requirement.name).split("+")[0]), line


@pytest.mark.parametrize("path", [*NOTEBOOKS, *SOLUTIONS], ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_notebook_form(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = notebook.cells
    code = [c for c in cells if c.cell_type == "code"]
    for before, cell in zip([None, *cells], cells, strict=False):
        assert cell.cell_type != "code" or (before and before.cell_type == "markdown"), f"no prose before: {cell.source[:60]}"
    assert sum(len(c.source.splitlines()) > 20 for c in code) <= (path.stem[:2] == "00")  # the one deliberate big cell
    outputs = str([c.outputs for c in code])
    assert not re.search(r"/(home|root|Users|work|tmp)/", outputs), "an output shows a path of the machine it was made on"
    assert "'stderr'" not in outputs and "widgets" not in notebook.metadata
    assert path.stat().st_size < 600_000
    assert not re.search(r"^\s*from \S+ import \*", "\n".join(c.source for c in code), re.M)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_readme_has_a_row_for_each_notebook(path):
    assert f"](notebooks/{path.name})" in read("README.md"), "the README's table lacks a row"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_exercise_is_open_and_has_a_check_and_a_solution(path):
    asked, solved = (checks_called(p) for p in (path, path.parent / "solutions" / path.name))
    assert len(asked) >= 4 and asked.keys() == solved.keys()
    assert all("Not answered yet" in output for output in asked.values()), "the notebook gives an answer away"
    assert all(output.startswith("Right.") or "\nRight." in output for output in solved.values()), solved


def checks_called(path: Path) -> dict[str, str]:
    """Of each exercise whose check a notebook calls, what that cell printed."""
    found = {}
    for cell in nbformat.read(path, as_version=4).cells:
        for name in re.findall(r"\bcheck\.(exercise_\d)\(", cell.source) if cell.cell_type == "code" else ():
            found[name] = "".join(o.get("text", "") for o in cell.outputs)
    return found


def test_notebooks_are_found():
    assert NOTEBOOKS and NOTEBOOKS[0].name == "00_the_whole_thing.ipynb"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_public_things_have_docstrings(path):
    tree = ast.parse(path.read_text())
    longest = 300 if path.parent.name == "exercises" else 210  # checks are mostly hints
    assert ast.get_docstring(tree) and len(path.read_text().splitlines()) <= longest
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path.name}: {node.name} has no docstring"


def rooms_entered(path: Path) -> set[str]:
    """The rooms of the package that a module imports from: "" is the hall."""
    home, rooms = path.parent, set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            place = home if node.level == 1 else home.parent
            for name in [node.module] if node.module else [alias.name for alias in node.names]:
                found = place.joinpath(*name.split("."))
                rooms.add((found if found.is_dir() else found.parent).relative_to(PACKAGE).as_posix().removeprefix("."))
    return rooms


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_rooms_are_entered_by_their_doors(path):
    room = path.parent.relative_to(PACKAGE).as_posix().removeprefix(".")
    if room == "" and path.stem in (*ALIASES, "__main__", "__init__"):
        return
    allowed = {"": {"", "runtime"}, "exercises": {"", "exercises", *WINGS}}.get(room, {"", room, "runtime", "notebook"})
    assert rooms_entered(path) <= allowed


def test_nothing_imports_in_a_circle():
    modules = {path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in MODULES}
    code = f"""
import importlib, sys
for name in {sorted(m for m in modules if not m.endswith(("__init__", "__main__")))}:
    for loaded in [m for m in sys.modules if m.startswith("sd_helpers")]:
        del sys.modules[loaded]
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-500:]


def test_names_stay_where_people_import_them_from():
    import importlib

    import sd_helpers

    for name in sd_helpers.__all__:
        assert getattr(sd_helpers, name) is not None
    for name in ("sd_helpers.checks", "sd_helpers.plots", "sd_helpers.views", "sd_helpers.widgets"):
        assert importlib.import_module(name) is importlib.import_module(name.replace(".", ".notebook."))


def test_the_page_about_the_house_names_every_module_in_its_room():
    page = read("docs/house.md")
    rows = {re.match(r"\| `?([\w ]+?)/?`? \|", line)[1]: line for line in page.splitlines() if line.startswith("| ")}
    for path in MODULES:
        room = path.parent.relative_to(PACKAGE).as_posix()
        if not path.stem.startswith("__") and room != "exercises" and not (room == "." and path.stem in ALIASES):
            assert f"`{path.stem}`" in rows["the hall" if room == "." else room], path


def test_there_is_one_denoising_loop():
    # The checks of exercises repeat what they ask for; nothing else does.
    modules = [p for p in MODULES if p.parent.name != "exercises"]
    stepping = {p.name for p in modules if re.search(r"scheduler\.step\(", p.read_text())}
    assert stepping == {"loop.py", "joining.py"}  # the latter is a scheduler made of schedulers


def test_what_compares_notebooks_knows_nothing_of_this_project():
    """nbcompared could be published by itself."""
    for path in (ROOT / "nbcompared").rglob("*.py"):
        assert not re.search(r"\b(sd_helpers|emoji|training|classroom)\b", path.read_text()), path


def test_checkpoint_ids_stand_in_one_place():
    from sd_helpers.models import HUB_IDS

    holders = {p.name for p in MODULES for hub_id in HUB_IDS if hub_id in p.read_text()}
    assert holders == {"models.py"}


def test_tracked_files_stay_small():
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split("\0")
    sizes = [(ROOT / name).stat().st_size for name in names if name and (ROOT / name).exists()]
    if not sizes:
        pytest.skip("not a git checkout")
    assert sum(sizes) < 48e6 and max(sizes) <= 15e6


def test_ruff_is_content():
    for command in (["check", "--quiet", "."], ["format", "--check", "--quiet", "."]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_make_lab_keeps_its_token_and_stays_on_this_machine():
    (command,) = re.findall(r"^lab: env\n\t(.*)$", read("Makefile"), re.M)
    assert command == "$(BIN)/jupyter lab $(AS_ROOT) notebooks/00_the_whole_thing.ipynb"  # the defaults: localhost, with a token
    assert "--allow-root" in read("Makefile") and "token" not in read("Makefile")


def test_a_wheel_draws_elsewhere(tmp_path):
    pytest.importorskip("setuptools", minversion="77")
    source, wheels, elsewhere = tmp_path / "source", tmp_path / "wheels", tmp_path / "elsewhere"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, source / "sd_helpers", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE", *(path.name for path in ROOT.glob("requirements*.txt"))):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", wheels, source]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1000:]
    zipfile.ZipFile(next(wheels.glob("*.whl"))).extractall(elsewhere)
    kept = {
        path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert kept == {
        path.relative_to(elsewhere / "sd_helpers").as_posix() for path in (elsewhere / "sd_helpers").rglob("*") if path.is_file()
    }
    code = "import sd_helpers, sys; assert sys.argv[1] in sd_helpers.__file__; sys.argv[1:] = ['a fox', '--steps', '2'];"
    code += "from sd_helpers.__main__ import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, str(elsewhere)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(elsewhere)},
    )
    assert done.returncode == 0 and (tmp_path / "picture.png").exists(), done.stderr[-1000:]


def test_a_notebook_runs_wherever_it_is_copied(tmp_path):
    from nbclient import NotebookClient

    shutil.copy(ROOT / "notebooks" / "01_autoencoder_round_trip.ipynb", tmp_path)
    notebook = nbformat.read(tmp_path / "01_autoencoder_round_trip.ipynb", as_version=4)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    client.execute()  # raises for a cell that fails
    for path in (*NOTEBOOKS, *SOLUTIONS):  # nor does another read a file that lies beside it
        code = "".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
        beside = {file.name for file in path.parent.iterdir()} | {"images", ".."}
        assert not [text for text in re.findall(r"[\"']([\w./-]+)[\"']", code) if text.split("/")[0] in beside], path.name
