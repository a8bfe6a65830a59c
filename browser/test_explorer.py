"""Where an explorer draws: on the kernel's main thread, so that it never draws while a cell computes with the same model."""

import re

from playwright.sync_api import Page, expect
from test_notebooks import no_errors, open_new, run_all

WHERE = """
import threading
from ipywidgets import IntSlider
from sd_helpers.widgets import explore

explore(lambda n: f"{n} drawn by {threading.current_thread().name}", n=IntSlider(3, 0, 9))
"""


def test_an_explorer_draws_on_the_main_thread(lab, page: Page):
    open_new(page, lab, "where.ipynb", WHERE)
    run_all(page)
    handle = page.locator(".noUi-handle").first
    for n in (4, 5, 6):
        handle.focus()
        handle.press("ArrowRight")
        expect(page.get_by_text(re.compile(rf"^{n} drawn by MainThread"))).to_be_visible(timeout=10_000)
    no_errors(page)
