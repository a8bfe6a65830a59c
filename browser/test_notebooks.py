"""Notebooks in the real JupyterLab: all cells run, every control of every explorer is moved, no error anywhere."""

import json
import re
import time

import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect

from conftest import ROOT, SCREENSHOTS, TOKEN

NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
NOTEBOOKS = [path.relative_to(ROOT / "notebooks") for path in NOTEBOOKS if ".ipynb_checkpoints" not in path.parts]
CELLS = {path: json.loads((ROOT / "notebooks" / path).read_text())["cells"] for path in NOTEBOOKS}
CONTROLS = {
    path: sum(bool(re.search(r"\bexplore(_machine)?\(", "".join(c["source"]))) for c in cells if c["cell_type"] == "code")
    for path, cells in CELLS.items()
}
# What a solution without controls shows in a browser, `make test` has compared.
TRIED = [path for path in NOTEBOOKS if CONTROLS[path] or path.parent.name != "solutions"]
RUNNING = 400  # seconds for all cells of a notebook, on a slow machine
DRAWING = 60  # seconds for one redraw of an explorer
# Every text box gets another: guidance between equal prompts would change nothing.
TEXTS = ("a red heart on a yellow background", "a fox", "a noto pizza on a blue background")
PROMPTS = "() => [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')].map(prompt => prompt.innerText.trim())"


@pytest.mark.parametrize("notebook", TRIED, ids=str)
def test_runs_and_its_explorers_move(lab, page: Page, notebook):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    open_notebook(page, lab.format(notebook.as_posix()))
    run_all(page)
    no_errors(page)
    explorers = page.locator(".sd-explorer")
    assert explorers.count() == CONTROLS[notebook]
    for number in range(explorers.count()):
        explorer = explorers.nth(number)
        move_all(explorer, page)
        explorer.scroll_into_view_if_needed()
        cell_of(explorer).screenshot(path=SCREENSHOTS / f"{notebook.stem}-explorer{number}.png")
    no_errors(page)
    page.locator(".jp-Notebook").first.evaluate("area => area.scrollTo(0, 0)")
    page.screenshot(path=SCREENSHOTS / f"{notebook.parent / notebook.stem}.png".replace("solutions/", "solution-"))


def open_notebook(page: Page, address: str) -> None:
    page.goto(address, wait_until="domcontentloaded")
    expect(page.locator(".jp-Notebook .jp-CodeCell").first).to_be_visible(timeout=60_000)
    # Before the kernel has connected, JupyterLab would answer "Run All" with the question which kernel to take.
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=60_000)


def open_new(page: Page, lab: str, name: str, *sources: str) -> None:
    """Open a notebook of these cells, none of which has run."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    address = f"{lab.split('/lab/')[0]}/api/contents/{name}"
    body = {"type": "notebook", "format": "json", "content": notebook}
    answer = page.request.put(address, data=body, headers={"Authorization": f"token {TOKEN}"})
    assert answer.ok, answer.text()
    open_notebook(page, lab.format(name))


def press_run_all(page: Page) -> None:
    """As a learner would, by the menu."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def finished(page: Page) -> bool:
    """Every code cell has run."""
    return all(prompt.strip("[]:").isdigit() for prompt in page.evaluate(PROMPTS))


def run_all(page: Page) -> None:
    """Returns when the last cell has run."""
    press_run_all(page)
    deadline = time.monotonic() + RUNNING
    while not finished(page):
        no_errors(page)
        if time.monotonic() > deadline:
            page.screenshot(path=SCREENSHOTS / "not-finished.png")
            raise AssertionError(f"the cells did not finish in {RUNNING} s: {page.evaluate(PROMPTS)}")
        page.wait_for_timeout(500)


def no_errors(page: Page) -> None:
    """Neither an error nor anything on stderr stands in an output."""
    wrong = page.locator("[data-mime-type='application/vnd.jupyter.error'], [data-mime-type='application/vnd.jupyter.stderr']")
    assert wrong.count() == 0, wrong.first.inner_text()


def cell_of(explorer: Locator) -> Locator:
    return explorer.locator("xpath=ancestor::*[contains(concat(' ', @class, ' '), ' jp-CodeCell ')][1]")


def shown(explorer: Locator) -> str:
    """The pictures under an explorer's controls."""
    return "".join(cell_of(explorer).locator(".jp-OutputArea-output img").evaluate_all("all => all.map(i => i.src)"))


def move_all(explorer: Locator, page: Page) -> None:
    """Move every control, by keyboard where there is one; what is shown must change each time, and without an error."""
    controls = explorer.locator(".widget-slider, .widget-dropdown, .widget-text, .widget-checkbox, .widget-toggle-buttons")
    assert controls.count() > 0
    for number in range(controls.count()):
        control, before = controls.nth(number), shown(explorer)
        control.scroll_into_view_if_needed()
        move(control, number)
        status = explorer.locator(".sd-status")
        deadline = time.monotonic() + DRAWING
        while shown(explorer) == before:
            assert time.monotonic() < deadline, f"moving {control.inner_text()!r} changed nothing; {status.inner_text()!r}"
            assert status.get_attribute("role") != "alert", status.inner_text()
            page.wait_for_timeout(100)
        expect(status).to_contain_text("ready", timeout=1000 * DRAWING)


def move(control: Locator, number: int) -> None:
    """Change a control's value as one does with the keyboard."""
    kind = control.get_attribute("class")
    if "widget-slider" in kind:
        handle = control.locator(".noUi-handle").first
        at, most = (float(handle.get_attribute(f"aria-{name}")) for name in ("valuenow", "valuemax"))
        handle.focus()
        for _ in range(4):
            handle.press("ArrowLeft" if at >= most else "ArrowRight")
    elif "widget-dropdown" in kind:
        select = control.locator("select")
        others = [i for i in range(select.locator("option").count()) if i != select.evaluate("s => s.selectedIndex")]
        select.select_option(index=others[number % len(others)])
    elif "widget-text" in kind:
        control.locator("input").fill(TEXTS[number % len(TEXTS)])
        control.locator("input").press("Enter")
    elif "widget-checkbox" in kind:
        control.locator("input").click()
    else:
        control.locator("button:not(.mod-active)").first.click()
