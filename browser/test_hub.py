"""Six learners at once on the classroom's hub: two run all of 00, one's kernel is killed, one signs in twice. `make test-hub`."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from playwright.sync_api import Page, expect
from test_notebooks import RUNNING, finished, no_errors, press_run_all

from classroom.student import FOLDER
from conftest import ROOT, SETTINGS, wait_for

pytest.importorskip("jupyterhub", reason="the classroom's hub is not installed; `make test-hub` installs and tries it")
RUNNERS, OTHERS = ("ann", "ben"), ("cleo", "dan", "eve", "finn")
NAMES = RUNNERS + OTHERS
TRACKER = "notebook-extension/tracker"  # among its settings: cells far from the window are in the page, too
REPORT = ROOT / "test-report" / "hub.json"


def three_free_ports() -> int:
    """The first of three ports in a row that nobody listens on: the class's, the hub's and the proxy's."""
    for first in range(18_000, 19_000, 3):
        with socket.socket() as one, socket.socket() as two, socket.socket() as three:
            try:
                for port, listener in enumerate((one, two, three), first):
                    listener.bind(("127.0.0.1", port))
                return first
            except OSError:
                continue
    pytest.fail("no three free ports in a row between 18000 and 19000")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Address and folder of a hub, started as the teacher's guide says."""
    folder, port = tmp_path_factory.mktemp("class"), three_free_ports()
    for name in NAMES:
        settings = folder / f"homes/{name}/.jupyter/lab/user-settings/@jupyterlab/{TRACKER}.jupyterlab-settings"
        settings.parent.mkdir(parents=True)
        settings.write_text(SETTINGS[TRACKER])
    environment = os.environ | {"SD_HUB_FOLDER": str(folder), "SD_HUB_PORT": str(port)}
    command = [sys.executable, "-m", "jupyterhub", "-f", str(ROOT / "classroom" / "jupyterhub_config.py")]
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        wait_for(f"http://127.0.0.1:{port}/hub/login", server, folder / "log", seconds=120)
        yield f"http://127.0.0.1:{port}", folder
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)


@pytest.fixture(scope="module")
def learners(hub, browser) -> dict[str, Page]:
    """Six windows, each signed in under another name and looking at notebook 00."""
    pages = {name: begin(browser, hub, name) for name in NAMES}
    for page in pages.values():
        opened(page)
    return pages


def begin(browser, hub, name: str, password: str | None = None) -> Page:
    """A window of its own in which somebody has signed in; JupyterLab may still be starting."""
    address, folder = hub
    page = browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
    page.goto(address)
    page.fill("#username_input", name)
    page.fill("#password_input", password or (folder / "password").read_text())
    page.click("#login_submit")
    return page


def opened(page: Page) -> None:
    """Waits until the notebook is there and its kernel has connected."""
    expect(page.locator(".jp-Notebook .jp-CodeCell").first).to_be_visible(timeout=180_000)
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=120_000)


def loading_cell(page: Page):
    """The first cell after the set-up, which loads the model."""
    return page.locator(".jp-CodeCell").filter(has_text="components = load(").first


def load_the_model(page: Page) -> None:
    """Run the cell that loads the model, and see its diagram."""
    cell = loading_cell(page)
    cell.locator(".jp-InputArea-editor").click()
    page.keyboard.press("Control+Enter")
    expect(cell.locator(".jp-OutputArea-output img")).to_be_visible(timeout=120_000)


def processes(folder, name: str, kind: str) -> list[psutil.Process]:
    """A learner's running processes with `kind` in their command line."""
    home, found = str(folder / "homes" / name), []
    for process in psutil.process_iter():
        try:
            if kind in " ".join(process.cmdline()) and process.environ().get("HOME") == home:
                found.append(process)
        except psutil.Error:
            continue
    return found


def megabytes(found: list[psutil.Process]) -> int:
    """What these take of the machine's memory that no other process shares."""
    return round(sum(process.memory_full_info().uss for process in found) / 1e6)


def test_a_wrong_password_is_refused(hub, browser):
    page = begin(browser, hub, "ann", password="wrong")
    expect(page.get_by_text("Invalid username or password")).to_be_visible()


def test_six_at_once(hub, learners):
    """Each has a home and a server; two run all cells to the end, while the others run one."""
    _, folder = hub
    began = time.monotonic()
    for name in RUNNERS:
        press_run_all(learners[name])
    for name in OTHERS:
        load_the_model(learners[name])
    others = time.monotonic() - began
    while not all(finished(learners[name]) for name in RUNNERS):
        assert time.monotonic() - began < 2 * RUNNING, "Run All of 00 by two learners did not finish"
        learners["ann"].wait_for_timeout(500)
    for name in NAMES:
        no_errors(learners[name])
        assert (folder / "homes" / name / FOLDER / "00_the_whole_thing.ipynb").exists()
    memory = {name: {kind: megabytes(processes(folder, name, kind)) for kind in ("singleuser", "ipykernel")} for name in NAMES}
    assert all(found["singleuser"] and found["ipykernel"] for found in memory.values())
    assert learners["ann"].get_by_text("Jupyter news").count() == 0  # no question in front of the cells
    report = {"seconds": {"the others' first cell": round(others), "both run all": round(time.monotonic() - began)}, "MB": memory}
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=1))
    learners["ann"].screenshot(path=REPORT.with_name("hub.png"))


def test_a_killed_kernel_comes_back(hub, learners):
    """JupyterLab says so and starts another; the first cell runs again, and the neighbours notice nothing."""
    _, folder = hub
    page, (kernel,) = learners["cleo"], processes(folder, "cleo", "ipykernel")
    neighbours = [process.pid for process in processes(folder, "dan", "ipykernel")]
    kernel.kill()
    expect(page.get_by_text("Kernel Restarting", exact=True)).to_be_visible(timeout=60_000)
    page.locator(".jp-Dialog button").last.click()
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=60_000)
    load_the_model(page)
    assert processes(folder, "cleo", "ipykernel")[0].pid != kernel.pid
    assert [process.pid for process in processes(folder, "dan", "ipykernel")] == neighbours


def test_signing_in_twice_shows_the_same_work(hub, browser, learners):
    """The second window has the first's server and kernel, and what was saved in it."""
    _, folder = hub
    path = folder / "homes" / "dan" / FOLDER / "00_the_whole_thing.ipynb"
    learners["dan"].keyboard.press("Control+s")
    for _ in range(60):
        if "image/svg" in path.read_text():
            break
        learners["dan"].wait_for_timeout(500)
    second = begin(browser, hub, "dan")
    opened(second)
    expect(loading_cell(second).locator(".jp-OutputArea-output img")).to_be_visible()
    assert len(processes(folder, "dan", "singleuser")) == 1 and len(processes(folder, "dan", "ipykernel")) == 1
