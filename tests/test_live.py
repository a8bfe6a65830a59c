"""The live machine: every part at every step shows something and says true numbers."""

import re

import ipywidgets
import pytest
import torch

from sd_helpers import guided, load
from sd_helpers.notebook import live, widgets


@pytest.fixture(scope="module")
def run(components):
    return live._Run(components, "a fox", 0, 4, 5.0)


def test_every_part_shows_something_and_says_what(components, run):
    for part in live._parts(components):
        for index in (0, 3):
            shown, told = run.at(part, index)
            assert "<img" in shown.data and f"step {index + 1} of 4" in told, part
            assert not re.search('(?:alt|aria-label)=""', shown.data), f"{part}: no alternative text"


def test_every_part_lights_a_part_of_the_map(components):
    for part in live._parts(components):
        lit = live.LIT.get(part, [part.split(",")[0]])
        assert set(lit) <= set(live.diagrams.PARTS)


def test_the_guided_prediction_is_the_one_the_loop_used(components, run):
    step = run.steps[2]
    asked = guided(run._ask(step, run.empty), run._ask(step, run.embeds), 5.0)
    assert (asked - step.noise_pred).abs().max() < 1e-3


def test_the_numbers_are_those_of_the_run(run):
    step = run.steps[1]
    assert f"standard deviation {step.latents.std():.2f}" in run.at("latents", 1)[1]
    moved = (run.steps[2].latents - step.latents).std()
    assert f"by {moved:.2f}" in run.at("scheduler", 1)[1]
    assert f"by {(run.latents - run.steps[3].latents).std():.2f}" in run.at("scheduler", 3)[1]
    # The last step ends at sigma 0, so the x0 it aims at is the picture, but for what LMS remembers of earlier slopes.
    levels = [float(re.search(r"is ([\d.]+) levels", run.at("decoder", i)[1])[1]) for i in (0, 3)]
    assert levels[1] < levels[0]


def test_what_the_unet_is_given_is_what_the_scheduler_scales(components, run):
    step = run.steps[2]
    torch.testing.assert_close(run._seen(step), step.latents / (step.sigma**2 + 1) ** 0.5)


def test_guidance_between_equal_prompts_is_no_division_by_zero(components):
    shown, told = live._Run(components, "", 0, 2, 5.0).at("guidance", 0)
    assert "0.000 apart" in told and "<img" in shown.data


def test_the_controls_choose_part_step_prompt_and_seed(components, monkeypatch):
    kept = {}
    monkeypatch.setattr(live, "explore", lambda draw, **controls: kept.update(draw=draw, **controls))
    live.explore_machine(components, "a fox", num_inference_steps=2)
    assert kept["part"].options == tuple(live._parts(components)) and kept["step"].max == 2
    before = kept["draw"](prompt="a fox", seed=0, step=1, part="latents")
    for change in (dict(prompt="an apple", step=2), dict(seed=1), dict(step=2), dict(part="decoder")):
        after = kept["draw"](**(dict(prompt="a fox", seed=0, step=1, part="latents") | change))
        assert len(after) == 3 and after[1].data != before[1].data
    assert isinstance(kept["prompt"], ipywidgets.Text) and widgets.Explorer(kept.pop("draw"), **kept)
    with pytest.raises(ValueError, match="num_inference_steps"):
        live.explore_machine(components, num_inference_steps=1)


def test_a_compiled_or_converted_unet_is_looked_into_all_the_same():
    pytest.importorskip("openvino")
    converted = load("emoji-sd", runtime="openvino")
    shown, told = live._Run(converted, "a fox", 0, 2, 5.0).at("U-Net, middle", 1)
    assert "middle gives" in told and "<img" in shown.data
