"""A real JupyterLab on a free port and a headless Chromium that opens it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
TOKEN = "browser-test"
SCREENSHOTS = ROOT / "test-report" / "browser"
SETTINGS = {
    # Cells far from the window are otherwise not in the page, and a test could not find them.
    "notebook-extension/tracker": '{"windowingMode": "none"}',
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
}
GET_CHROMIUM = (
    "Chromium was not found, so the notebooks were not tried in a browser. Install it (Debian, Ubuntu: apt-get install chromium; "
    "otherwise name one in the environment variable CHROMIUM) and run `make test-browser` again."
)


def chromium() -> str | None:
    """Where Chromium or Chrome lies: what CHROMIUM names, else the first of the usual names."""
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((found for name in names if name and (found := shutil.which(name))), None)


@pytest.fixture(scope="session")
def lab(browser, tmp_path_factory):
    """The address of a JupyterLab that serves a copy of the notebooks, with settings of its own."""
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", home / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    for path in (home / "notebooks").rglob("*.ipynb"):
        forget_outputs(path)
    for name, text in SETTINGS.items():
        settings = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        settings.parent.mkdir(parents=True)
        settings.write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "HF_HUB_OFFLINE": "1",
    }
    environment.pop("SD_MODEL", None)
    command = [
        sys.executable,
        "-m",
        "jupyter",
        "lab",
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--ServerApp.port_retries=0",
    ]
    command += [f"--ServerApp.root_dir={home / 'notebooks'}", f"--IdentityProvider.token={TOKEN}"]
    with open(home / "log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=home)
    try:
        wait_for(f"http://127.0.0.1:{port}/api/status?token={TOKEN}", server, home / "log")
        yield f"http://127.0.0.1:{port}/lab/tree/{{}}?reset&token={TOKEN}"
    finally:
        server.terminate()
        server.wait(30)


def forget_outputs(path: Path) -> None:
    """Make a notebook one that has never run, so that whatever it shows is new."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, path)


def wait_for(address: str, server: subprocess.Popen, log: Path, seconds: float = 60) -> None:
    """Until the server answers; fails with the end of its log."""
    began = time.monotonic()
    while time.monotonic() - began < seconds and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium."""
    if not chromium():
        pytest.exit(GET_CHROMIUM, returncode=1)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield started
        started.close()


@pytest.fixture
def page(browser):
    """A fresh window."""
    context = browser.new_context(viewport={"width": 1200, "height": 1000})
    yield context.new_page()
    context.close()
