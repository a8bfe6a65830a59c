"""The button that stops a training, pressed in the real JupyterLab while the training runs."""

import re

from playwright.sync_api import Page, expect
from test_notebooks import no_errors, open_new

ENDLESS = """
import time, torch
from sd_helpers.notebook.stepwise import Training, TrainingPanel

x = torch.zeros(1, requires_grad=True)


def loss():
    time.sleep(0.05)  # as long as a step of the real training
    return (x - 3).square().sum()


training = Training([x], loss, lambda losses: len(losses), learning_rate=0.01)
steps = await TrainingPanel(100_000).run(training)
print("kept after", steps, "steps, x above zero:", x.item() > 0)
"""


def test_a_training_stops_by_its_button(lab, page: Page):
    open_new(page, lab, "endless.ipynb", ENDLESS)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    expect(page.get_by_text(re.compile(r"step \d\d, loss"))).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Stop and keep").click()
    expect(page.get_by_text(re.compile(r"kept after \d+ steps, x above zero: True"))).to_be_visible(timeout=10_000)
    no_errors(page)
