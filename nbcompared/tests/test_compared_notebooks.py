"""pytest --nbval on small notebooks, from end to end, in another process that has nothing but the plugin."""

import base64
import functools
import io
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import numpy as np
import pytest
from PIL import Image

nbclient = pytest.importorskip("nbclient")
pytest.importorskip("nbval")
PLUGIN = Path(__file__).resolve().parents[1]  # the folder to import it from

SET_UP = """
import sys, base64, io, random
import numpy as np
from PIL import Image, ImageDraw
from IPython.display import HTML, clear_output, display
import ipywidgets

def picture(colour):
    image = Image.new("RGB", (64, 64), "lightyellow")
    ImageDraw.Draw(image).ellipse((6, 12, 44, 38), fill=colour)
    return image

def film(*colours):
    first, *others = map(picture, colours)
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others)
    return HTML(f'<img src="data:image/gif;base64,{base64.b64encode(file.getvalue()).decode()}">')
"""
# The cells of one notebook by the name of what they show; a cell's place here is its number in nbval's report.
CELLS = {
    "set-up": SET_UP,
    "text": "for i in range(3):\n    print('step', i, flush=True)\nprint(f'loss {0.5:.4f}')",
    "number": "0.5123",
    "picture": "display(picture('crimson'))",
    "hue": "print('before'); display(picture('gold')); print('after')",
    "lost picture": "display(picture('teal'))",
    "film": "film('crimson', 'gold', 'teal')",
    "slider": "ipywidgets.IntSlider(value=5)",
    "captured": "out = ipywidgets.Output()\nwith out:\n    display(picture('gold'))\nout",
    "interact": "ipywidgets.interact(lambda x: picture('teal') and None, x=(0, 4)) and None",
    "cleared": "for i in range(3):\n    clear_output(wait=True)\n    print('step', i)",
    "updated": "handle = display('first', display_id=True)\nhandle.update('second')",
    "silent": "np.arange(3);  # says nothing",
    "ignored": "# NBVAL_IGNORE_OUTPUT\nrandom.random()",
    "error": "raise ValueError('as expected')",
    "warning": "print('all well')",
}
NUMBER = {name: number for number, name in enumerate(CELLS)}
FAILING = {"number", "picture", "hue", "lost picture", "film", "slider", "updated", "error", "warning"}


def notebook(cells: dict[str, str]) -> nbformat.NotebookNode:
    """A notebook with its true outputs, as Jupyter stores them; the cell "error" may raise."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells.values()])
    for name, cell in zip(cells, made.cells):
        cell.metadata["tags"] = ["raises-exception"] if name == "error" else []
    new = deepcopy(made)
    try:
        nbclient.NotebookClient(made, timeout=60).execute()
    except nbclient.exceptions.CellTimeoutError:  # once in many runs a kernel never answers; that is not what is tested here
        made = new
        nbclient.NotebookClient(made, timeout=60).execute()
    made.metadata.pop("widgets", None)  # the series stores no widget state; store_widget_state=False breaks Output widgets
    return made


def encoded(picture: np.ndarray, *others: np.ndarray, kind: str) -> str:
    """A picture, or a film, in base64."""
    file = io.BytesIO()
    rest = {"save_all": True, "append_images": [Image.fromarray(other) for other in others]} if others else {}
    Image.fromarray(picture).save(file, kind, **rest)
    return base64.b64encode(file.getvalue()).decode()


def damaged(good: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with outputs stored wrongly in the cells of FAILING, and harmlessly different in "text"."""
    bad = deepcopy(good)
    outputs = {name: cell.outputs for name, cell in zip(CELLS, bad.cells)}
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    hue = np.array(Image.open(io.BytesIO(base64.b64decode(outputs["hue"][1].data["image/png"]))).convert("RGB"))
    outputs["text"][-1].text = outputs["text"][-1].text.replace("0.5000", "0.5049")
    outputs["number"][0].data["text/plain"] = "0.6123"
    outputs["picture"][0].data["image/png"] = encoded(noise, kind="PNG")
    outputs["hue"][1].data["image/png"] = encoded(np.roll(hue, 1, axis=2), kind="PNG")
    outputs["lost picture"].clear()
    frames = encoded(hue, noise, hue // 2, kind="GIF")
    outputs["film"][0].data["text/html"] = f'<img src="data:image/gif;base64,{frames}">'
    outputs["slider"][0].data["text/plain"] = "IntSlider(value=6)"
    outputs["updated"][0].data["text/plain"] = "'first'"
    outputs["error"][0].evalue = "not expected"
    outputs["warning"].append(nbformat.v4.new_output("stream", name="stderr", text="careful"))
    return bad


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A project of somebody else's: settings, and three notebooks in notebooks/."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "pytest.ini").write_text("[pytest]\nnbcompared_rerun = make them again\nnbcompared_preload = numpy\n")
    for name in ("tests", "notebooks"):
        (folder / name).mkdir()
    good = notebook(CELLS)
    unrun = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1"), nbformat.v4.new_code_cell("  ")])
    for name, made in {"good": good, "bad": damaged(good), "unrun": unrun}.items():
        nbformat.write(made, folder / "notebooks" / f"{name}.ipynb")
    return folder


def pytest_run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pytest", "--rootdir=.", "-p", "no:cacheprovider", "-p", "nbcompared.plugin", *arguments]
    environment = os.environ | {"PYTHONPATH": str(PLUGIN)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def results(folder) -> dict[tuple[str, str], str]:
    """{(notebook, test): message, empty if it passed} of one run of all three."""
    run = pytest_run(folder, "--nbval", "--nbval-current-env", "--junit-xml=results.xml", "notebooks")
    assert run.returncode == 1, run.stdout + run.stderr
    cases = ElementTree.parse(folder / "results.xml").iter("testcase")
    return {
        (Path(case.get("classname").replace(".", "/")).parts[1], case.get("name")): "".join(case.itertext()) for case in cases
    }


def test_a_true_notebook_passes(results):
    good = {test: message for (name, test), message in results.items() if name == "good"}
    assert len(good) == len(CELLS) + 1 and not any(good.values()), good


@pytest.mark.parametrize("name", CELLS)
def test_just_the_damaged_cells_fail(results, name):
    message = results["bad", f"Cell {NUMBER[name]}"]
    assert bool(message) == (name in FAILING), message


MESSAGES = {
    "number": "output 1, text/plain: line 1: 0.6123 was stored, 0.5123 now",
    "picture": "output 1, image/png: similarity 0.0",
    "hue": "output 2, image/png: similarity",
    "lost picture": "number of outputs: 0 stored (none), 1 now (image/jpeg + image/png + text/plain)",
    "film": "output 1, text/html, picture 1: frame 1 of 3: similarity",
    "warning": "number of outputs: 2 stored (stdout, stderr), 1 now (stdout)",
    "error": "stored: ValueError: not expected",
}


@pytest.mark.parametrize("name", MESSAGES)
def test_the_message_names_notebook_cell_and_difference(results, name):
    message = results["bad", f"Cell {NUMBER[name]}"]
    assert f"notebooks/bad.ipynb, Cell {NUMBER[name]} (In [{NUMBER[name] + 1}])" in message
    assert MESSAGES[name] in message


def test_both_pictures_lie_where_the_message_says(results, folder):
    for kind in ("stored", "fresh"):
        path = f"test-report/bad-cell{NUMBER['picture']}-1-{kind}.png"
        assert path in results["bad", f"Cell {NUMBER['picture']}"]
        assert Image.open(folder / path).size == (64, 64)


def test_a_notebook_that_was_not_run_fails(results):
    assert "the stored notebook holds no run of this cell; run the notebook" in results["unrun", "Cell 0"]
    order = results["unrun", "Execution order"]
    assert "did not run from 1 to 1 (not run); run the notebook from top to bottom: make them again" in order
    assert not results["unrun", "Cell 1"]  # nothing in it to run


@pytest.mark.parametrize("arguments", [[], ["-p", "no:nbval"]], ids=["without --nbval", "without nbval"])
def test_other_runs_of_pytest_are_left_alone(folder, arguments):
    (folder / "tests/test_nothing.py").write_text("def test_nothing():\n    pass\n")
    run = pytest_run(folder, *arguments)
    assert run.returncode == 0 and "1 passed" in run.stdout, run.stdout + run.stderr


def test_a_cell_that_gives_something_else_the_second_time_is_found(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    cells = {"once": "total = 0\ntotal += 1; total", "more": "seen = globals().get('seen', 0) + 1; seen"}
    nbformat.write(notebook(cells), tmp_path / "made.ipynb")
    for arguments, failed in (((), 0), (("--twice",), 1)):
        run = pytest_run(tmp_path, "--nbval", "--nbval-current-env", *arguments, "made.ipynb")
        assert (f"{failed} failed" in run.stdout) == bool(failed) and f"{3 - failed} passed" in run.stdout, run.stdout
    assert "Cell 1" in run.stdout and "1 was stored, 2 now" in run.stdout


def test_what_is_silently_different_without_a_cell_is_found(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    cells = {"bind": "total = [1]", "": "", "change": "total.append(2)", "named": "other = 3", "tell": "total", "told": "other"}
    nbformat.write(notebook(cells), tmp_path / "made.ipynb")
    run = functools.partial(pytest_run, tmp_path, "--nbval", "--nbval-current-env", "-rs", "made.ipynb")
    without_change, without_name, further_round = (run("--leave-out", str(number)).stdout for number in (2, 3, 8))
    assert "1 failed" in without_change and "Cell 4 (In [4]): the outputs differ" in without_change, without_change
    assert "5 passed, 2 skipped" in without_name and "NameError: name 'other' is not defined" in without_name, without_name
    assert "5 passed, 2 skipped" in further_round, further_round  # 8 is the third of five
