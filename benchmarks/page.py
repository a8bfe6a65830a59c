"""The page that `make site` builds, in headless Chromium: what travels, the first picture, the next ones beside Python's."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import os
import re
import shutil
import threading
import time
from pathlib import Path

from .rows import Row, in_turns

DIST = Path(__file__).parents[1] / "site" / "dist"
PATIENCE = 120_000  # milliseconds
STEPS = 20  # what the page begins with


def rows(rounds: int):
    """Yield the rows of this part; none where the page was not built or there is no Chromium."""
    manifest = DIST / "models" / "manifest.json"
    names = (os.environ.get("CHROMIUM"), "chromium", "google-chrome")
    browser = next((found for name in names if name and (found := shutil.which(name))), None)
    if not manifest.exists() or browser is None:
        print("The page was not measured: it needs `make site` and Chromium.")
        return
    from sd_helpers import generate, load

    files = json.loads(manifest.read_text())["files"].values()
    yield Row("page: model and runtime on the way", [sum(file["bytes"] for file in files) / 1e6], unit="MB", target="24 MB or so")
    few = -(-rounds // 2)
    with _served() as address, _chromium(browser) as window:
        yield Row("page: from opening it to its first picture", [_first(window(), address) for _ in range(few)])
        page = window()
        _first(page, address)
        components = load(device="cpu")
        python = functools.partial(
            generate, components, "a fox on a blue background", num_inference_steps=STEPS, guidance_scale=5, progress=False
        )
        name = f"page: a picture, {STEPS} steps, beside Python's `generate`"
        yield Row(name, *in_turns(few, lambda: _drawn(page), python))


def _first(page, address: str) -> float:
    """Seconds in a browser that was never here, until the picture is there."""
    began = time.perf_counter()
    page.goto(address)
    _drawn(page)
    return time.perf_counter() - began


def _drawn(page) -> None:
    page.get_by_role("button", name="Draw").click(timeout=PATIENCE)
    page.evaluate("document.querySelector('emoji-sd').status.textContent = ''")
    page.get_by_role("status").filter(has_text=re.compile("^Drawn in")).wait_for(timeout=PATIENCE)


@contextlib.contextmanager
def _served():
    """The address of the built page, `localhost`, which counts as secure: the browser keeps the files."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *told):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(DIST)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}/"
    server.shutdown()


@contextlib.contextmanager
def _chromium(path: str):
    """A function that opens a window of a browser that was never here."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield lambda: browser.new_context().new_page()
        browser.close()
