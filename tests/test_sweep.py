"""Every picture of a sweep is the one that `generate` draws alone."""

import dataclasses

import pytest
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler, PNDMScheduler

from sd_helpers import generate, scheduler_like, sweep
from sd_helpers.metrics import mean_difference

PROMPT = "a red apple on a blue background"


@pytest.mark.parametrize(
    "scheduler",
    [None, EulerDiscreteScheduler, DDIMScheduler, PNDMScheduler, DPMSolverMultistepScheduler, HeunDiscreteScheduler],
    ids=lambda cls: cls.__name__ if cls else "LMS",
)
def test_equals_generate(components, picture, scheduler):
    if scheduler:
        components = dataclasses.replace(components, scheduler=scheduler_like(components.scheduler, scheduler))
    axes = dict(start_steps=(9, 0, 4, 10), guidance_scales=(1, 5), seeds=(3, 7))
    settings = dict(image=picture, num_inference_steps=10, negative_prompt="a fox", progress=False)
    drawn = sweep(components, PROMPT, **axes, **settings, batch_size=6)
    assert len(drawn.images) == 16
    cells = [(a, b, c) for a in axes["start_steps"] for b in axes["guidance_scales"] for c in axes["seeds"]]
    for (start, scale, seed), image in zip(cells, drawn.images):
        (alone,) = generate(components, PROMPT, start_step=start, guidance_scale=scale, seed=seed, **settings)
        assert mean_difference(image, alone) < 0.5, (start, scale, seed)
        assert drawn.image(start, scale, seed) is image
    assert mean_difference(drawn.image(0, 5, 3), drawn.image(9, 5, 3)) > 5


def test_the_unet_sees_only_who_has_joined(components, picture):
    rows = []

    class Counting:
        def __call__(self, model_input, *args, **kwargs):
            rows.append(len(model_input))
            return components.unet(model_input, *args, **kwargs)

        def __getattr__(self, name):
            return getattr(components.unet, name)

    counting = dataclasses.replace(components, unet=Counting())
    sweep(counting, PROMPT, image=picture, start_steps=(2, 0, 5), num_inference_steps=5, progress=False)
    assert rows == [2, 2, 4, 4, 4]  # guidance doubles each


def test_shows_itself_as_a_grid(components, picture):
    drawn = sweep(
        components, "x", image=picture, start_steps=range(3, 5), guidance_scales=(1, 4), num_inference_steps=4, progress=False
    )
    html = drawn._repr_html_()
    assert html.count("<img") == 4 and "start 3" in html and "guidance 4" in html


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(start_steps=3), r"start_steps=3 must be a list, such as \[3\]"),
        (dict(start_steps=[]), "start_steps is empty"),
        (dict(start_steps=[0, 11]), "start_step=11 must be a whole number from 0 to 10"),
        (dict(guidance_scales=["7"]), "guidance_scales='7'"),
        (dict(seeds=[-1]), "seeds=-1"),
        (dict(negative_prompt=["a", "b"]), "negative_prompt=.* one string"),
        (dict(image="puppy.png"), "image"),
        (dict(batch_size=0), "batch_size=0"),
        (dict(num_inference_steps=0), "num_inference_steps=0"),
    ],
)
def test_bad_input(components, picture, wrong, message):
    arguments = dict(image=picture, start_steps=[5], num_inference_steps=10, progress=False) | wrong
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        sweep(components, PROMPT, **arguments)


def test_a_picture_that_is_not_there(components, picture):
    drawn = sweep(components, "x", image=picture, start_steps=[4], num_inference_steps=4, progress=False)
    with pytest.raises(ValueError, match="start_step=3 is not in this sweep; it has 4"):
        drawn.image(3)
