"""The built page, served below a sub-path, and a headless Chromium that opens it."""

import functools
import http.server
import os
import shutil
import threading

import pytest
from playwright.sync_api import sync_playwright
from served import SITE, Server

BELOW = "some/where"


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    """Where the page is served: `localhost` counts as secure, so cache and camera are there."""
    if not (SITE / "dist" / "index.html").exists():
        pytest.exit("site/dist has no page: run `make site` first.", returncode=1)
    root = tmp_path_factory.mktemp("served")
    (root / BELOW).parent.mkdir(parents=True, exist_ok=True)
    (root / BELOW).symlink_to(SITE / "dist", target_is_directory=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Server, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}/{BELOW}/"
    server.shutdown()


@pytest.fixture(scope="session")
def chromium():
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next((found for name in names if name and (found := shutil.which(name))), None)
    if path is None:
        pytest.exit("Chromium was not found: install it, or name one in the environment variable CHROMIUM.", returncode=1)
    flags = ["--no-sandbox", "--disable-dev-shm-usage", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def fresh(chromium):
    """A function that opens a window of a browser that was never here; fails the test on any error of a script."""
    errors, contexts = [], []

    def opened(**options):
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not errors
