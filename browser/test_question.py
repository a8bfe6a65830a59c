"""A prediction made by a click in the real JupyterLab, and what the cell below says of it."""

from playwright.sync_api import Page, expect
from test_notebooks import no_errors, open_new

from conftest import SCREENSHOTS

ASK = 'from sd_helpers import question\n\nheavier = question("Which is heavier?", ["a feather", "an anvil"])'
REVEAL = 'heavier.reveal("an anvil", "Iron is dense.")'


def test_a_prediction_is_made_by_a_click(lab, page: Page):
    open_new(page, lab, "question.ipynb", ASK, REVEAL)
    cell = page.locator(".jp-CodeCell").first
    cell.click()
    page.keyboard.press("Shift+Enter")
    buttons = page.locator(".sd-question button")
    expect(buttons).to_have_count(2, timeout=60_000)
    expect(page.locator(".sd-question-text")).to_contain_text("an anvil")
    buttons.first.click()
    page.locator(".jp-CodeCell").nth(1).click()
    page.keyboard.press("Shift+Enter")
    output = page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea-output")
    expect(output).to_contain_text("You said A: a feather. The answer is B: an anvil. Iron is dense.", timeout=30_000)
    no_errors(page)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "question.png")
