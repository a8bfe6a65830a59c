"""The built book in a real browser: every page on a phone, pictures with their texts, nothing asked of another server."""

import json
import re

import pytest
from playwright.sync_api import Page, expect
from served import SCREENSHOTS, SITE
from test_page import PATIENCE, PHONE, drawn, pixels

ROOT = SITE.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
PAGES = ["index", "api", "docs/glossary", *(f"notebooks/{path.stem}" for path in NOTEBOOKS)]
WIDGET = "application/vnd.jupyter.widget-view+json"
EXPLAINED = "notebooks/05_guided_denoising"


def opened(page: Page, address: str, name: str) -> Page:
    page.goto(f"{address}book/{name}.html")
    return page


def pictures(cells) -> int:
    """How many pictures the stored outputs of cells hold."""
    data = [output.get("data", {}) for cell in cells for output in cell["outputs"]]
    alone = sum("image/png" in output or "image/jpeg" in output for output in data)  # IPython stores a PIL picture as both
    return alone + sum("".join(output.get("text/html", "")).count("<img") for output in data)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_fits_a_phone_and_asks_nothing_of_others(fresh, address, name):
    page = opened(fresh(**PHONE), address, name)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert all(url.startswith((address, "blob:", "data:")) for url in page.asked)
    pictures = page.evaluate("[...document.querySelectorAll('main img')].map(i => [i.alt, i.complete && i.naturalWidth])")
    assert all(alt.strip() and width for alt, width in pictures)
    assert not page.get_by_text("Error displaying widget").count()
    assert "{#" not in page.locator("main").inner_text()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_all_that_a_notebook_shows_is_there(fresh, address, path):
    page = opened(fresh(), address, f"notebooks/{path.stem}")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    expect(page.locator("div.cell_input")).to_have_count(len(code))
    shown = page.locator("div.cell_output img").count()
    engines = page.locator("emoji-sd").count()  # each stands for an explorer and the picture under it
    assert (shown < pictures(code)) == bool(engines)
    assert shown >= pictures(cell for cell in code if not any(WIDGET in output.get("data", {}) for output in cell["outputs"])) > 0
    asked = sum("check.exercise_" in "".join(cell["source"]) for cell in code)
    solved = page.locator("details", has_text="A solution")
    assert asked and solved.count() == asked
    expect(solved.first.locator("pre")).to_be_hidden()
    solved.first.locator("summary").click()
    expect(solved.first.locator("pre")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_text("Download this notebook").click()
    assert download.value.path().read_bytes() == path.read_bytes()


def test_an_answer_is_hidden_until_it_is_asked_for(fresh, address):
    page = opened(fresh(), address, EXPLAINED)
    answer = page.locator("div.tag_reveal").first
    expect(answer.locator("div.cell_output")).to_be_hidden()
    answer.locator("summary").first.click()
    expect(answer.locator("div.cell_output")).to_be_visible()


def test_the_engine_draws_where_a_notebook_has_an_explorer(fresh, address):
    page = opened(fresh(), address, EXPLAINED)
    engine = page.locator("emoji-sd").first
    engine.get_by_role("button", name="Draw").click(timeout=PATIENCE)
    expect(engine.get_by_role("status")).to_have_text(re.compile(r"^Drawn in [\d.]+ s"), timeout=PATIENCE)


def test_the_front_page_draws(fresh, address):
    page = opened(fresh(**PHONE), address, "index")
    page.get_by_role("button", name="Draw").click(timeout=PATIENCE)
    drawn(page)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "book-phone.png")
    assert len(pixels(page)) > 5000


def test_search_finds_a_word(fresh, address):
    page = fresh()
    page.goto(f"{address}book/search.html?q=polynomial")
    expect(page.locator("#search-results ul.search a").first).to_be_visible(timeout=PATIENCE)
    assert page.locator("#search-results a[href*='08_samplers']").count()


def test_mathematics_is_set(fresh, address):
    page = opened(fresh(), address, "notebooks/02_scheduler_and_sigmas")
    expect(page.locator("mjx-container").first).to_be_visible(timeout=PATIENCE)


def test_pictures_stand_on_white_in_the_dark(fresh, address):
    page = opened(fresh(color_scheme="dark"), address, EXPLAINED)
    picture = page.locator("div.cell_output img[src^='data:image/png'], div.cell_output img[src^='data:image/jpeg']").first
    expect(picture).to_have_css("background-color", "rgb(255, 255, 255)")
    page.screenshot(path=SCREENSHOTS / "book-dark.png")
