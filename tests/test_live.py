"""The live machine: every part at every step shows something and says true numbers."""

import pytest

from sd_helpers.notebook import live


@pytest.fixture(scope="module")
def run(components):
    return live._Run(components, "a fox", 0, 4, 5.0)


def test_every_part_shows_something(components, run):
    parts = ["prompt", "text encoder", "latents", "guidance", "scheduler", "decoder"]
    parts += [f"U-Net, {name}" for name in live._blocks(components.unet)]
    for part in parts:
        for index in (0, 3):
            shown, told = run.at(part, index)
            assert "<img" in shown.data and f"step {index + 1} of 4" in told, part


def test_the_guided_prediction_is_the_one_the_loop_used(components, run):
    from sd_helpers import guided

    step = run.steps[2]
    asked = guided(run._ask(step, run.empty), run._ask(step, run.embeds), 5.0)
    assert (asked - step.noise_pred).abs().max() < 1e-3
