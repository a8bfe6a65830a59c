"""The page in a real browser: every control moves the picture, nothing is asked of another server, what fails says why."""

import base64
import json
import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from served import SCREENSHOTS, SITE, Server

DRAWN = re.compile(r"^Drawn in [\d.]+ s")
PATIENCE = 90_000  # milliseconds
PHONE = dict(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
PARTS = ["prompt", "text encoder", "latents", "U-Net", "guidance", "scheduler", "decoder"]
UNKNOWN = "floccinaucinihilipilification"
REFERENCE = SITE / "test" / "reference.json"


def draw(page: Page, address: str) -> None:
    """Open the page, and draw its first picture."""
    page.goto(address)
    expect(page.get_by_role("status")).to_contain_text("Drawing loads", timeout=PATIENCE)
    page.get_by_role("button", name="Draw").click()
    drawn(page)


def drawn(page: Page) -> None:
    expect(page.get_by_role("status")).to_have_text(DRAWN, timeout=PATIENCE)


def again(page: Page, change) -> str:
    """Change a control and wait for the picture that this brings."""
    before = pixels(page)
    page.evaluate("document.querySelector('emoji-sd').status.textContent = ''")
    change()
    drawn(page)
    after = pixels(page)
    assert after != before
    return after


def pixels(page: Page) -> str:
    return page.locator(".stage canvas").first.evaluate("canvas => canvas.toDataURL()")


def slide(page: Page, name: str, value) -> None:
    page.locator(f"input[name={name}]").fill(str(value))


def test_a_phone_draws_what_python_draws(fresh, address):
    page = fresh(**PHONE)
    draw(page, address)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "phone.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert all(url.startswith((address, "blob:", "data:")) for url in page.asked)
    [run] = [run for run in json.loads(REFERENCE.read_text())["runs"] if wish_of_page(run["wish"])]
    rgba = page.locator(".stage canvas").evaluate(
        "canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"
    )
    wanted = np.frombuffer(base64.b64decode(run["picture"]), np.uint8).reshape(-1, 3).astype(float)
    assert np.abs(np.array(rgba).reshape(-1, 4)[:, :3] - wanted).mean() < 0.01


def wish_of_page(wish: dict) -> bool:
    """Whether a drawing of site/reference.py is the one that site/index.html begins with."""
    html = (SITE / "index.html").read_text()
    return f'prompt="{wish["prompt"]}" seed="{wish["seed"]}" steps="{wish["steps"]}" guidance="{wish["guidance"]:g}"' in html


def test_every_control_moves_the_picture(fresh, address, tmp_path):
    page = fresh()
    draw(page, address)
    again(page, lambda: slide(page, "steps", 4))
    again(page, lambda: page.locator("input[name=prompt]").fill(f"a {UNKNOWN} on a red background"))
    expect(page.locator(".told")).to_contain_text(f"never showed it {UNKNOWN}")
    again(page, lambda: page.get_by_role("button", name="Another").click() or slide(page, "seed", 77))
    again(page, lambda: slide(page, "guidance", 8))
    again(page, lambda: page.locator("input[name=negative]").fill("red"))
    again(page, lambda: page.locator("select[name=sampler]").select_option("euler"))
    page.locator(".stage").screenshot(path=tmp_path / "picture.png")
    again(page, lambda: page.locator("input[type=file]").set_input_files(tmp_path / "picture.png"))
    again(page, lambda: slide(page, "startStep", 3))
    page.get_by_role("button", name="Camera").click()
    again(page, lambda: page.get_by_role("button", name="Take the picture").click())
    again(page, lambda: page.get_by_role("button", name="Remove").click())
    page.locator("input[name=second]").fill("a fox on a blue background")
    expect(page.locator(".stage canvas")).to_have_count(2, timeout=PATIENCE)
    drawn(page)


def test_film_and_parts(fresh, address):
    page = fresh()
    draw(page, address)
    film = page.locator(".film input")
    expect(page.locator(".frame")).to_have_count(21)  # 20 steps and the picture
    last = pixels(page)
    film.focus()
    page.keyboard.press("Home")
    assert pixels(page) != last
    expect(film).to_have_attribute("aria-valuetext", re.compile("1 of 20, sigma"))
    page.get_by_text("What passes through each part").click()
    film.fill("9")
    for part in PARTS:
        page.get_by_role("button", name=part, exact=True).click()
        expect(page.locator(".passing").locator("canvas, td").first).to_be_visible(timeout=PATIENCE)
        where = "same at every step" if part in ("prompt", "text encoder") else "Step 10 of 20"
        expect(page.locator(".parts p")).to_contain_text(where, timeout=PATIENCE)


def test_a_later_wish_ends_an_earlier_one(fresh, address):
    page = fresh()
    draw(page, address)
    film = "const film = document.querySelector('emoji-sd').film; return film.steps === 50 && film.frames.length"
    slide(page, "steps", 50)
    page.wait_for_function(f"() => {{ {film} > 9 }}")
    page.locator("input[name=prompt]").fill("a dog")
    page.wait_for_function(f"() => {{ {film} < 9 }}", timeout=PATIENCE)  # it began anew
    page.get_by_role("button", name="Stop").click()
    frames = page.locator(".frame").count()
    expect(page.get_by_role("status")).to_have_text("Stopped.")
    page.wait_for_timeout(1000)
    assert page.locator(".frame").count() == frames < 50
    again(page, lambda: slide(page, "steps", 2))
    expect(page.locator(".frame")).to_have_count(3)


def test_the_second_visit_loads_nothing(fresh, address):
    page = fresh()
    draw(page, address)
    second = page.context.new_page()
    asked = []
    second.on("request", lambda request: asked.append(request.url))
    second.goto(address)
    drawn(second)
    assert not [url for url in asked if url.endswith(".gz")]


@pytest.mark.parametrize("name", ["unet-", "manifest.json", "ort-", "decoder-", "worker.js"])
def test_a_missing_file_is_told_in_a_sentence(fresh, address, name):
    Server.gone = {name}
    try:
        page = fresh()
        page.goto(address)
        status = page.get_by_role("status")
        expect(status).not_to_have_text("One moment ...", timeout=PATIENCE)
        if page.get_by_role("button", name="Draw").count():
            page.get_by_role("button", name="Draw").click()
        expect(page.locator(".status.wrong")).to_be_visible(timeout=PATIENCE)
        assert re.search(r"[a-z].*\.$", status.inner_text())
    finally:
        Server.gone = set()
    page.reload()
    page.get_by_role("button", name="Draw").click(timeout=PATIENCE)
    drawn(page)


@pytest.mark.parametrize("lacking, told", [("DecompressionStream", "unpacking of files"), ("WebAssembly", "WebAssembly")])
def test_an_old_browser_is_told_in_a_sentence(fresh, address, lacking, told):
    page = fresh()
    page.add_init_script(f"delete globalThis.{lacking}")
    page.goto(address)
    expect(page.get_by_role("status")).to_have_text(re.compile(f"too old to draw here: it lacks {told}"))


def test_dark_and_wide(fresh, address):
    page = fresh(viewport={"width": 1366, "height": 768}, color_scheme="dark")
    draw(page, address)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "wide-dark.png", full_page=True)
